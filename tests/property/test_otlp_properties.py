"""The decoder gives the same for both encodings, and refuses what it cannot read in one way only."""

from __future__ import annotations

import base64
import json

from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.normalise import normalise_logs, normalise_traces
from tests.telemetry_factory import logs_body, spans_body
from undertow.errors import MalformedError

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
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
