"""A collector in a process of its own, and requests to send to it."""

from __future__ import annotations

import gzip
import http.client
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from undertow.store import open_store
from undertow.store.flight import FlightStore

PROTOBUF, JSON = "application/x-protobuf", "application/json"
TRACES, LOGS, METRICS = (
    f"/opentelemetry.proto.collector.{package}.v1.{service}Service/Export"
    for package, service in (("trace", "Trace"), ("logs", "Logs"), ("metrics", "Metrics"))
)
PATIENCE_S = 180
"""What a busy, slow machine needs at most for what takes a moment elsewhere; only a failure waits for so long."""

_LAUNCH = "from undertow.cli import main; main()"


def _own_ports() -> Iterator[int]:
    """Ports outside the ephemeral range in no order, none twice; each worker of a parallel run has its own."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
    return itertools.cycle(random.SystemRandom().sample(range(20_000 + 1_500 * worker, 21_500 + 1_500 * worker), 1_500))


_ports = _own_ports()


def free_port() -> int:
    """A port that no other process of this run takes, so that a collector can be started on it again."""
    while True:
        port = next(_ports)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_until(true: Callable[[], bool]) -> None:
    """Return as soon as something holds; fail when a slow machine would have had time enough for it."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


@dataclass(frozen=True)
class Answer:
    """What a door answered."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RunningCollector:
    """One `undertow collect` on free ports over a data folder; it can be killed and started again."""

    def __init__(self, work: Path, **env: str) -> None:
        self.work = work
        self.data = work / "data"
        self.log = work / "collector.log"
        self.http_port, self.grpc_port, self.store_port = free_port(), free_port(), free_port()
        kept = {k: v for k, v in os.environ.items() if not k.startswith("UNDERTOW_") and "proxy" not in k.lower()}
        self.env = {
            **kept,
            "UNDERTOW_DATA_DIR": str(self.data),
            "UNDERTOW_COLLECTOR__HTTP_PORT": str(self.http_port),
            "UNDERTOW_COLLECTOR__GRPC_PORT": str(self.grpc_port),
            "UNDERTOW_STORE__PORT": str(self.store_port),
            **env,
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def store_url(self) -> str:
        return f"grpc://127.0.0.1:{self.store_port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", _LAUNCH, *arguments]

    def start(self, timeout_s: float = PATIENCE_S) -> RunningCollector:
        self.work.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("collect"), cwd=self.work, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the collector ended with {self.process.returncode}:\n{self.log.read_text()}")
            if self.try_get("/readyz") == 200:
                return self
            time.sleep(0.05)
        raise RuntimeError(f"the collector is not ready after {timeout_s} s:\n{self.log.read_text()}")

    def kill(self) -> None:
        """SIGKILL: nothing of the process gets a chance to tidy up."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, timeout_s: float = PATIENCE_S) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout_s)

    def try_get(self, path: str) -> int:
        try:
            return self.request("GET", path).status
        except OSError:
            return 0

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        *,
        timeout_s: float = PATIENCE_S,
        **headers: str,
    ) -> Answer:
        """One HTTP request; header names with underscores."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=timeout_s)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            try:
                connection.request(method, path, body, named)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all was sent: the answer may still be readable
            response = connection.getresponse()
            return Answer(response.status, response.read(), {k.lower(): v for k, v in response.getheaders()})
        finally:
            connection.close()

    def post(
        self, path: str, body: bytes, content_type: str = PROTOBUF, *, gzipped: bool = False, **headers: str
    ) -> Answer:
        if gzipped:
            body, headers = gzip.compress(body), {**headers, "Content_Encoding": "gzip"}
        return self.request("POST", path, body, Content_Type=content_type, **headers)

    def flush(self, timeout_s: float = PATIENCE_S) -> Answer:
        return self.request("POST", f"/v1/flush?timeout_s={timeout_s}", b"", timeout_s=timeout_s + PATIENCE_S)

    def rpc(self, method: str, body: bytes, *, gzipped: bool = False, **metadata: str) -> bytes:
        """One unary call with raw bytes; raises ``grpc.RpcError``."""
        with grpc.insecure_channel(
            f"127.0.0.1:{self.grpc_port}",
            options=[("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)],
        ) as channel:
            call = channel.unary_unary(method)
            compression = grpc.Compression.Gzip if gzipped else None
            answer: bytes = call(body, timeout=PATIENCE_S, compression=compression, metadata=tuple(metadata.items()))
            return answer

    def rows(self, sql: str, params: Any = None) -> list[dict[str, Any]]:
        with FlightStore(self.store_url) as store:
            found: list[dict[str, Any]] = store.query(sql, params).to_pylist()
            return found

    def rows_at_rest(self, sql: str) -> list[dict[str, Any]]:
        """Rows of the file after the collector has stopped."""
        with open_store(f"duckdb:///{str(self.data / 'undertow.duckdb').lstrip('/')}") as store:
            found: list[dict[str, Any]] = store.query(sql).to_pylist()
            return found


StartCollector = Callable[..., RunningCollector]


def new_trace() -> str:
    """An id that no other test uses."""
    return random.SystemRandom().randbytes(16).hex()


def trace_request(trace: str, spans: int = 1, *, text: str = "hello", first: int = 1, service: str = "test") -> bytes:
    """An ExportTraceServiceRequest of chat calls in protobuf."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    name = group.resource.attributes.add()
    name.key, name.value.string_value = "service.name", service
    scope = group.scope_spans.add()
    for number in range(first, first + spans):
        span = scope.spans.add()
        span.trace_id, span.span_id = bytes.fromhex(trace), number.to_bytes(8, "big")
        span.name = "chat model-a"
        span.start_time_unix_nano = 1_770_000_000_000_000_000 + number * 1_000_000_000
        span.end_time_unix_nano = span.start_time_unix_nano + 500_000_000
        messages = json.dumps([{"role": "user", "parts": [{"type": "text", "content": text}]}])
        for key, value in (
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai"),
            ("gen_ai.request.model", "model-a"),
            ("gen_ai.input.messages", messages),
        ):
            attribute = span.attributes.add()
            attribute.key, attribute.value.string_value = key, value
    return bytes(request.SerializeToString())
