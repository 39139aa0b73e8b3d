"""A database that takes nothing, and a loader that has died: what waits for them is bounded, and it is told."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.running import JSON, PATIENCE_S, RunningCollector, new_trace, trace_request, wait_until

_STALLED = """
import pathlib, threading, time
from collector import loader, lookups
from undertow.store.embedded import EmbeddedStore

loader._MOST_WAITING = 5
lookups.Lookups.__init__.__kwdefaults__["most"] = 4
stalled = pathlib.Path("stalled")
commit, query = EmbeddedStore.commit, EmbeddedStore.query

def wait(asking):
    while asking and stalled.exists():
        time.sleep(0.02)

def slow_commit(self, *given, **named):
    wait(True)
    return commit(self, *given, **named)

def slow_query(self, *given):
    wait(threading.current_thread().name.startswith("lookup"))
    return query(self, *given)

EmbeddedStore.commit, EmbeddedStore.query = slow_commit, slow_query
"""
_DYING = """
import sys
from collector.loader import Loader
Loader._load_next = lambda self: sys.exit()
"""


class Changed(RunningCollector):
    """A collector that runs some code before it starts."""

    def __init__(self, work: Path, code: str) -> None:
        super().__init__(work)
        self._code = code

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", f"{self._code}\nfrom undertow.cli import main; main()", *arguments]


@pytest.fixture
def stalled(tmp_path: Path) -> Iterator[RunningCollector]:
    """A collector whose database answers nothing as long as a file ``stalled`` is in its folder."""
    collector = Changed(tmp_path, _STALLED)
    (tmp_path / "stalled").touch()
    collector.start()
    yield collector
    (tmp_path / "stalled").unlink(missing_ok=True)
    collector.stop()


def feedback(collector: RunningCollector, trace: str) -> tuple[int, bool]:
    body = json.dumps({"target": {"trace_id": trace}, "kind": "thumb", "value": 1}).encode()
    answer = collector.post("/v1/feedback", body, JSON)
    return answer.status, answer.json["resolved"]


def flush_once_there_is_a_place(collector: RunningCollector) -> int:
    while (answer := collector.flush()).status == 503:
        time.sleep(0.05)
    return answer.status


def test_with_a_stalled_database_flushes_and_lookups_are_bounded_and_acknowledgements_go_on(
    stalled: RunningCollector,
) -> None:
    trace = new_trace()
    assert stalled.post("/v1/traces", trace_request(trace, 2)).status == 200
    for _ in range(8):  # those that waited no longer do not count
        assert stalled.flush(0.01).status == 504
    with ThreadPoolExecutor(20) as pool:
        waits = [pool.submit(flush_once_there_is_a_place, stalled) for _ in range(5)]
        deadline = time.monotonic() + PATIENCE_S
        while (refused := stalled.flush(0.01)).status != 503:  # until all five have come
            assert time.monotonic() < deadline
        assert "retry-after" in refused.headers
        assert list(pool.map(lambda _: feedback(stalled, trace), range(30))) == [(202, False)] * 30
        assert stalled.post("/v1/traces", trace_request(new_trace())).status == 200
        (stalled.work / "stalled").unlink()
        assert [wait.result() for wait in waits] == [200] * 5
    assert stalled.flush().status == 200
    assert feedback(stalled, trace) == (202, True)
    assert stalled.rows("SELECT count(*) AS n FROM spans") == [{"n": 3}]


def test_nobody_waits_for_a_lookup_that_has_no_place(tmp_path: Path) -> None:
    collector = Changed(tmp_path, f"{_STALLED}\nfrom collector import http\nhttp._LOOKUP_S = 3600.0\n")
    (tmp_path / "stalled").touch()
    collector.start()
    try:
        with ThreadPoolExecutor(30) as pool:
            asked = [pool.submit(feedback, collector, new_trace()) for _ in range(30)]
            wait_until(lambda: sum(one.done() for one in asked) == 26)  # all but those in the four places
            assert {one.result() for one in asked if one.done()} == {(202, False)}
            (tmp_path / "stalled").unlink()
            assert {one.result()[0] for one in asked} == {202}
    finally:
        (tmp_path / "stalled").unlink(missing_ok=True)
        collector.stop()


def test_a_collector_whose_loader_has_died_is_not_ready_and_still_acknowledges(tmp_path: Path) -> None:
    collector = Changed(tmp_path, _DYING).start()
    try:
        assert collector.post("/v1/traces", trace_request(new_trace())).status == 200
        wait_until(lambda: collector.try_get("/readyz") == 503)
        assert collector.post("/v1/traces", trace_request(new_trace())).status == 200
        assert collector.try_get("/healthz") == 200
    finally:
        collector.stop()
