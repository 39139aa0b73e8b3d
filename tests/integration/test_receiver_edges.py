"""Odd, broken, deep and late input through both doors of a running collector."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import cycle
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import code_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from tests.integration.doors import DOORS, Door, as_tree, counter, log_request, send, send_json, split, stored
from tests.integration.http2 import call, message
from tests.integration.running import (
    JSON,
    PATIENCE_S,
    PROTOBUF,
    TRACES,
    RunningCollector,
    StartCollector,
    new_trace,
    trace_request,
)
from tests.integration.test_receiver_http import bomb
from tests.telemetry_factory import chat, spans_body

MIB = 2**20
LIMIT = 64 * MIB
BASE_NS = 1_770_000_000 * 10**9

# --- JSON as clients write it


def test_hex_of_any_case_numbers_as_strings_names_of_enums_and_unknown_fields_are_read(
    collector: RunningCollector,
) -> None:
    trace = new_trace()
    span: dict[str, Any] = {
        "traceId": trace.upper(),
        "spanId": "00000000000000AB",
        "parentSpanId": "00000000000000CD",
        "name": "chat",
        "kind": "SPAN_KIND_CLIENT",
        "startTimeUnixNano": str(BASE_NS),
        "endTimeUnixNano": BASE_NS + 10**9,
        "status": {"code": "STATUS_CODE_ERROR", "message": "no", "mood": "bad"},
        "flags": 257,
        "future": {"field": [1, {"a": None}]},
        "attributes": [
            {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "12"}},
            {"key": "gen_ai.usage.output_tokens", "value": {"intValue": 34}},
            {"key": "n", "value": {"intValue": str(2**63 - 1)}, "unknown": 1},
        ],
    }
    other = {**span, "spanId": "00000000000000ef", "status": {"code": 2}, "kind": 3}
    assert send_json(collector, {"resourceSpans": [{"scopeSpans": [{"spans": [span, other]}]}], "x": 1}) == {}
    assert stored(collector, trace) == 2
    rows = collector.rows(
        "SELECT s.span_id, s.parent_span_id, s.status, i.input_tokens AS i, i.output_tokens AS o, s.attributes"
        " FROM spans s JOIN interactions i USING (trace_id, span_id) WHERE trace_id = ? ORDER BY 1",
        [trace],
    )
    assert [row["span_id"] for row in rows] == ["00000000000000ab", "00000000000000ef"]
    for row in rows:
        assert (row["parent_span_id"], row["status"], row["i"], row["o"]) == ("00000000000000cd", "ERROR", 12, 34)
        assert json.loads(row["attributes"])["n"] == 2**63 - 1


# --- Depth

NESTING = {
    "array": lambda value: {"arrayValue": {"values": [value]}},
    "object": lambda value: {"kvlistValue": {"values": [{"key": "k", "value": value}]}},
}


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of protobuf, written by hand because libraries refuse such depths."""
    size, prefix = len(content), bytearray([number << 3 | 2])
    while size > 127:
        prefix.append(size & 127 | 128)
        size >>= 7
    return bytes([*prefix, size]) + content


def deep_protobuf(trace: str, shape: str, depth: int) -> bytes:
    value = AnyValue(string_value="bottom").SerializeToString()
    for _ in range(depth):
        value = field(5, field(1, value)) if shape == "array" else field(6, field(1, field(1, b"k") + field(2, value)))
    span = ExportTraceServiceRequest.FromString(trace_request(trace)).resource_spans[0].scope_spans[0].spans[0]
    deep = bytes(span.SerializeToString()) + field(9, field(1, b"deep") + field(2, value))
    return field(1, field(2, field(2, deep)))


def deep_json(trace: str, shape: str, depth: int) -> bytes:
    marker = '"@"'
    tree = as_tree(trace_request(trace))
    tree["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"].append({"key": "deep", "value": "@"})
    before, _, after = json.dumps(NESTING[shape]("@")).partition(marker)
    value = before * depth + '{"stringValue": "bottom"}' + after * depth
    return json.dumps(tree).replace(marker, value).encode()


@pytest.mark.parametrize("shape", NESTING)
@pytest.mark.parametrize("depth", [10, 1_000, 5_000])
def test_attributes_nested_deeply_are_taken_or_refused_and_never_an_error_of_the_server(
    collector: RunningCollector, shape: str, depth: int
) -> None:
    trace = new_trace()
    codes = {send(collector, door, deep_protobuf(trace, shape, depth)).code for door in DOORS}
    answer = collector.post("/v1/traces", deep_json(trace, shape, depth), JSON)
    taken = depth == 10
    assert codes == {0 if taken else code_pb2.INVALID_ARGUMENT}
    assert answer.status == (200 if taken else 400)
    assert stored(collector, trace) == int(taken)


def test_a_json_value_beyond_the_deepest_level_costs_its_span_alone(collector: RunningCollector) -> None:
    trace = new_trace()
    tree = json.loads(deep_json(trace, "array", 100))
    spans = tree["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans.append(as_tree(trace_request(trace, first=2))["resourceSpans"][0]["scopeSpans"][0]["spans"][0])
    told = send_json(collector, tree)
    assert told["partialSuccess"]["rejectedSpans"] == "1"
    assert "deeper" in told["partialSuccess"]["errorMessage"]
    assert stored(collector, trace) == 1


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("depth", [300, 1_000, 100_000])
def test_strings_that_hold_deeply_nested_json_are_stored(collector: RunningCollector, door: Door, depth: int) -> None:
    trace = new_trace()
    claimed = (
        ("gen_ai.input.messages", "gen_ai.prompt"),
        ("mlflow.spanInputs",),
        ("input.value",),
        ("ai.prompt.messages",),
    )
    marks = (
        {"gen_ai.operation.name": "chat"},
        {"mlflow.spanType": "CHAT_MODEL"},
        {"openinference.span.kind": "LLM"},
        {"ai.operationId": "ai.generateText.doGenerate"},
    )
    spans = []
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        text = opening * depth + "1" + closing * depth
        for keys, mark in zip(claimed, marks, strict=True):
            attributes = {**mark, **dict.fromkeys(keys, text)}
            spans.append({"id": len(spans) + 1, "trace": trace, "attributes": attributes})
    told = send(collector, door, spans_body(*spans))
    assert (told.code, told.body) == (0, b"")
    assert stored(collector, trace) == len(spans)


# --- Codings and broken bodies


@pytest.mark.parametrize("coding", ["zstd", "deflate", "br", "gzip, gzip", "nonsense"])
@pytest.mark.parametrize("media", [PROTOBUF, JSON])
def test_another_content_encoding_is_415_in_the_encoding_of_the_request(
    collector: RunningCollector, coding: str, media: str
) -> None:
    answer = collector.post("/v1/traces", b"x", media, Content_Encoding=coding)
    assert answer.status == 415
    assert answer.headers["content-type"] == media
    told = answer.json["message"] if media == JSON else status_pb2.Status.FromString(answer.body).message
    assert "gzip" in told


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("zstd", b"x"),
        ("gzip", b"plain"),
        ("gzip", gzip.compress(trace_request("c" * 32))[:-9]),
    ],
    ids=["unknown", "not what it says", "cut off"],
)
def test_a_grpc_message_that_cannot_be_unpacked_is_an_error_and_stops_no_other(
    collector: RunningCollector, coding: str, body: bytes
) -> None:
    with call(collector.grpc_port, TRACES, grpc_encoding=coding) as broken:
        broken.send(message(body, compressed=True))
        assert broken.status() in (code_pb2.INTERNAL, code_pb2.UNIMPLEMENTED, code_pb2.INVALID_ARGUMENT)
    assert stored(collector, "c" * 32) == 0
    assert send(collector, "grpc", trace_request(new_trace())).code == 0


def test_a_grpc_bomb_of_a_gibibyte_is_resource_exhausted_within_twice_the_limit(collector: RunningCollector) -> None:
    packed = bomb(1024 * MIB)
    with peak_memory(collector) as grown, call(collector.grpc_port, TRACES, grpc_encoding="gzip") as bombing:
        bombing.send(message(packed, compressed=True))
        assert bombing.status() == code_pb2.RESOURCE_EXHAUSTED
    assert grown[0] < 2 * LIMIT


def test_many_packed_grpc_messages_at_once_hold_no_more_memory_than_the_workers_unpack(
    start_collector: StartCollector,
) -> None:
    collector = start_collector()
    with peak_memory(collector) as grown, ExitStack() as stack:
        packed = message(bomb(60 * MIB), compressed=True)
        calls = [stack.enter_context(call(collector.grpc_port, TRACES, grpc_encoding="gzip")) for _ in range(24)]
        for one in calls:
            one.send(packed)
        assert {one.status() for one in calls} <= {code_pb2.INVALID_ARGUMENT, code_pb2.UNAVAILABLE}
    assert grown[0] < 8 * LIMIT


def test_a_packed_grpc_message_of_each_service_is_taken(collector: RunningCollector) -> None:
    trace = new_trace()
    assert send(collector, "grpc", trace_request(trace), gzipped=True).code == 0
    assert send(collector, "grpc", b"", "metrics", gzipped=True).code == 0
    log = log_request(trace, "", "gen_ai.evaluation.result", BASE_NS)
    assert send(collector, "grpc", log * 20, "logs", gzipped=True).code == 0
    assert stored(collector, trace) == 1


@contextmanager
def peak_memory(collector: RunningCollector) -> Iterator[list[int]]:
    process = psutil.Process(collector.pid)
    before = process.memory_info().rss
    grown = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            grown[0] = max(grown[0], process.memory_info().rss - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield grown
    finally:
        done.set()
        watcher.join()


@pytest.mark.parametrize("door", DOORS)
def test_a_body_that_is_cut_off_leaves_nothing_and_stops_no_other(collector: RunningCollector, door: Door) -> None:
    cut, whole = new_trace(), new_trace()
    body = trace_request(cut, 5)
    if door == "http":
        with socket.create_connection(("127.0.0.1", collector.http_port)) as connection:
            head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\nContent-Length: {len(body)}\r\n"
            connection.sendall(head.encode() + b"\r\n" + body[:-7])
    else:
        with call(collector.grpc_port, TRACES) as opened:
            opened.send(message(body)[:-7], last=False)
    assert send(collector, door, trace_request(whole)).code == 0
    assert stored(collector, whole) == 1
    assert stored(collector, cut) == 0


@pytest.mark.parametrize("door", DOORS)
def test_clients_that_hang_up_before_the_answer_stop_no_other(collector: RunningCollector, door: Door) -> None:
    for number in range(100):
        body = trace_request(new_trace(), 1 + number % 7)
        if door == "http":
            with socket.create_connection(("127.0.0.1", collector.http_port)) as connection:
                head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\n"
                connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        else:
            with call(collector.grpc_port, TRACES) as opened:
                opened.send(message(body))
    trace = new_trace()
    assert send(collector, door, trace_request(trace)).code == 0
    assert stored(collector, trace) == 1


def test_a_grpc_call_without_a_message_is_an_invalid_argument(collector: RunningCollector) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{collector.grpc_port}") as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.stream_unary(TRACES)(iter(()), timeout=PATIENCE_S)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/traces", 405), ("POST", "/v2/traces", 404)])
@pytest.mark.parametrize("media", [PROTOBUF, JSON])
def test_404_and_405_speak_the_encoding_of_the_request(
    collector: RunningCollector, method: str, path: str, status: int, media: str
) -> None:
    answer = collector.request(method, path, Content_Type=media)
    assert answer.status == status
    assert answer.headers["content-type"] == media
    assert answer.json["message"] if media == JSON else status_pb2.Status.FromString(answer.body).message


# --- Times

TIMES = [
    (0, 0, "impossible_time"),
    (10**9, 2 * 10**9, "impossible_time"),
    (BASE_NS, BASE_NS - 10**9, "end_time_before_start"),
    (4_102_444_800 * 10**9, 4_102_444_801 * 10**9, "impossible_time"),
    (4_000_000_000 * 10**9, 4_000_000_001 * 10**9, "time_in_future"),
    (BASE_NS, BASE_NS, None),
]


@pytest.mark.parametrize("door", DOORS)
def test_impossible_times_are_stored_and_flagged_and_good_ones_are_not(collector: RunningCollector, door: Door) -> None:
    trace = new_trace()
    request = ExportTraceServiceRequest.FromString(trace_request(trace, len(TIMES)))
    for span, (start, end, _) in zip(request.resource_spans[0].scope_spans[0].spans, TIMES, strict=True):
        span.start_time_unix_nano, span.end_time_unix_nano = start, end
    assert send(collector, door, request.SerializeToString()).body == b""
    assert stored(collector, trace) == len(TIMES)
    for table in ("spans", "interactions"):
        rows = collector.rows(f"SELECT flags FROM {table} WHERE trace_id = ? ORDER BY span_id", [trace])
        assert [row["flags"] or None for row in rows] == [flag for *_, flag in TIMES]


# --- Order


def rag(trace: str) -> bytes:
    """A chain over a retrieval and a call."""
    documents = {
        "openinference.span.kind": "RETRIEVER",
        "retrieval.documents.0.document.content": "Paris is in France.",
    }
    return spans_body(
        {"id": 1, "trace": trace, "end": 900},
        {"id": 2, "trace": trace, "parent": 1, "start": 5, "end": 8, "attributes": documents},
        chat(3, trace=trace, parent=1, start=10, question="Where is Paris? Paris is in France."),
    )


def assembled(collector: RunningCollector, trace: str) -> Any:
    """Rows of a trace without what names the trace or the order of loading."""
    spans = "SELECT span_id, parent_span_id, name, start_time, end_time, operation FROM spans"
    calls = "SELECT span_id, prompt, response, input_tokens, status, content_state FROM interactions"
    documents = "SELECT rank, content, join_confidence, retrieval_span_id FROM documents"
    return [collector.rows(f"{sql} WHERE trace_id = ? ORDER BY ALL", [trace]) for sql in (spans, calls, documents)]


def test_children_before_parents_one_span_a_request_and_all_at_once_give_the_same_rows(
    collector: RunningCollector,
) -> None:
    whole, forward, backward = new_trace(), new_trace(), new_trace()
    send(collector, "http", rag(whole))
    for door, body in zip(cycle(DOORS), split(rag(forward)), strict=False):
        assert send(collector, door, body).code == 0
    for door, body in zip(cycle(DOORS), reversed(split(rag(backward))), strict=False):
        assert send(collector, door, body).code == 0
        assert collector.flush().status == 200  # each is assembled before the next one comes
    collector.flush()
    expected = assembled(collector, whole)
    assert [len(rows) for rows in expected] == [3, 1, 1]
    assert assembled(collector, forward) == expected
    assert assembled(collector, backward) == expected


def test_orphans_are_stored_and_a_parent_that_comes_late_takes_them_in(collector: RunningCollector) -> None:
    trace = new_trace()
    root, *children = split(rag(trace))
    for body in children:
        send(collector, "grpc", body)
    assert stored(collector, trace) == 2
    orphans = assembled(collector, trace)
    assert len(orphans[1]) == 1
    send(collector, "http", root)
    assert stored(collector, trace) == 3
    whole = new_trace()
    send(collector, "http", rag(whole))
    collector.flush()
    assert assembled(collector, trace) == assembled(collector, whole)


@pytest.mark.parametrize("log_first", [True, False])
@pytest.mark.parametrize("door", DOORS)
def test_content_in_a_log_is_joined_before_and_after_its_span(
    collector: RunningCollector, door: Door, log_first: bool
) -> None:
    trace = new_trace()
    span = spans_body(chat(7, trace=trace, question=None, answer=None))
    messages = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "who are you"}]}])
    event = "gen_ai.client.inference.operation.details"
    log = log_request(trace, f"{7:016x}", event, BASE_NS, **{"gen_ai.input.messages": messages})
    requests = [("logs", log), ("traces", span)]
    for signal, body in requests if log_first else reversed(requests):
        assert send(collector, door, body, signal).code == 0
        assert collector.flush().status == 200
    assert collector.rows("SELECT prompt FROM interactions WHERE trace_id = ?", [trace]) == [{"prompt": "who are you"}]


def test_duplicates_over_both_doors_at_once_are_one_row_per_span(collector: RunningCollector) -> None:
    trace = new_trace()
    body = trace_request(trace, 20)
    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(lambda door: send(collector, door, body), DOORS * 5))
    assert {answer.code for answer in told} == {0}
    assert stored(collector, trace) == 20
    assert send(collector, "grpc", body).code == 0
    assert stored(collector, trace) == 20
    assert collector.rows("SELECT count(*) AS n FROM interactions WHERE trace_id = ?", [trace]) == [{"n": 20}]


# --- Logs: what is bad in them


@pytest.mark.parametrize("door", DOORS)
def test_one_bad_log_record_in_a_good_batch_is_partial_success(collector: RunningCollector, door: Door) -> None:
    request = ExportLogsServiceRequest.FromString(
        log_request(new_trace(), "1" * 16, "gen_ai.evaluation.result", BASE_NS, **{"gen_ai.evaluation.name": "tone"})
    )
    records = request.resource_logs[0].scope_logs[0].log_records
    records.add().CopyFrom(records[0])
    records[1].trace_id = b"short"
    told = send(collector, door, request.SerializeToString(), "logs")
    assert told.code == 0
    response = ExportTraceServiceResponse.FromString(told.body)  # the same fields under another name
    assert response.partial_success.rejected_spans in (0, 1)


# --- What is counted


def test_counters_equal_what_clients_saw_at_both_doors(start_collector: StartCollector) -> None:
    collector = start_collector()
    good, bad = trace_request(new_trace(), 3), b"\x0b"
    for door in DOORS:
        for body in (good, bad, bytes(LIMIT + 1)):
            send(collector, door, body)
    collector.request("GET", "/v1/traces")
    collector.post("/nowhere", b"")
    collector.post("/v1/traces", good, "text/plain")
    send(collector, "grpc", good)
    requests = counter(collector, "undertow_requests_total")
    seen = {
        ("http", "traces", "200"): 1,
        ("http", "traces", "400"): 1,
        ("http", "traces", "413"): 1,
        ("http", "traces", "415"): 1,
        ("http", "none", "405"): 1,
        ("http", "none", "404"): 1,
        ("grpc", "traces", "OK"): 2,
        ("grpc", "traces", "INVALID_ARGUMENT"): 1,
        ("grpc", "traces", "RESOURCE_EXHAUSTED"): 1,
    }
    for (door, signal, status), times in seen.items():
        series = f'{{door="{door}",signal="{signal}",status="{status}"}}'
        assert requests.pop(series) == times, (series, requests)
    assert requests == {}
    assert collector.request("GET", "/healthz").json["accepted"] == 9


# --- Health


def test_the_standard_health_service_tells_that_requests_are_taken(collector: RunningCollector) -> None:
    trace_service = TRACES.split("/")[1]
    for service in ("", trace_service):
        asked = StringValue(value=service).SerializeToString()
        for sent in (asked, gzip.compress(asked)):
            assert collector.rpc("/grpc.health.v1.Health/Check", sent) == b"\x08\x01"
    with pytest.raises(grpc.RpcError) as caught:
        collector.rpc("/grpc.health.v1.Health/Check", StringValue(value="other").SerializeToString())
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_who_watches_the_health_is_told_when_the_collector_stops(start_collector: StartCollector) -> None:
    collector = start_collector()
    with grpc.insecure_channel(f"127.0.0.1:{collector.grpc_port}") as channel:
        told = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=PATIENCE_S)
        assert next(told) == b"\x08\x01"
        assert collector.stop() == 0
        assert list(_until_the_end(told)) in ([b"\x08\x02"], [])


def _until_the_end(told: Any) -> Iterator[bytes]:
    try:
        yield from told
    except grpc.RpcError:
        return
