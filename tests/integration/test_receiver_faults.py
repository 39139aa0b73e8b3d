"""Full disks, a database that stands still, damage on disk, overload and stopping, seen from both doors."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from pyarrow import flight

from collector.segments import FRAME_MAGIC
from tests.integration.doors import DOORS, counter, send, stored
from tests.integration.http2 import call, message
from tests.integration.running import (
    PATIENCE_S,
    TRACES,
    RunningCollector,
    StartCollector,
    new_trace,
    trace_request,
    wait_until,
)
from tests.integration.test_receiver_grpc import STOCK_SDK
from undertow.store.flight import encode_query

_STALLING = """
import pathlib, time
from undertow.store.embedded import EmbeddedStore
commit = EmbeddedStore.commit
def stalling(self, *given, **named):
    while pathlib.Path("stalled").exists():
        time.sleep(0.02)
    return commit(self, *given, **named)
EmbeddedStore.commit = stalling
"""


class StallingCollector(RunningCollector):
    """A collector whose commits wait while a file is there."""

    def command(self, *arguments: str) -> list[str]:
        python, option, code, *rest = super().command(*arguments)
        return [python, option, _STALLING + code, *rest]

    @property
    def stalled(self) -> Path:
        return self.work / "stalled"


@pytest.fixture
def start_stalling(tmp_path: Path) -> Iterator[Callable[..., StallingCollector]]:
    """Start a collector whose database stands still until the file is removed."""
    started: list[StallingCollector] = []

    def start(**env: str) -> StallingCollector:
        collector = StallingCollector(tmp_path / "stalling", **env)
        started.append(collector)
        collector.start()
        collector.stalled.touch()
        return collector

    yield start
    for collector in started:
        collector.stalled.unlink(missing_ok=True)
        if collector.process is not None and collector.process.poll() is None:
            collector.kill()


@contextmanager
def files_no_larger_than(collector: RunningCollector, size: int) -> Iterator[None]:
    """A disk on which no file of this process may grow beyond a size."""
    _, hard = resource.prlimit(collector.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(collector.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))


def all_stored(collector: RunningCollector, traces: list[str], spans: int) -> bool:
    found = collector.rows("SELECT trace_id, count(*) AS n FROM spans GROUP BY 1")
    return {row["trace_id"]: row["n"] for row in found} == dict.fromkeys(traces, spans)


# --- Disk


def test_a_full_disk_refuses_transiently_at_both_doors_and_loses_nothing_acknowledged(
    start_collector: StartCollector,
) -> None:
    collector = start_collector()
    kept = []
    for full in (False, True, False, True, False):
        with files_no_larger_than(collector, 0 if full else resource.RLIM_INFINITY):
            for door in DOORS * 2:
                trace = new_trace()
                told = send(collector, door, trace_request(trace, 2))
                assert told.code == (code_pb2.UNAVAILABLE if full else 0)
                if not full:
                    kept.append(trace)
    collector.kill()
    collector.start()
    assert collector.flush().status == 200
    assert all_stored(collector, kept, 2)


@pytest.mark.parametrize(("log_bytes", "text_bytes", "requests"), [(60_000, 5, 30), (17_500_000, 20_000, 20)])
def test_a_database_without_space_stops_no_acknowledgement_and_goes_on_when_there_is_some(
    start_collector: StartCollector, log_bytes: int, text_bytes: int, requests: int
) -> None:
    """The small limit stops DuckDB's log, the large one its checkpoint, after which it must be opened anew."""
    collector = start_collector(UNDERTOW_COLLECTOR__SEGMENT_BYTES="20000", UNDERTOW_COLLECTOR__LOAD_INTERVAL_S="0.02")
    kept = []
    with files_no_larger_than(collector, log_bytes):
        for number in range(200):
            kept.append(new_trace())
            text = f"{number} {'words that differ ' * (text_bytes // 18)}"
            told = send(collector, DOORS[number % 2], trace_request(kept[-1], 5, text=text))
            assert told.code == 0, told.message
            if number >= requests and counter(collector, "undertow_load_failures_total")[""]:
                break
        wait_until(lambda: counter(collector, "undertow_load_failures_total")[""] > 0)
        assert collector.flush(0.2).status == 504
    assert collector.flush().status == 200
    assert all_stored(collector, kept, 5)
    assert collector.try_get("/readyz") == 200


# --- Database


def test_a_database_that_stands_still_stalls_no_acknowledgement_at_either_door(
    start_stalling: Callable[..., StallingCollector],
) -> None:
    collector = start_stalling()
    kept = []
    for number in range(100):
        kept.append(new_trace())
        assert send(collector, DOORS[number % 2], trace_request(kept[-1], 2)).code == 0
    assert collector.flush(0.2).status == 504
    assert collector.request("GET", "/healthz").json["journal_bytes"] > 0
    collector.stalled.unlink()
    assert collector.flush().status == 200
    assert all_stored(collector, kept, 2)
    assert collector.request("GET", "/healthz").json["journal_bytes"] == 0


# --- Overload


def test_a_full_journal_tells_both_doors_when_to_send_again_and_loses_nothing(
    start_stalling: Callable[..., StallingCollector],
) -> None:
    collector = start_stalling(UNDERTOW_COLLECTOR__MAX_JOURNAL_BYTES="100000")
    kept = []
    while (trace := new_trace()) and send(collector, "http", trace_request(trace, 20)).code == 0:
        kept.append(trace)
    assert kept
    body = trace_request(new_trace(), 20)
    answer = collector.post("/v1/traces", body)
    assert answer.status == 503
    of_http = status_pb2.Status.FromString(answer.body)
    with pytest.raises(grpc.RpcError) as caught:
        collector.rpc(TRACES, body)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    trailer = dict(caught.value.trailing_metadata())
    of_grpc = status_pb2.Status.FromString(trailer["grpc-status-details-bin"])
    assert of_http == of_grpc
    told = error_details_pb2.RetryInfo()
    assert of_grpc.details[0].Unpack(told)
    assert told == error_details_pb2.RetryInfo.FromString(trailer["google.rpc.retryinfo-bin"])
    assert told.retry_delay.seconds == int(answer.headers["retry-after"]) > 0
    collector.stalled.unlink()
    assert collector.flush().status == 200
    assert send(collector, "grpc", body).code == 0
    collector.flush()
    assert stored(collector, kept[0]) == 20
    assert collector.rows("SELECT count(*) AS n FROM spans") == [{"n": 20 * (len(kept) + 1)}]


def test_bytes_in_hand_of_one_door_count_at_the_other(start_collector: StartCollector) -> None:
    collector = start_collector(UNDERTOW_COLLECTOR__MAX_BACKLOG_BYTES="1000000")
    held = bytes(990_000)

    def never_done() -> Iterator[bytes]:
        yield held
        wait_until(lambda: counter(collector, "undertow_backlog_bytes")[""] >= len(held))
        body = trace_request(new_trace(), 200)
        told.extend(send(collector, door, body) for door in DOORS)

    told = []  # type: ignore[var-annotated] # filled while the request below is in hand
    collector.request("POST", "/v1/traces", never_done(), Content_Type="application/x-protobuf")
    assert [answer.code for answer in told] == [code_pb2.UNAVAILABLE] * 2
    assert told[0].retry_after_s == 1
    assert [send(collector, door, trace_request(new_trace(), 200)).code for door in DOORS] == [0, 0]


PROTOCOLS = {"grpc": ("UNAVAILABLE", ", insecure=True", ""), "http": ("503", "", "/v1/traces")}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_stock_sdks_lose_nothing_that_was_acknowledged_under_overload(
    start_stalling: Callable[..., StallingCollector], protocol: str
) -> None:
    collector = start_stalling(UNDERTOW_COLLECTOR__MAX_JOURNAL_BYTES="900000")
    while send(collector, "http", trace_request(new_trace(), 200)).code == 0:
        pass
    before = collector.request("GET", "/healthz").json["accepted"]
    overloads = counter(collector, "undertow_requests_total")
    sender = _stock_sdk(collector, protocol)
    series = f'{{door="{protocol}",signal="traces",status="{PROTOCOLS[protocol][0]}"}}'
    wait_until(lambda: counter(collector, "undertow_requests_total").get(series, 0) > overloads.get(series, 0))
    collector.stalled.unlink()
    assert sender.wait(PATIENCE_S) == 0
    assert collector.flush().status == 200
    accepted = collector.request("GET", "/healthz").json["accepted"] - before
    found = collector.rows("SELECT name, count(*) AS n FROM spans WHERE name LIKE 'stock %' GROUP BY 1 ORDER BY 1")
    assert sum(row["n"] for row in found) == accepted
    # The exporter has sent again what was refused.
    assert found == [{"name": f"stock {protocol}", "n": 300}]


def _stock_sdk(collector: RunningCollector, protocol: str) -> subprocess.Popen[bytes]:
    _, more, path = PROTOCOLS[protocol]
    port = collector.grpc_port if protocol == "grpc" else collector.http_port
    code = STOCK_SDK.format(protocol=protocol, more=more)
    return subprocess.Popen(
        [sys.executable, "-c", code, f"http://127.0.0.1:{port}{path}"],
        env={**os.environ, "OTEL_EXPORTER_OTLP_TIMEOUT": str(PATIENCE_S)},  # it gives up after 10 s otherwise
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


# --- Damage


def test_a_damaged_journal_loses_the_damaged_records_alone_and_says_so(
    start_stalling: Callable[..., StallingCollector],
) -> None:
    collector = start_stalling()
    traces = [new_trace() for _ in range(6)]
    for number, trace in enumerate(traces):
        assert send(collector, DOORS[number % 2], trace_request(trace, 2)).code == 0
    collector.kill()
    (segment,) = (collector.data / "journal").glob("*.seg")
    content = segment.read_bytes()
    frames = content.split(FRAME_MAGIC)
    assert len(frames) == 7
    third = len(FRAME_MAGIC.join(frames[:3])) + 60
    torn = content[: -len(frames[6]) // 2]
    segment.write_bytes(torn[:third] + bytes([torn[third] ^ 255]) + torn[third + 1 :])
    collector.stalled.unlink()
    collector.start()
    assert collector.flush().status == 200
    kept = [trace for number, trace in enumerate(traces) if number not in (2, 5)]
    assert all_stored(collector, kept, 2)
    lost = counter(collector, "undertow_journal_damaged_bytes_total")[""]
    assert len(frames[3]) < lost < len(frames[3]) + len(frames[6]) + 8
    assert f"{lost:.0f} bytes were no whole record" in collector.log.read_text()
    assert send(collector, "grpc", trace_request(traces[2], 2)).code == 0
    assert stored(collector, traces[2]) == 2


# --- Stopping


def test_a_graceful_stop_answers_a_grpc_call_in_flight(start_collector: StartCollector) -> None:
    collector = start_collector()
    trace = new_trace()
    body = message(trace_request(trace, 10))
    with call(collector.grpc_port, TRACES) as opened:
        opened.send(body[:100], last=False)
        opened.wait_until_taken()
        assert collector.process is not None
        collector.process.terminate()
        while (collector.data / "collector.json").exists():  # it has begun to stop
            time.sleep(0.01)
        opened.send(body[100:])
        assert opened.status() == 0
    assert collector.stop() == 0
    assert collector.rows_at_rest(f"SELECT count(*) AS n FROM interactions WHERE trace_id = '{trace}'") == [{"n": 10}]


def test_a_reader_that_takes_no_more_rows_delays_no_stop_for_long(start_collector: StartCollector) -> None:
    collector = start_collector()
    trace = new_trace()
    send(collector, "http", trace_request(trace, 3))
    reader = flight.connect(collector.store_url)
    endless = "SELECT range AS a, repeat('x', 1000) AS b FROM range(10000000)"
    rows = reader.do_get(flight.Ticket(encode_query(endless, None)))
    assert rows.read_chunk().data.num_rows > 0
    assert collector.stop() == 0
    assert collector.rows_at_rest("SELECT count(*) AS n FROM spans") == [{"n": 3}]
    reader.close()
