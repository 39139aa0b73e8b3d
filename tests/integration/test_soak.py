"""A sender with every kind of bad luck; afterwards, what was sent and what is stored are the same set."""

from __future__ import annotations

import http.client
import itertools
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from tests.integration.doors import DOORS, Door
from tests.integration.http2 import Call, message
from tests.integration.running import PATIENCE_S, PROTOBUF, TRACES, RunningCollector, StartCollector, trace_request

SENDERS = 4
RESTARTS_EVERY_S = 3.0
GIVES_UP_AFTER_S = 240


class UnluckySender(threading.Thread):
    """Sends requests of spans until told to stop, each until it is acknowledged."""

    def __init__(self, collector: RunningCollector, name: int) -> None:
        super().__init__(daemon=True)
        self.collector = collector
        self.number = name
        self.rng = random.Random(name)
        self.stop = threading.Event()
        self.sent: set[tuple[str, str]] = set()
        self.luck: Counter[str] = Counter()
        self.unanswered: list[bytes] = []

    def run(self) -> None:
        for trace_number in itertools.count(1):
            if self.stop.is_set():
                return
            trace = f"{self.number:016x}{trace_number:016x}"
            requests = list(self._requests(trace))
            self.rng.shuffle(requests)
            for body in requests:
                self._until_acknowledged(body)

    def _requests(self, trace: str) -> Iterator[bytes]:
        first = 1
        for _ in range(self.rng.randint(1, 4)):
            spans = self.rng.choice((1, 1, 3, 20))
            self.sent.update((trace, f"{number:016x}") for number in range(first, first + spans))
            yield trace_request(trace, spans, first=first, text="question " * 20)
            if self.rng.random() < 0.2:
                yield trace_request(trace, spans, first=first, text="question " * 20)
            first += spans

    def _until_acknowledged(self, body: bytes) -> None:
        deadline = time.monotonic() + GIVES_UP_AFTER_S
        while time.monotonic() < deadline:
            door: Door = self.rng.choice(DOORS)
            way = self.rng.choices((self._send, self._cut, self._leave), (6, 1, 1))[0]
            try:
                acknowledged = way(door, body)
            except (OSError, http.client.HTTPException, grpc.RpcError):
                acknowledged = False
                self.stop.wait(0.02)  # nobody is there just now
            self.luck[f"{door} {way.__name__} {acknowledged}"] += 1
            if acknowledged:
                return
        self.unanswered.append(body)

    def _send(self, door: Door, body: bytes) -> bool:
        if door == "grpc":
            return self.collector.rpc(TRACES, body, gzipped=self.rng.random() < 0.5) == b""
        return self.collector.post("/v1/traces", body, gzipped=self.rng.random() < 0.5).status == 200

    def _cut(self, door: Door, body: bytes) -> bool:
        """Hang up in the middle of the body."""
        self._open(door, body)(self.rng.randrange(len(body)))
        return False

    def _leave(self, door: Door, body: bytes) -> bool:
        """Hang up before the answer."""
        self._open(door, body)(None)
        return False

    def _open(self, door: Door, body: bytes) -> Callable[[int | None], None]:
        def over_http(end: int | None) -> None:
            with socket.create_connection(("127.0.0.1", self.collector.http_port), timeout=10) as connection:
                head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\n"
                connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:end])

        def over_grpc(end: int | None) -> None:
            opened = Call(self.collector.grpc_port, TRACES)
            opened.send(message(body)[: None if end is None else 5 + end], last=end is None)
            opened.close()

        return over_grpc if door == "grpc" else over_http


@pytest.mark.parametrize("seconds", [10, pytest.param(240, marks=pytest.mark.slow)])
def test_cut_lost_doubled_and_disordered_requests_and_kills_leave_exactly_what_was_sent(
    start_collector: StartCollector, seconds: float
) -> None:
    collector = start_collector(UNDERTOW_COLLECTOR__SEGMENT_BYTES="200000", UNDERTOW_COLLECTOR__LOAD_INTERVAL_S="0.05")
    senders = [UnluckySender(collector, name) for name in range(SENDERS)]
    for sender in senders:
        sender.start()
    ends = time.monotonic() + seconds
    rng = random.Random(7)
    latest = ends + PATIENCE_S
    while time.monotonic() < ends or (not _every_way_was_met(senders) and time.monotonic() < latest):
        senders[0].stop.wait(rng.uniform(0.3, 1.0) * RESTARTS_EVERY_S)
        collector.kill()
        collector.start()
    for sender in senders:
        sender.stop.set()
    for sender in senders:
        sender.join(GIVES_UP_AFTER_S)
        assert not sender.is_alive()
        assert sender.unanswered == []
    assert collector.flush().status == 200
    sent = set[tuple[str, str]]().union(*(sender.sent for sender in senders))
    for table in ("spans", "interactions"):
        rows = collector.rows(f"SELECT trace_id, span_id FROM {table}")
        assert len(rows) == len(sent)
        assert {(row["trace_id"], row["span_id"]) for row in rows} == sent
    assert _every_way_was_met(senders)


def _every_way_was_met(senders: list[UnluckySender]) -> bool:
    luck = sum((sender.luck.copy() for sender in senders), Counter[str]())
    return all(luck[f"{door} {way}"] for door in DOORS for way in ("_send True", "_cut False", "_leave False"))


class SyncCountingCollector(RunningCollector):
    """A collector that notes each fsync of its journal in a file."""

    def command(self, *arguments: str) -> list[str]:
        python, option, code, *rest = super().command(*arguments)
        return [python, option, _COUNTING + code, *rest]


_COUNTING = """
import os
sync = os.fdatasync
def counting(fd):
    with open("syncs", "ab") as noted:
        noted.write(b"x")
    return sync(fd)
os.fdatasync = counting
"""


@pytest.mark.parametrize("total", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_tiny_requests_are_all_stored_and_share_their_fsyncs(tmp_path: Path, total: int) -> None:
    collector = SyncCountingCollector(tmp_path).start()
    clients = 16

    def over_http(mine: range) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", collector.http_port, timeout=PATIENCE_S)
        for number in mine:
            connection.request("POST", "/v1/traces", tiny(number), {"Content-Type": PROTOBUF})
            response = connection.getresponse()
            response.read()
            assert response.status == 200
        connection.close()

    def over_grpc(mine: range) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{collector.grpc_port}", options=options) as channel:
            export = channel.unary_unary(TRACES)
            for number in mine:
                assert export(tiny(number), timeout=PATIENCE_S) == b""

    with ThreadPoolExecutor(clients) as pool:
        ways = itertools.cycle((over_http, over_grpc))
        work = [pool.submit(next(ways), range(client, total, clients)) for client in range(clients)]
        for done in work:
            done.result()
    assert collector.flush().status == 200
    rows = collector.rows("SELECT count(*) AS n, count(DISTINCT (trace_id, span_id)) AS d FROM spans")
    assert rows == [{"n": total, "d": total}]
    assert collector.stop() == 0
    assert (collector.work / "syncs").stat().st_size < total


def tiny(number: int) -> bytes:
    return trace_request(f"{number // 10 + 1:032x}", first=number % 10 + 1)
