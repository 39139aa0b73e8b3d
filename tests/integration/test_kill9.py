"""Nothing that was acknowledged is lost when the collector is killed, and nothing is there twice."""

from __future__ import annotations

import http.client
import random
import threading
import time

import grpc
import pytest

from tests.integration.running import PATIENCE_S, TRACES, RunningCollector, StartCollector, trace_request, wait_until

SENDERS = 3
SPANS = 5


class Sender(threading.Thread):
    """Sends requests until told to stop, and remembers which were acknowledged."""

    def __init__(self, collector: RunningCollector, name: int, round_: int) -> None:
        super().__init__(daemon=True)
        self.collector = collector
        self.over_grpc = name == 0
        self.prefix = (round_ << 8) | name
        self.stop = threading.Event()
        self.sent: list[str] = []
        self.acknowledged: list[str] = []

    def run(self) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            trace = f"{self.prefix:016x}{number:016x}"
            self.sent.append(trace)
            if self.send(trace_request(trace, SPANS, text="question " * 50)):
                self.acknowledged.append(trace)

    def send(self, body: bytes) -> bool:
        try:
            if self.over_grpc:
                return self.collector.rpc(TRACES, body) == b""
            return self.collector.post("/v1/traces", body).status == 200
        except (OSError, http.client.HTTPException, grpc.RpcError):
            self.stop.wait(0.01)  # killed: nobody said yes
            return False


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_at_random_moments_lose_nothing_acknowledged_and_double_nothing(
    start_collector: StartCollector, kills: int
) -> None:
    collector = start_collector(UNDERTOW_COLLECTOR__SEGMENT_BYTES="100000", UNDERTOW_COLLECTOR__LOAD_INTERVAL_S="0.05")
    rng = random.Random(20)
    senders: list[Sender] = []
    for round_ in range(kills):
        running = [Sender(collector, name, round_) for name in range(SENDERS)]
        for sender in running:
            sender.start()
        wait_until(lambda: any(sender.acknowledged for sender in running))  # noqa: B023 - called before the next round
        time.sleep(rng.random() * 0.4)
        collector.kill()
        for sender in running:
            sender.stop.set()
        for sender in running:
            sender.join(PATIENCE_S)
        senders += running
        collector.start()
    assert collector.flush().status == 200
    found = collector.rows("SELECT trace_id, count(*) AS n, count(DISTINCT span_id) AS d FROM spans GROUP BY 1")
    counts = {row["trace_id"]: (row["n"], row["d"]) for row in found}
    acknowledged = [trace for sender in senders for trace in sender.acknowledged]
    assert len(acknowledged) >= kills
    assert [trace for trace in acknowledged if trace not in counts] == []
    assert set(counts.values()) == {(SPANS, SPANS)}
    assert set(counts) <= {trace for sender in senders for trace in sender.sent}
    assert collector.rows("SELECT count(*) - count(DISTINCT interaction_id) AS n FROM interactions") == [{"n": 0}]
    assembled = collector.rows("SELECT count(*) AS n FROM interactions")[0]["n"]
    assert assembled == SPANS * len(counts)
