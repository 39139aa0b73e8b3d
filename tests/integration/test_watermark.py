"""A reader that goes by ``load_seq`` while telemetry arrives in any order skips nothing and sees nothing twice."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.integration.doors import DOORS, send
from tests.integration.running import PATIENCE_S, StartCollector, new_trace, trace_request, wait_until
from undertow.store.flight import FlightStore

REQUESTS, SPANS, SENDERS, PARTS = 240, 5, 6, 5


def test_a_reader_beyond_its_watermark_sees_every_span_once_while_others_are_loaded(
    start_collector: StartCollector,
) -> None:
    collector = start_collector(UNDERTOW_COLLECTOR__LOAD_INTERVAL_S="0.01")
    rng = random.Random(3)
    traces = [new_trace() for _ in range(REQUESTS // 6)]
    # Spans of one trace come in several requests, and the order of receipt is not that of time.
    requests = [trace_request(trace, SPANS, first=1 + SPANS * part) for trace in traces for part in range(6)]
    rng.shuffle(requests)
    doubled = requests[::7]
    done = threading.Event()
    seen: list[tuple[str, str]] = []
    polls_with_rows = 0

    def read() -> None:
        nonlocal polls_with_rows
        watermark, last = 0, False
        with FlightStore(collector.store_url) as store:
            while not last:
                last = done.is_set()  # one more look after everything was flushed
                sql = "SELECT trace_id, span_id, load_seq FROM spans WHERE load_seq > $after"
                rows = store.query(sql, {"after": watermark}).to_pylist()
                seen.extend((row["trace_id"], row["span_id"]) for row in rows)
                watermark = max((row["load_seq"] for row in rows), default=watermark)
                polls_with_rows += bool(rows)

    reader = threading.Thread(target=read)
    reader.start()
    jobs = list(enumerate(requests + doubled))
    with ThreadPoolExecutor(SENDERS) as pool:
        for part in range(PARTS):
            polls = polls_with_rows
            told = list(pool.map(lambda job: send(collector, DOORS[job[0] % 2], job[1]), jobs[part::PARTS]))
            assert {answer.code for answer in told} == {0}
            wait_until(lambda: polls_with_rows > polls)  # noqa: B023 - called before the next round
    assert collector.flush().status == 200
    done.set()
    reader.join(PATIENCE_S)
    expected = {(trace, f"{number:016x}") for trace in traces for number in range(1, 6 * SPANS + 1)}
    assert Counter(seen) == Counter(dict.fromkeys(expected, 1))
    assert polls_with_rows >= PARTS
    everything = collector.rows("SELECT count(*) AS n FROM interactions")
    assert everything == [{"n": len(expected)}]
