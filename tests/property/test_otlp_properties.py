"""The decoder gives the same for both encodings, and refuses what it cannot read in one way only."""

from __future__ import annotations

import base64
import gzip
import json
import time
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.bodies import gunzip
from collector.intake import change_record, feedback_record
from collector.normalise import normalise_logs, normalise_traces
from tests.telemetry_factory import logs_body, spans_body
from undertow.errors import MalformedError, TooLargeError

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
FIELDS = st.sampled_from(
    [
        *("traceId", "spanId", "parentSpanId", "name", "startTimeUnixNano", "end_time_unix_nano", "status", "code"),
        *("attributes", "events", "key", "value", "stringValue", "intValue", "arrayValue", "kvlistValue", "values"),
        *("resource", "scope", "scopeSpans", "spans", "body", "eventName", "timeUnixNano"),
    ]
)
KEYS = st.sampled_from(
    [
        "gen_ai.operation.name",
        "gen_ai.request.model",
        "gen_ai.input.messages",
        "openinference.span.kind",
        "llm.input_messages.0.message.content",
        "session.id",
        "other",
    ]
)
SCALARS = (
    TEXT
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.binary(max_size=8)
    | st.sampled_from(["chat", "LLM"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
SPANS = st.fixed_dictionaries(
    {
        "id": st.integers(1, 2**63),
        "parent": st.none() | st.integers(1, 2**63),
        "name": TEXT,
        "start_ns": st.integers(0, 2**64 - 10**7),
        "end_ns": st.integers(0, 2**64 - 1),
        "status": st.sampled_from(["UNSET", "OK", "ERROR"]),
        "message": TEXT,
        "attributes": st.dictionaries(KEYS, VALUES, max_size=4),
        "events": st.lists(st.tuples(TEXT, st.dictionaries(TEXT, SCALARS, max_size=2)), max_size=2),
    }
)
LOGS = st.fixed_dictionaries(
    {
        "event": st.sampled_from(["gen_ai.user.message", "gen_ai.choice", "gen_ai.evaluation.result", ""]),
        "span": st.none() | st.integers(1, 2**63),
        "body": VALUES,
        "attributes": st.dictionaries(KEYS, VALUES, max_size=3),
    }
)


def as_json(message: ExportTraceServiceRequest | ExportLogsServiceRequest, body: bytes) -> bytes:
    """The same request in OTLP/JSON: ids in hexadecimal instead of base64."""
    message.ParseFromString(body)
    tree = MessageToDict(message)

    def hexadecimal(node: object) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                if key in ("traceId", "spanId", "parentSpanId"):
                    node[key] = base64.b64decode(value).hex()
                else:
                    hexadecimal(value)
        elif isinstance(node, list):
            for item in node:
                hexadecimal(item)

    hexadecimal(tree)
    return json.dumps(tree).encode()


@settings(max_examples=80, deadline=None)
@given(st.lists(SPANS, max_size=3))
def test_spans_in_protobuf_and_json_are_the_same_records(spans: list[dict[str, object]]) -> None:
    body = spans_body(*spans)
    one = normalise_traces(body, encoding="protobuf", received_ns=0)
    other = normalise_traces(as_json(ExportTraceServiceRequest(), body), encoding="json", received_ns=0)
    assert len(one.records) + one.rejected == len(spans)
    assert one.records == other.records


@settings(max_examples=60, deadline=None)
@given(st.lists(LOGS, max_size=3))
def test_logs_in_protobuf_and_json_are_the_same_records(logs: list[dict[str, object]]) -> None:
    body = logs_body(*logs)
    one = normalise_logs(body, encoding="protobuf")
    other = normalise_logs(as_json(ExportLogsServiceRequest(), body), encoding="json")
    assert one == other


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["protobuf", "json"]))
def test_random_bytes_are_malformed_or_hold_nothing_valid(body: bytes, encoding: str) -> None:
    for normalise in (normalise_traces, normalise_logs):
        try:
            found = normalise(body, encoding=encoding)  # type: ignore[operator]
        except MalformedError as error:
            assert str(error)
        else:
            assert isinstance(found.records, list)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=4))
def test_a_damaged_request_never_fails_in_another_way(position: int, noise: bytes) -> None:
    body = spans_body({"id": 1, "attributes": {"gen_ai.operation.name": "chat", "a": [1, {"b": "c"}]}}, {"id": 2})
    at = position % len(body)
    try:
        normalise_traces(body[:at] + noise + body[at + len(noise) :], encoding="protobuf")
    except MalformedError as error:
        assert str(error)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | FIELDS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=250, deadline=None)
@given(JSON_VALUES, st.sampled_from(["spans", "logRecords", "attributes", ""]))
def test_any_json_in_any_place_is_read_rejected_or_malformed(value: object, place: str) -> None:
    trees: dict[str, object] = {
        "spans": {"resourceSpans": [{"scopeSpans": [{"spans": [value]}]}]},
        "logRecords": {"resourceLogs": [{"scopeLogs": [{"logRecords": [value]}]}]},
        "attributes": {"resourceSpans": [{"resource": value, "scopeSpans": [{"scope": value, "spans": value}]}]},
        "": value,
    }
    body = json.dumps(trees[place]).encode()
    for normalise in (normalise_traces, normalise_logs):
        try:
            found = normalise(body, encoding="json")
        except MalformedError as error:
            assert str(error)
        else:
            assert bool(found.rejected) == bool(found.error_message)


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_a_request_cut_at_any_byte_is_malformed_or_a_part_of_it(encoding: Any) -> None:
    whole = spans_body({"id": 1, "attributes": {"gen_ai.operation.name": "chat", "a": [1, {"b": "c"}]}}, {"id": 2})
    body = whole if encoding == "protobuf" else as_json(ExportTraceServiceRequest(), whole)
    for end in range(len(body)):
        try:
            found = normalise_traces(body[:end], encoding=encoding)
        except MalformedError as error:
            assert str(error)
        else:
            assert encoding == "protobuf"  # where a part may be a message of its own
            assert len(found.records) < 2


@pytest.mark.parametrize("members", [1, 2])
def test_gzip_cut_at_any_byte_is_malformed_unless_the_cut_is_between_members(members: int) -> None:
    body = spans_body({"id": 1})
    packed = gzip.compress(body) * members
    assert gunzip(packed, 2**20) == body * members
    for end in range(len(packed)):
        if end and end % (len(packed) // members) == 0:
            continue
        with pytest.raises(MalformedError):
            gunzip(packed[:end], 2**20)


def test_the_time_for_gzip_of_very_many_members_grows_with_their_number_alone() -> None:
    empty = gzip.compress(b"")
    took = []
    for size in (2**17, 2**21):
        started = time.process_time()
        assert gunzip(empty * (size // len(empty)), 2**20) == b""
        took.append(time.process_time() - started)
    assert took[1] < 80 * took[0]  # 16 times the members; copying the rest at each would take 256 times as long


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_bytes_that_say_they_are_gzip_are_unpacked_or_malformed(data: bytes, with_magic: bool) -> None:
    body = b"\x1f\x8b\x08" + data if with_magic else data
    try:
        found = gunzip(body, 1000)
    except (MalformedError, TooLargeError) as error:
        assert str(error)
    else:
        assert len(found) <= 1000


@settings(max_examples=250, deadline=None)
@given(
    JSON_VALUES
    | st.fixed_dictionaries(
        {},
        optional={
            "target": st.dictionaries(
                st.sampled_from(["trace_id", "span_id", "response_id", "session_id"]), JSON_VALUES
            ),
            "kind": st.sampled_from(["thumb", "rating", "verdict", "comment", "model", "prompt"]),
            "name": JSON_VALUES,
            "value": JSON_VALUES,
            "label": TEXT,
            "at": TEXT | st.just("2026-11-20T09:30:00Z") | st.just("0001-01-01T00:00:00"),
            "id": TEXT,
        },
    )
)
def test_any_json_as_feedback_or_change_is_a_record_or_malformed(body: object) -> None:
    for make in (feedback_record, change_record):
        try:
            record = make(body, now_ns=0)
        except MalformedError as error:
            assert str(error)
        else:
            assert record["record_id"]
