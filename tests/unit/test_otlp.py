"""OTLP is decoded by its rules, and one bad item does not spoil a request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collector.otlp import decode_logs, decode_traces
from collector.raw import RawSpan
from tests.telemetry_factory import TRACE, any_value, logs_body, spans_body
from undertow.errors import MalformedError


def request(*spans: dict[str, Any]) -> bytes:
    scope = {"scope": {"name": "s"}, "spans": list(spans)}
    return json.dumps({"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [scope]}]}).encode()


def decoded(**fields: Any) -> RawSpan:
    span = {"traceId": "a" * 32, "spanId": "b" * 16, "name": "n", **fields}
    return decode_traces(request(span), encoding="json").spans[0]


def attribute(value: dict[str, Any]) -> Any:
    return decoded(attributes=[{"key": "k", "value": value}]).attributes["k"]


def test_ids_in_upper_case_are_the_same_ids() -> None:
    span = decoded(traceId="AB" * 16, spanId="CD" * 8, parentSpanId="EF" * 8)
    assert (span.trace_id, span.span_id, span.parent_span_id) == ("ab" * 16, "cd" * 8, "ef" * 8)


@pytest.mark.parametrize("time", ["1790000000000000001", 1790000000000000001])
def test_times_are_numbers_or_strings_without_loss(time: object) -> None:
    assert decoded(startTimeUnixNano=time, endTimeUnixNano=time).start_ns == 1790000000000000001


@pytest.mark.parametrize("code", [2, "2", "STATUS_CODE_ERROR"])
def test_enumerations_are_numbers_or_names(code: object) -> None:
    assert decoded(status={"code": code, "message": "m"}).status == "ERROR"


def test_snake_case_is_understood_and_unknown_fields_are_ignored() -> None:
    span = {"trace_id": "a" * 32, "span_id": "b" * 16, "start_time_unix_nano": "5", "surprise": {"x": [1]}}
    pair = {"key": "k", "value": {"int_value": "7"}}
    body = {"resource_spans": [{"scope_spans": [{"spans": [span | {"attributes": [pair]}]}]}]}
    found = decode_traces(json.dumps(body).encode(), encoding="json").spans[0]
    assert (found.start_ns, found.attributes) == (5, {"k": 7})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"stringValue": "x"}, "x"),
        ({"intValue": "-9223372036854775808"}, -(2**63)),
        ({"intValue": 3.0}, 3),
        ({"doubleValue": 1}, 1.0),
        ({"doubleValue": "NaN"}, "NaN"),
        ({"boolValue": False}, False),
        ({"bytesValue": "AAE="}, "AAE="),
        ({"arrayValue": {"values": [{"intValue": 1}, {}]}}, [1, None]),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"stringValue": "b"}}]}}, {"a": "b"}),
        ({}, None),
    ],
)
def test_every_kind_of_value_is_read(value: dict[str, Any], expected: object) -> None:
    assert attribute(value) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"traceId": "a" * 31},
        {"traceId": "0" * 32},
        {"traceId": "g" * 32},
        {"traceId": "+" + "1" * 31},
        {"spanId": ""},
        {"startTimeUnixNano": "-1"},
        {"startTimeUnixNano": "18446744073709551616"},
        {"attributes": [{"key": "k", "value": {"intValue": "9223372036854775808"}}]},
        {"attributes": {"key": "k"}},
        {"name": 5},
    ],
)
def test_a_bad_span_is_refused_and_the_others_are_kept(fields: dict[str, Any]) -> None:
    good = {"traceId": "a" * 32, "spanId": "b" * 16}
    found = decode_traces(request(good | fields, good), encoding="json")
    assert (len(found.spans), len(found.problems)) == (1, 1)


def test_a_span_with_an_empty_id_in_protobuf_is_refused_alone() -> None:
    found = decode_traces(spans_body({"id": 1}, {"id": 0}), encoding="protobuf")
    assert [span.span_id for span in found.spans] == [f"{1:016x}"]
    assert len(found.problems) == 1


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'"x"', b'{"resourceSpans": {}}', b'{"resourceSpans": [3]}', b"\xff"]
)
def test_a_body_that_is_no_request_in_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_traces(body, encoding="json")


@pytest.mark.parametrize("body", [b"\xff\xff", b"\x0a\x05abc"])
def test_a_body_that_is_no_request_in_protobuf_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_traces(body, encoding="protobuf")


def test_an_empty_request_holds_nothing() -> None:
    assert decode_traces(b"", encoding="protobuf").spans == []
    assert decode_traces(b"{}", encoding="json").spans == []


def test_values_nested_beyond_reason_refuse_the_span_only() -> None:
    value: dict[str, Any] = {"stringValue": "x"}
    for _ in range(300):
        value = {"arrayValue": {"values": [value]}}
    good = {"traceId": "a" * 32, "spanId": "b" * 16}
    found = decode_traces(request(good | {"attributes": [{"key": "k", "value": value}]}, good), encoding="json")
    assert (len(found.spans), len(found.problems)) == (1, 1)


def test_protobuf_keeps_numbers_lists_and_bytes() -> None:
    attributes = {"i": 2**62, "d": 0.5, "l": ["a", 1, {"b": False}], "e": "", "y": b"\x00\x01"}
    span = decode_traces(spans_body({"id": 1, "attributes": attributes}), encoding="protobuf").spans[0]
    assert span.attributes == attributes | {"y": "AAE="}
    assert any_value("").WhichOneof("value") == "string_value"


def test_a_log_record_may_stand_outside_any_trace() -> None:
    inside, outside = decode_logs(
        logs_body({"span": 1, "body": {"a": [1]}}, {"body": "text"}), encoding="protobuf"
    ).logs
    assert (inside.trace_id, inside.span_id, inside.body) == (TRACE, f"{1:016x}", {"a": [1]})
    assert (outside.trace_id, outside.span_id, outside.body) == (None, None, "text")
