"""One run of `bench/ingest.py`: a server as a child process, the sender as another, and what the run cost."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, Self

import numpy as np
import psutil
from footprint import UNDERTOW, answers, free_port
from load import DOCUMENTS_A_TRACE, SPANS_A_TRACE, Bodies, Sent

from undertow.store import Store, open_store

Transport = Literal["grpc", "http"]
_SAMPLE_S = 0.1
_START_S = 120
_DRAIN_S = 900
_STOP_S = 60
_LOADER = Path(__file__).with_name("load.py")
HOST = Path(__file__).with_name("ingest_host.py")


@dataclass(frozen=True)
class Figure:
    """One measured value; ``bar`` is what was promised, at most (or at least, where ``at_least``)."""

    part: str
    name: str
    measured: float
    unit: str
    bar: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def missed(self) -> bool:
        """Whether a promise is not kept."""
        if self.bar is None:
            return False
        return self.measured < self.bar if self.at_least else self.measured > self.bar


@dataclass(frozen=True)
class Run:
    """What one load cost: seconds of wall and processor until acknowledged and until queryable, bytes at the peak."""

    sent: list[Sent]
    acknowledged_s: float
    queryable_s: float
    processor_s: float
    peak_bytes: float

    @property
    def spans(self) -> int:
        """Number of spans acknowledged."""
        return sum(one.spans for one in self.sent)

    @property
    def rate(self) -> float:
        """Spans a processor second until all can be queried."""
        return self.spans / self.processor_s

    @property
    def refused(self) -> int:
        """How often a body was refused before it was taken."""
        return sum(one.refused for one in self.sent)

    def latencies_ms(self, during: Sequence[tuple[float, float]] | None = None) -> np.ndarray:
        """Return acknowledgement times in ms, of all bodies or of those in flight at one of the intervals."""
        kept = [
            s for s in self.sent if during is None or any(s.due < end and s.acknowledged > at for at, end in during)
        ]
        return np.array([1e3 * (one.acknowledged - one.due) for one in kept])


class Server(ABC):
    """A server over a folder of its own, in a child process; it can be killed and started again.

    Parameters
    ----------
    urls : address of each transport.
    ready_url : answers 200 once the server takes spans.

    Attributes
    ----------
    peak_bytes : most resident memory of the process and its children since the load began.
    """

    def __init__(
        self, folder: Path, command: Sequence[str], env: dict[str, str], urls: dict[Transport, str], ready_url: str
    ) -> None:
        self.folder = folder
        self.urls = urls
        self._command = command
        self._env = env
        self._ready_url = ready_url
        self._process: psutil.Popen | None = None
        self._processor: dict[int, float] = {}
        self.peak_bytes = 0.0
        self._members: list[psutil.Process] = []

    def start(self) -> Self:
        """Start, and wait until it takes spans."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "server.log").open("ab") as log:
            self._process = psutil.Popen(self._command, cwd=self.folder, env=self._env, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_S
        while not answers(self._ready_url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise SystemExit(f"{self._command} does not answer at {self._ready_url}: see {log.name}")
            time.sleep(0.1)
        threading.Thread(target=self._sample_forever, args=(self._process,), daemon=True).start()
        return self

    def stop(self) -> None:
        """End it as its operator would; kill it when it does not listen."""
        if self._process is not None:
            with suppress(psutil.Error, subprocess.TimeoutExpired):
                self._process.terminate()
                self._process.wait(_STOP_S)
        self.kill()

    def kill(self) -> None:
        """Kill it without a warning, then its children."""
        process, self._process = self._process, None
        if process is None:
            return
        for member in (process, *self._members):
            with suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait(_STOP_S)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def processor_s(self) -> float:
        """User and system seconds so far of the process and its children."""
        self._sample()
        return sum(list(self._processor.values()))  # the sampling thread may add a child meanwhile

    @property
    def resident_bytes(self) -> float:
        """Resident memory now of the process and its children."""
        return self._sample()

    def _sample_forever(self, process: psutil.Popen) -> None:
        while process is self._process:
            self._sample()
            time.sleep(_SAMPLE_S)

    def _sample(self) -> float:
        resident, process = 0.0, self._process
        if process is None:
            return resident
        self._members = _family(process)
        for member in self._members:
            with suppress(psutil.Error):
                times = member.cpu_times()
                self._processor[member.pid] = times.user + times.system
                resident += member.memory_info().rss
        self.peak_bytes = max(self.peak_bytes, resident)
        return resident

    @abstractmethod
    def settle(self, spans: int) -> None:
        """Wait until this many spans can be queried."""

    @abstractmethod
    def at_rest(self) -> int:
        """Return how many spans can be queried once no more come."""

    @abstractmethod
    def count(self) -> int:
        """Return how many spans can be queried."""

    def load(
        self,
        bodies: Bodies,
        numbers: range,
        transport: Transport,
        *,
        rate: float = 0.0,
        before_settling: Callable[[], object] = lambda: None,
    ) -> Run:
        """Send bodies and wait until they can be queried.

        Parameters
        ----------
        rate : spans a second; 0 for as fast as answers come.
        before_settling : called when everything is acknowledged.
        """
        self.peak_bytes = 0.0
        here = self.count()
        processor = self.processor_s
        with sender(bodies, numbers, self.urls[transport], rate) as read:
            sent = read()
        began = min(one.due for one in sent)
        before_settling()
        self.settle(here + sum(one.spans for one in sent))
        ended = time.monotonic()
        spent = self.processor_s - processor
        return Run(sent, max(one.acknowledged for one in sent) - began, ended - began, spent, self.peak_bytes)


class Undertow(Server):
    """A collector on free ports; ``host`` runs it with the handles of `bench/ingest_host.py`."""

    def __init__(self, folder: Path, *, host: Sequence[str] = (), **settings: str) -> None:
        ports = {name: free_port() for name in ("COLLECTOR__HTTP_PORT", "COLLECTOR__GRPC_PORT", "STORE__PORT")}
        self.data = folder / "data"
        self.http_port = ports["COLLECTOR__HTTP_PORT"]
        self.store_url = f"grpc://127.0.0.1:{ports['STORE__PORT']}"
        named = {name: str(port) for name, port in ports.items()} | {"DATA_DIR": str(self.data)} | settings
        super().__init__(
            folder,
            [sys.executable, str(HOST), *host] if host else [*UNDERTOW, "collect"],
            clean_environment() | {f"UNDERTOW_{name}": value for name, value in named.items()},
            {
                "grpc": f"grpc://127.0.0.1:{ports['COLLECTOR__GRPC_PORT']}",
                "http": f"http://127.0.0.1:{self.http_port}",
            },
            f"http://127.0.0.1:{self.http_port}/readyz",
        )

    def settle(self, spans: int) -> None:
        """See the base; the collector tells itself when everything acknowledged is loaded."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=_DRAIN_S + 10)
        connection.request("POST", f"/v1/flush?timeout_s={_DRAIN_S}")
        response = connection.getresponse()
        if response.status != 200:
            raise SystemExit(f"flush answered {response.status}: {response.read()!r}")
        connection.close()

    def at_rest(self) -> int:
        """See the base."""
        self.settle(0)
        return self.count()

    def count(self) -> int:
        """See the base; asked through the store service."""
        return self.ask("SELECT count(*) FROM spans")

    def ask(self, sql: str) -> int:
        """Return the one number that a query gives, through the store service."""
        with self.store() as store:
            return int(store.query(sql).column(0)[0].as_py())

    def store(self) -> Store:
        """Open the store service."""
        return open_store(self.store_url)

    def health(self) -> dict[str, int]:
        """Return what ``/healthz`` tells."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=_START_S)
        connection.request("GET", "/healthz")
        told: dict[str, int] = json.loads(connection.getresponse().read())
        connection.close()
        return told

    def require_exact(self, bodies: Bodies, numbers: range) -> None:
        """End the benchmark where the store does not hold exactly what was sent, assembled."""
        spans = spans_of(bodies, numbers)
        expected = {"count(*) FROM spans": spans, "count(DISTINCT trace_id || span_id) FROM spans": spans}
        if len(numbers) == len(bodies):
            traces = spans // SPANS_A_TRACE
            expected["count(*) FROM interactions"] = traces
            expected["count(DISTINCT document_row_id) FROM documents"] = traces * DOCUMENTS_A_TRACE
        for sql, number in expected.items():
            found = self.ask(f"SELECT {sql}")
            if found != number:
                raise SystemExit(f"{spans} spans were sent, but SELECT {sql} gives {found} instead of {number}")


class Reading(Protocol):
    """Waits for the last acknowledgement of a sender."""

    def __call__(self, then: Callable[[], object] = ...) -> list[Sent]:
        """Call ``then`` at that moment, and return what became of each body."""
        ...


@contextmanager
def sender(bodies: Bodies, numbers: range, url: str, rate: float = 0.0) -> Iterator[Reading]:
    """Run the sender in a process of its own."""
    command = [sys.executable, str(_LOADER), str(bodies.path), "--url", url, "--rate", str(rate)]
    command += ["--first", str(numbers.start), "--count", str(len(numbers))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environment())
    assert process.stdout is not None
    lines = process.stdout

    def read(then: Callable[[], object] = lambda: None) -> list[Sent]:
        if lines.readline() != "acknowledged\n":
            raise SystemExit("the sender failed; its message stands above")
        then()
        return [Sent(*one) for one in json.loads(lines.readline())]

    try:
        yield read
    finally:
        process.terminate()
        process.wait(_STOP_S)
        lines.close()


def clean_environment() -> dict[str, str]:
    """Return the environment without settings of Undertow and without proxies."""
    return {k: v for k, v in os.environ.items() if not k.startswith("UNDERTOW_") and "proxy" not in k.lower()}


def percentiles(values: np.ndarray, *shares: float) -> list[float]:
    """Return percentiles, NaN where there is nothing."""
    return [float(np.percentile(values, share)) if len(values) else float("nan") for share in shares]


def spans_of(bodies: Bodies, numbers: range) -> int:
    """Return how many spans some bodies hold."""
    return sum(bodies.spans[number] for number in numbers)


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []
