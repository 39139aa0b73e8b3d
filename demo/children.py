"""The processes of the demo: collector, analysis, dashboard, all bound to the demo's own folder."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from undertow.errors import UndertowError

_HOST = "127.0.0.1"
_STOP_S = 25
_POLL_S = 0.1
_WATCH_S = 0.5
_TAIL_BYTES = 1500
# Where the models are and which one to use belongs to the machine; everything else of the user stays out.
_KEPT = ("UNDERTOW_MODELS_DIR", "UNDERTOW_EMBEDDING__MODEL")


class DemoError(UndertowError):
    """A process of the demo failed."""


@dataclass(frozen=True)
class Ports:
    """Free ports of one run of the demo."""

    http: int
    grpc: int
    store: int
    dashboard: int

    @property
    def http_url(self) -> str:
        """Base URL of the HTTP door."""
        return f"http://{_HOST}:{self.http}"

    @property
    def grpc_url(self) -> str:
        """URL of the gRPC door."""
        return f"http://{_HOST}:{self.grpc}"

    @property
    def store_url(self) -> str:
        """URL of the store service."""
        return f"grpc://{_HOST}:{self.store}"

    @property
    def dashboard_url(self) -> str:
        """Where a browser finds the dashboard."""
        return f"http://localhost:{self.dashboard}"


def free_ports(dashboard: int) -> Ports:
    """Choose free ports; the dashboard gets the wanted one unless something listens there."""
    with socket.socket() as a, socket.socket() as b, socket.socket() as c, socket.socket() as d:
        for door in (a, b, c):
            door.bind((_HOST, 0))
        try:
            d.bind((_HOST, dashboard))
        except OSError:
            d.bind((_HOST, 0))
        http_port, grpc_port, store_port, shown = (door.getsockname()[1] for door in (a, b, c, d))
    return Ports(http_port, grpc_port, store_port, shown)


def environment(folder: Path, ports: Ports, env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of the children: the user's, with every setting of Undertow replaced by the demo's."""
    kept = {name: value for name, value in env.items() if not name.startswith("UNDERTOW_") or name in _KEPT}
    return kept | {
        "UNDERTOW_DATA_DIR": str(folder),
        "UNDERTOW_COLLECTOR__HOST": _HOST,
        "UNDERTOW_COLLECTOR__HTTP_PORT": str(ports.http),
        "UNDERTOW_COLLECTOR__GRPC_PORT": str(ports.grpc),
        "UNDERTOW_STORE__PORT": str(ports.store),
        "UNDERTOW_DASHBOARD__PORT": str(ports.dashboard),
    }


class Children:
    """Starts the demo's processes and stops all of them on leaving.

    Parameters
    ----------
    folder : the demo's data folder; children work there, so that no `undertow.toml` of the user is read.
    ports : what they listen on.
    """

    def __init__(self, folder: Path, ports: Ports) -> None:
        self.folder = folder
        self.ports = ports
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        for _name, process in reversed(self._running):
            stop(process)

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a verb in the background; it writes to `NAME.log` in the folder."""
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 -- our own interpreter, fixed arguments
                _command(*arguments),
                cwd=self.folder,
                env=environment(self.folder, self.ports),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append((name, process))
        return process

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run a verb to its end; return its exit code and standard output. Its progress goes to standard error."""
        process = subprocess.Popen(  # noqa: S603 -- our own interpreter, fixed arguments
            _command(*arguments),
            cwd=self.folder,
            env=environment(self.folder, self.ports),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        try:
            output, _ = process.communicate()
        except BaseException:
            stop(process)
            raise
        return process.returncode, output.decode("utf-8", "replace")

    def log(self, name: str) -> Path:
        """Path of a child's log."""
        return self.folder / f"{name}.log"

    def wait_until(self, name: str, path: str, port: int, timeout_s: float) -> None:
        """Wait until a child answers 200 at a path.

        Raises
        ------
        DemoError
            It ended, or was not ready in time; the message holds the end of its log.
        """
        process = dict(self._running)[name]
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise DemoError(f"{name} ended with exit code {process.returncode}\n{self._tail(name)}")
            if _status(port, path) == http.client.OK:
                return
            time.sleep(_POLL_S)
        raise DemoError(f"{name} was not ready within {timeout_s:g} s\n{self._tail(name)}")

    def watch(self) -> None:
        """Wait until a child ends by itself.

        Raises
        ------
        DemoError
            One did.
        """
        while True:
            for name, process in self._running:
                if process.poll() is not None:
                    raise DemoError(f"{name} ended with exit code {process.returncode}\n{self._tail(name)}")
            time.sleep(_WATCH_S)

    def _tail(self, name: str) -> str:
        text = self.log(name).read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace").strip()
        return f"end of {self.log(name)}:\n{text}"


def flush(ports: Ports, timeout_s: float) -> dict[str, Any]:
    """Wait until everything that was acknowledged can be queried.

    Raises
    ------
    DemoError
        It took too long.
    """
    parts = urlsplit(ports.http_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s + 5)
    try:
        connection.request("POST", f"/v1/flush?timeout_s={timeout_s:g}")
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise DemoError(f"the collector did not load everything within {timeout_s:g} s (status {response.status})")
    answer: dict[str, Any] = json.loads(body or b"{}")
    return answer


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process politely, then firmly."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _command(*arguments: str) -> list[str]:
    # -P keeps the working folder out of the import path.
    return [sys.executable, "-P", "-c", "from undertow.cli import main; main()", *arguments]


def _status(port: int, path: str) -> int | None:
    connection = http.client.HTTPConnection(_HOST, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()
