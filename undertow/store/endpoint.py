"""How other processes find a live collector: a small file in the data folder."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from undertow.tls import SYSTEM, Trust

FILE_NAME = "collector.json"


@dataclass(frozen=True)
class Endpoint:
    """Addresses of a running collector.

    Attributes
    ----------
    pid : process id; created : its start time in seconds since the epoch, so that a reused pid is told apart.
    certificate : in PEM, where the doors speak TLS; server_name : a name in it.
    """

    pid: int
    created: float
    store_url: str
    http_url: str
    grpc_url: str
    certificate: str = ""
    server_name: str = ""

    @property
    def trust(self) -> Trust:
        """How its doors are recognised."""
        return Trust(self.certificate, self.server_name)


def announce(data_dir: Path, *, store_url: str, http_url: str, grpc_url: str, trust: Trust = SYSTEM) -> Path:
    """Write the endpoint file of this process, in one rename."""
    pid = os.getpid()
    started = psutil.Process(pid).create_time()
    endpoint = Endpoint(pid, started, store_url, http_url, grpc_url, trust.pem, trust.pinned_name)
    target = data_dir / FILE_NAME
    temporary = target.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(endpoint)), "utf-8")
    temporary.replace(target)
    return target


def find(data_dir: Path) -> Endpoint | None:
    """Return the endpoint of the live collector of a data folder, or ``None``."""
    try:
        endpoint = Endpoint(**json.loads((data_dir / FILE_NAME).read_text("utf-8")))
        alive = abs(psutil.Process(endpoint.pid).create_time() - endpoint.created) < 1
    except (OSError, ValueError, TypeError, psutil.Error):
        return None
    return endpoint if alive else None
