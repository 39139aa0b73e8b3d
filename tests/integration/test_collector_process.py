"""A collector as a process: tokens, full disk, overload, stop, start."""

from __future__ import annotations

import http.client
import json
import os
import resource
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from google.rpc import status_pb2

from tests.integration.doors import counter
from tests.integration.running import (
    PATIENCE_S,
    PROTOBUF,
    RunningCollector,
    StartCollector,
    new_trace,
    trace_request,
    wait_until,
)


def stored(collector: RunningCollector, trace: str) -> int:
    assert collector.flush().status == 200
    found = collector.rows("SELECT count(*) AS n FROM spans WHERE trace_id = ?", [trace])
    return int(found[0]["n"])


# --- Tokens

TOKENS = json.dumps({"sender": ["ingest"], "reader": ["read"], "writer": ["write"]})


def test_tokens_are_checked_before_the_body_is_read(start_collector: StartCollector) -> None:
    collector = start_collector(UNDERTOW_AUTH__TOKENS=TOKENS)
    connection = http.client.HTTPConnection("127.0.0.1", collector.http_port, timeout=PATIENCE_S)
    connection.putrequest("POST", "/v1/traces")
    connection.putheader("Content-Type", PROTOBUF)
    connection.putheader("Content-Length", "1000000")
    connection.endheaders()  # no body follows, and none is waited for
    assert connection.getresponse().status == 401
    connection.close()
    body = trace_request(new_trace())
    for token, status in (("sender", 200), ("reader", 403), ("writer", 403), ("wrong", 401), ("", 401)):
        assert collector.post("/v1/traces", body, Authorization=f"Bearer {token}").status == status
    assert collector.post("/v1/traces", body, Authorization="sender").status == 401
    assert collector.post("/v1/flush", b"").status == 401
    assert collector.post("/v1/flush", b"", Authorization="Bearer reader").status == 200
    assert collector.try_get("/readyz") == 200


# --- Disk, store, overload, stop


def wait_for_backlog(collector: RunningCollector, size: int) -> None:
    """Return once so many bytes of requests are in hand."""
    wait_until(lambda: counter(collector, "undertow_backlog_bytes")[""] == size)


def test_a_full_disk_is_503_and_the_door_opens_again_when_there_is_space(start_collector: StartCollector) -> None:
    collector = start_collector()
    kept, lost, later = new_trace(), new_trace(), new_trace()
    assert collector.post("/v1/traces", trace_request(kept)).status == 200
    collector.flush()
    # From now on no file of this process may grow, which is what a full disk does.
    _, hard = resource.prlimit(collector.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        for _ in range(3):
            answer = collector.post("/v1/traces", trace_request(lost))
            assert answer.status == 503
            assert int(answer.headers["retry-after"]) > 0
            assert status_pb2.Status.FromString(answer.body).code == 14
    finally:
        resource.prlimit(collector.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
    assert collector.post("/v1/traces", trace_request(later)).status == 200
    assert stored(collector, later) == 1
    assert stored(collector, lost) == 0
    assert collector.request("GET", "/healthz").json["accepted"] == 2


def test_heavy_queries_stall_neither_acknowledgements_nor_loading(start_collector: StartCollector) -> None:
    collector = start_collector(UNDERTOW_STORE__QUERY_TIMEOUT_S="3600")
    trace = new_trace()
    slow = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range = 7"
    with ThreadPoolExecutor(4) as pool:
        blockers = [pool.submit(_swallow, lambda: collector.rows(slow)) for _ in range(2)]
        for number in range(1, 21):
            assert collector.post("/v1/traces", trace_request(trace, first=number)).status == 200
        assert stored(collector, trace) == 20
        assert not any(blocker.done() for blocker in blockers)
        collector.kill()
        for blocker in blockers:
            blocker.result()


def _swallow(call: Callable[[], object]) -> None:
    try:
        call()
    except Exception:
        return


def test_a_full_journal_is_503_with_retry_after_until_it_is_loaded(start_collector: StartCollector) -> None:
    collector = start_collector(
        UNDERTOW_COLLECTOR__MAX_JOURNAL_BYTES="200000", UNDERTOW_COLLECTOR__LOAD_INTERVAL_S="3600"
    )
    collector.post("/v1/traces", trace_request(new_trace()))
    statuses = []
    acknowledged = []
    for _ in range(20):
        trace = new_trace()
        answer = collector.post("/v1/traces", trace_request(trace, 50))
        statuses.append(answer.status)
        if answer.status == 200:
            acknowledged.append(trace)
        else:
            assert answer.status == 503 and answer.headers["retry-after"] == "5"
    assert 503 in statuses
    assert collector.flush().status == 200
    assert collector.post("/v1/traces", trace_request(new_trace(), 50)).status == 200
    assert [stored(collector, trace) for trace in acknowledged] == [50] * len(acknowledged)


def test_more_bytes_in_hand_than_the_backlog_may_hold_is_503(start_collector: StartCollector) -> None:
    collector = start_collector(UNDERTOW_COLLECTOR__MAX_BACKLOG_BYTES="1000000")
    slow = socket.create_connection(("127.0.0.1", collector.http_port))
    head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\nContent-Length: 2000000\r\n\r\n"
    slow.sendall(head.encode() + bytes(990_000))
    wait_for_backlog(collector, 990_000)
    answer = collector.post("/v1/traces", trace_request(new_trace(), 200))
    slow.close()
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    wait_for_backlog(collector, 0)
    assert collector.post("/v1/traces", trace_request(new_trace(), 200)).status == 200


def test_a_graceful_stop_answers_what_is_in_flight_and_loads_what_was_acknowledged(
    start_collector: StartCollector,
) -> None:
    collector = start_collector()
    trace = new_trace()
    body = trace_request(trace, 10)
    connection = socket.create_connection(("127.0.0.1", collector.http_port))
    head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body[:100])
    wait_for_backlog(collector, 100)
    assert collector.process is not None
    collector.process.terminate()
    while (collector.data / "collector.json").exists():  # removed when it begins to stop
        time.sleep(0.01)
    connection.sendall(body[100:])
    answer = connection.recv(65536)
    connection.close()
    assert answer.startswith(b"HTTP/1.1 200")
    assert collector.stop() == 0
    assert not (collector.data / "collector.json").exists()
    assert collector.rows_at_rest(f"SELECT count(*) AS n FROM interactions WHERE trace_id = '{trace}'") == [{"n": 10}]


def test_a_port_in_use_is_named_with_its_setting(collector: RunningCollector, tmp_path: Path) -> None:
    for port, variable in (
        (collector.http_port, "UNDERTOW_COLLECTOR__HTTP_PORT"),
        (collector.grpc_port, "UNDERTOW_COLLECTOR__GRPC_PORT"),
        (collector.store_port, "UNDERTOW_STORE__PORT"),
    ):
        second = RunningCollector(tmp_path / variable, **{variable: str(port)})
        second.work.mkdir()
        done = _run(second)
        assert done.returncode == 1
        assert str(port) in done.stderr and variable in done.stderr


def test_a_data_folder_in_use_names_its_owner(collector: RunningCollector, tmp_path: Path) -> None:
    second = RunningCollector(tmp_path / "second", UNDERTOW_DATA_DIR=str(collector.data))
    second.work.mkdir()
    done = _run(second)
    assert done.returncode == 1
    assert str(collector.pid) in done.stderr and collector.store_url in done.stderr


def _run(collector: RunningCollector) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        collector.command("collect"),
        cwd=collector.work,
        env={**collector.env, "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "")},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
