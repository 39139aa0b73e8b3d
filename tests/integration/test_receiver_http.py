"""The promises of the HTTP door, through a real socket."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from google.protobuf import json_format
from google.rpc import status_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from collector.intake import feedback_record
from tests.integration.running import JSON, PROTOBUF, RunningCollector, StartCollector, new_trace, trace_request

MIB = 2**20
LIMIT = 64 * MIB


def as_json(request: bytes) -> bytes:
    """OTLP/JSON of a trace request: ids in hexadecimal."""
    tree = json_format.MessageToDict(ExportTraceServiceRequest.FromString(request))
    for group in tree["resourceSpans"]:
        for scope in group["scopeSpans"]:
            for span in scope["spans"]:
                for name in ("traceId", "spanId"):
                    span[name] = base64.b64decode(span[name]).hex()
    return json.dumps(tree).encode()


def stored(collector: RunningCollector, trace: str) -> int:
    assert collector.flush().status == 200
    found = collector.rows("SELECT count(*) AS n FROM spans WHERE trace_id = ?", [trace])
    return int(found[0]["n"])


def bomb(size: int) -> bytes:
    """gzip of that many zeros; one compressed block stands for each mebibyte, and no checksum is ever reached."""
    packer = zlib.compressobj(9, wbits=31)
    head = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * (size // MIB)


# --- Encodings and status codes


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("content_type", [PROTOBUF, JSON, "application/json; charset=utf-8"])
def test_spans_are_taken_in_both_encodings_and_the_answer_has_the_same(
    collector: RunningCollector, content_type: str, gzipped: bool
) -> None:
    trace = new_trace()
    body = trace_request(trace, 3)
    is_json = content_type != PROTOBUF
    answer = collector.post("/v1/traces", as_json(body) if is_json else body, content_type, gzipped=gzipped)
    assert answer.status == 200
    assert answer.headers["content-type"] == content_type.partition(";")[0]
    assert answer.body == (b"{}" if is_json else b"")
    assert stored(collector, trace) == 3


def test_a_chunked_body_is_taken(collector: RunningCollector) -> None:
    trace = new_trace()
    body = trace_request(trace, 50)

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    assert collector.request("POST", "/v1/traces", chunks(), Content_Type=PROTOBUF).status == 200
    assert stored(collector, trace) == 50


def test_logs_are_taken(collector: RunningCollector) -> None:
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.event_name = "gen_ai.client.inference.operation.details"
    record.trace_id, record.span_id = bytes.fromhex(new_trace()), b"\1" * 8
    assert collector.post("/v1/logs", request.SerializeToString()).status == 200
    assert collector.post("/v1/logs", b'{"resourceLogs": []}', JSON).json == {}


def test_metrics_are_accepted_and_dropped_with_a_warning(collector: RunningCollector) -> None:
    answer = collector.post("/v1/metrics", b"")
    response = ExportMetricsServiceResponse.FromString(answer.body)
    assert answer.status == 200
    assert response.partial_success.rejected_data_points == 0
    assert "dropped" in response.partial_success.error_message
    assert "dropped" in collector.post("/v1/metrics", b"{}", JSON).json["partialSuccess"]["errorMessage"]


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics"])
@pytest.mark.parametrize("secret", [b"hunter2-my-password", b'{"secret": "hunter2-my-password"'])
def test_malformed_input_is_400_with_a_status_in_the_encoding_of_the_request_and_without_its_bytes(
    collector: RunningCollector, path: str, secret: bytes
) -> None:
    answer = collector.post(path, b"\x0b" + secret)
    assert answer.status == 400
    assert answer.headers["content-type"] == PROTOBUF
    assert status_pb2.Status.FromString(answer.body).code == 3
    told = collector.post(path, secret, JSON)
    assert told.status == 400
    assert told.json["code"] == 3 and told.json["message"]
    assert b"hunter2" not in answer.body + told.body
    assert "hunter2" not in collector.log.read_text()


@pytest.mark.parametrize("body", [b"[]", b"7", b"null", b'"text"', b'{"resourceSpans": 7}', b"\xff\xfe"])
def test_json_of_another_shape_is_400(collector: RunningCollector, body: bytes) -> None:
    assert collector.post("/v1/traces", body, JSON).status == 400


def test_a_body_that_is_not_the_gzip_it_says_is_400(collector: RunningCollector) -> None:
    for body in (b"plain", zlib.compress(b"x", wbits=31)[:-4], b""):
        assert collector.post("/v1/traces", body, Content_Encoding="gzip").status == 400


def test_one_bad_span_in_a_good_batch_is_partial_success(collector: RunningCollector) -> None:
    trace = new_trace()
    request = ExportTraceServiceRequest.FromString(trace_request(trace, 3))
    request.resource_spans[0].scope_spans[0].spans[1].span_id = b"short"
    answer = collector.post("/v1/traces", request.SerializeToString())
    response = ExportTraceServiceResponse.FromString(answer.body)
    assert answer.status == 200
    assert response.partial_success.rejected_spans == 1
    assert response.partial_success.error_message
    assert stored(collector, trace) == 2


@pytest.mark.parametrize(
    ("start_ns", "end_ns", "flagged"),
    [
        (0, 1, True),
        (1_770_000_000 * 10**9, 1_760_000_000 * 10**9, True),
        (4_102_444_800 * 10**9, 4_102_444_801 * 10**9, True),
        (2**64 - 1, 2**64 - 1, True),
        (1_770_000_000 * 10**9, 1_770_000_001 * 10**9, False),
    ],
)
def test_impossible_times_are_stored_and_flagged(
    collector: RunningCollector, start_ns: int, end_ns: int, flagged: bool
) -> None:
    trace = new_trace()
    request = ExportTraceServiceRequest.FromString(trace_request(trace))
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.start_time_unix_nano, span.end_time_unix_nano = start_ns, end_ns
    assert collector.post("/v1/traces", request.SerializeToString()).status == 200
    assert stored(collector, trace) == 1
    (row,) = collector.rows("SELECT flags, epoch_us(start_time) AS us FROM spans WHERE trace_id = ?", [trace])
    assert row["us"] == start_ns // 1000
    assert bool(row["flags"]) == flagged


@pytest.mark.parametrize(
    "headers", [{"Content_Type": "text/plain"}, {}, {"Content_Type": PROTOBUF, "Content_Encoding": "br"}]
)
def test_another_content_type_or_encoding_is_415(collector: RunningCollector, headers: dict[str, str]) -> None:
    answer = collector.request("POST", "/v1/traces", b"x", **headers)
    assert answer.status == 415
    assert collector.post("/v1/feedback", b"", PROTOBUF).status == 415


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics", "/v1/feedback", "/v1/flush"])
def test_another_method_is_405_and_names_what_is_allowed(collector: RunningCollector, method: str, path: str) -> None:
    answer = collector.request(method, path)
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"
    assert answer.json["message"]


def test_an_unknown_path_is_404(collector: RunningCollector) -> None:
    assert collector.post("/v1/nothing", b"").status == 404


# --- Sizes


def test_a_body_beyond_the_limit_is_413_declared_or_not(collector: RunningCollector) -> None:
    body = bytes(LIMIT + 1)
    assert collector.post("/v1/traces", body).status == 413
    assert collector.request("POST", "/v1/traces", iter([body]), Content_Type=PROTOBUF).status == 413


def test_a_bomb_is_413_and_memory_stays_within_twice_the_limit(collector: RunningCollector) -> None:
    packed = bomb(1024 * MIB)
    process = psutil.Process(collector.pid)
    before = process.memory_info().rss
    peak = before
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    answer = collector.post("/v1/traces", packed, Content_Encoding="gzip")
    done.set()
    watcher.join()
    assert answer.status == 413
    assert peak - before < 2 * LIMIT


def test_a_large_body_below_the_limit_is_taken(collector: RunningCollector) -> None:
    trace = new_trace()
    body = trace_request(trace, 20, text="word " * 100_000)
    assert 9 * MIB < len(body) < LIMIT
    assert collector.post("/v1/traces", body, gzipped=True).status == 200
    assert stored(collector, trace) == 20


# --- Once and only once


def test_the_same_body_three_times_at_once_and_again_after_a_restart_is_one_row_per_span(
    start_collector: StartCollector,
) -> None:
    collector = start_collector()
    trace = new_trace()
    body = trace_request(trace, 20)

    def send(_: int) -> int:
        return collector.post("/v1/traces", body).status

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(send, range(3))) == [200] * 3
    assert collector.stop() == 0
    collector.start()
    assert send(0) == 200
    assert stored(collector, trace) == 20
    assert collector.rows("SELECT count(*) AS n FROM interactions WHERE trace_id = ?", [trace]) == [{"n": 20}]
    assert collector.rows("SELECT count(*) AS n FROM records WHERE trace_id = ?", [trace]) == [{"n": 20}]


# --- Flush


def test_everything_acknowledged_before_a_flush_can_be_queried_after_it(collector: RunningCollector) -> None:
    for _ in range(5):
        trace = new_trace()
        assert collector.post("/v1/traces", trace_request(trace, 4)).status == 200
        assert collector.flush().status == 200
        found = collector.rows("SELECT count(*) AS n FROM interactions WHERE trace_id = ?", [trace])
        assert found == [{"n": 4}]


def test_a_flush_with_nothing_to_load_does_not_wait_for_the_next_load(start_collector: StartCollector) -> None:
    collector = start_collector(UNDERTOW_COLLECTOR__LOAD_INTERVAL_S="3600")
    for _ in range(3):
        assert collector.flush().json["last_load_seq"] >= 0


@pytest.mark.parametrize("timeout", ["soon", "-1", "nan", "1e9"])
def test_a_flush_with_a_senseless_timeout_is_400(collector: RunningCollector, timeout: str) -> None:
    assert collector.request("POST", f"/v1/flush?timeout_s={timeout}", b"").status == 400


def test_the_flush_command_waits_and_says_so(collector: RunningCollector) -> None:
    trace = new_trace()
    collector.post("/v1/traces", trace_request(trace))
    done = subprocess.run(
        collector.command("flush", "--timeout", "120s"), env=collector.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "loaded" in done.stdout
    assert collector.rows("SELECT count(*) AS n FROM spans WHERE trace_id = ?", [trace]) == [{"n": 1}]


# --- Feedback and changes


def feedback(collector: RunningCollector, **body: Any) -> Any:
    answer = collector.post("/v1/feedback", json.dumps(body).encode(), JSON)
    assert answer.status == 202, answer.body
    return answer.json


def test_feedback_is_stored_once_per_id_and_tells_whether_its_target_is_known(collector: RunningCollector) -> None:
    trace = new_trace()
    collector.post("/v1/traces", trace_request(trace))
    collector.flush()
    target = {"trace_id": trace, "span_id": f"{1:016x}"}
    name = f"feedback of {trace}"
    for _ in range(3):
        told = feedback(collector, target=target, kind="thumb", value=1, comment="mail ann@example.com", id=name)
        assert told == {"feedback_id": name, "resolved": True}
    assert not feedback(collector, target={"trace_id": new_trace()}, kind="comment", comment="x")["resolved"]
    collector.flush()
    found = collector.rows("SELECT target_id, value, comment FROM feedback WHERE feedback_id = ?", [name])
    assert found == [{"target_id": f"{trace}:{1:016x}", "value": 1.0, "comment": "mail [EMAIL]"}]


def test_feedback_that_comes_before_its_span_finds_it_later(collector: RunningCollector) -> None:
    trace = new_trace()
    told = feedback(collector, target={"trace_id": trace, "span_id": f"{1:016x}"}, kind="rating", value=4)
    collector.flush()
    collector.post("/v1/traces", trace_request(trace))
    collector.flush()
    found = collector.rows("SELECT target_kind, target_id FROM feedback WHERE feedback_id = ?", [told["feedback_id"]])
    assert found == [{"target_kind": "interaction", "target_id": f"{trace}:{1:016x}"}]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"target": {}, "kind": "thumb"},
        {"target": {"trace_id": "a"}, "kind": "applause"},
        {"target": {"trace_id": 7}, "kind": "thumb"},
        {"target": {"trace_id": "a"}, "kind": "thumb", "value": "up"},
        {"target": {"trace_id": "a"}, "kind": "thumb", "value": 1, "unknown": 1},
        {"target": {"trace_id": "a"}, "kind": "thumb", "value": True},
        {"target": {"trace_id": "a"}, "kind": "rating", "label": "good"},
        [],
    ],
)
def test_feedback_of_another_shape_is_400(collector: RunningCollector, body: Any) -> None:
    assert collector.post("/v1/feedback", json.dumps(body).encode(), JSON).status == 400


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"value": 1}, 1.0),
        ({"value": 0.5}, 1.0),
        ({"value": 0}, 0.0),
        ({"value": -1}, 0.0),
        ({"value": -1, "label": "up"}, 0.0),
        ({"label": "up"}, 1.0),
        ({"label": "Thumbs Up"}, 1.0),
        ({"label": "positive"}, 1.0),
        ({"label": "thumbs_down"}, 0.0),
        ({"label": "dislike"}, 0.0),
    ],
)
def test_a_thumb_is_stored_as_one_or_zero(given: dict[str, Any], stored: float) -> None:
    record = feedback_record({"target": {"trace_id": "a"}, "kind": "thumb", **given}, now_ns=0)
    assert record["feedback"]["value"] == stored


@pytest.mark.parametrize("given", [{}, {"label": "perhaps"}, {"comment": "good"}])
def test_a_thumb_that_says_neither_up_nor_down_is_400_and_is_told_how(
    collector: RunningCollector, given: dict[str, Any]
) -> None:
    body = {"target": {"trace_id": "a"}, "kind": "thumb", **given}
    answer = collector.post("/v1/feedback", json.dumps(body).encode(), JSON)
    assert answer.status == 400
    assert "thumbs_up" in answer.json["message"]
    assert "value" in answer.json["message"]


def test_a_change_is_stored_once_per_id(collector: RunningCollector) -> None:
    name = f"change {new_trace()}"
    change = {
        "kind": "model",
        "name": "answerer",
        "before": "a",
        "after": "b",
        "at": "2026-03-01T12:00:00+02:00",
        "id": name,
    }
    for _ in range(2):
        assert collector.post("/v1/changes", json.dumps(change).encode(), JSON).json == {"change_id": name}
    collector.flush()
    found = collector.rows('SELECT kind, name, after, epoch_us("at") AS at_us FROM changes WHERE change_id = ?', [name])
    assert found == [{"kind": "model", "name": "answerer", "after": "b", "at_us": 1_772_359_200_000_000}]


# --- Health


def test_health_counters_equal_what_clients_saw(start_collector: StartCollector) -> None:
    collector = start_collector()
    request = ExportTraceServiceRequest.FromString(trace_request(new_trace(), 7))
    request.resource_spans[0].scope_spans[0].spans[0].trace_id = b"bad"
    assert collector.post("/v1/traces", request.SerializeToString()).status == 200
    assert collector.post("/v1/traces", trace_request(new_trace(), 4)).status == 200
    assert collector.post("/v1/traces", b"\x0b").status == 400
    collector.flush()
    health = collector.request("GET", "/healthz").json
    assert health.items() >= {"accepted": 10, "loaded": 10, "journal_bytes": 0}.items()
    assert health["last_load_seq"] > 0
    text = collector.request("GET", "/metrics").body.decode()
    for line in (
        'undertow_accepted_items_total{signal="traces"} 10',
        'undertow_rejected_items_total{signal="traces"} 1',
        'undertow_requests_total{door="http",signal="traces",status="200"} 2',
        'undertow_requests_total{door="http",signal="traces",status="400"} 1',
        "undertow_loaded_items_total 10",
    ):
        assert line in text.splitlines()


def test_an_idle_collector_is_small_and_imports_no_heavy_library(start_collector: StartCollector) -> None:
    collector = start_collector()
    collector.post("/v1/traces", trace_request(new_trace(), 50))
    collector.flush()
    assert psutil.Process(collector.pid).memory_info().rss < 250 * MIB
    maps = Path(f"/proc/{collector.pid}/maps").read_text()
    for library in ("pandas", "sklearn", "onnxruntime", "torch", "numba"):
        assert f"/{library}/" not in maps
