"""Small spans, log records and OTLP bodies for tests."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from collector.normalise import normalise_logs, normalise_traces
from collector.raw import RawEvent, RawLog, RawSpan
from collector.records import Record

START_NS = 1_790_000_000 * 10**9
TRACE = "a" * 32
CODES = {"UNSET": 0, "OK": 1, "ERROR": 2}


def any_value(value: Any) -> AnyValue:
    """Encode a Python value as AnyValue."""
    message = AnyValue()
    if isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, int):
        message.int_value = value
    elif isinstance(value, float):
        message.double_value = value
    elif isinstance(value, bytes):
        message.bytes_value = value
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, list):
        message.array_value.SetInParent()
        message.array_value.values.extend(any_value(item) for item in value)
    elif isinstance(value, dict):
        message.kvlist_value.SetInParent()
        put(message.kvlist_value.values, value)
    return message


def put(pairs: Any, values: dict[str, Any]) -> None:
    """Append attributes to a repeated KeyValue field."""
    for key, value in values.items():
        pair = pairs.add()
        pair.key = key
        pair.value.CopyFrom(any_value(value))


def span_id(number: int) -> str:
    """Return the id of the span with this number."""
    return f"{number:016x}"


def spans_body(*spans: dict[str, Any], resource: dict[str, Any] | None = None, scope: str = "test") -> bytes:
    """Return the protobuf body of spans given as `dict(id, parent, name, start, end, attributes, …)`; times in ms."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    put(group.resource.attributes, {"service.name": "shop"} if resource is None else resource)
    for item in spans:
        scope_spans = group.scope_spans.add()
        scope_spans.scope.name = item.get("scope", scope)
        span = scope_spans.spans.add()
        span.trace_id = bytes.fromhex(item.get("trace", TRACE))
        span.span_id = bytes.fromhex(span_id(item["id"]))
        if item.get("parent") is not None:
            span.parent_span_id = bytes.fromhex(span_id(item["parent"]))
        span.name = item.get("name", "span")
        span.start_time_unix_nano = item.get("start_ns", START_NS + round(item.get("start", 0) * 10**6))
        span.end_time_unix_nano = item.get(
            "end_ns", START_NS + round(item.get("end", item.get("start", 0) + 10) * 10**6)
        )
        span.status.code = CODES[item.get("status", "UNSET")]
        span.status.message = item.get("message", "")
        put(span.attributes, item.get("attributes", {}))
        for name, attributes in item.get("events", []):
            event = span.events.add(name=name, time_unix_nano=span.start_time_unix_nano + 5 * 10**6)
            put(event.attributes, attributes)
    return request.SerializeToString()


def logs_body(*logs: dict[str, Any], resource: dict[str, Any] | None = None) -> bytes:
    """Return the protobuf body of log records given as `dict(event, span, at, attributes, body)`."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    put(group.resource.attributes, {"service.name": "shop"} if resource is None else resource)
    scope_logs = group.scope_logs.add()
    for item in logs:
        log = scope_logs.log_records.add()
        if item.get("span") is not None:
            log.trace_id = bytes.fromhex(item.get("trace", TRACE))
            log.span_id = bytes.fromhex(span_id(item["span"]))
        log.event_name = item.get("event", "")
        log.time_unix_nano = START_NS + round(item.get("at", 0) * 10**6)
        if "body" in item:
            log.body.CopyFrom(any_value(item["body"]))
        put(log.attributes, item.get("attributes", {}))
    return request.SerializeToString()


def spans(*items: dict[str, Any], **options: Any) -> list[Record]:
    """Return the records of some spans."""
    return normalise_traces(spans_body(*items, **options), encoding="protobuf", received_ns=START_NS).records


def logs(*items: dict[str, Any]) -> list[Record]:
    """Return the records of some log records."""
    return normalise_logs(logs_body(*items), encoding="protobuf").records


def chat(
    number: int,
    *,
    parent: int | None = None,
    question: str | None = "Why?",
    answer: str | None = "Because.",
    **more: Any,
) -> dict[str, Any]:
    """Return a chat span of the current conventions; `extra` adds attributes."""
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
    }
    if question is not None:
        attributes["gen_ai.input.messages"] = [{"role": "user", "parts": [{"type": "text", "content": question}]}]
    if answer is not None:
        attributes["gen_ai.output.messages"] = [{"role": "assistant", "parts": [{"type": "text", "content": answer}]}]
    attributes.update(more.pop("extra", {}))
    return {"id": number, "parent": parent, "name": "chat", "attributes": attributes, **more}


def retrieval(
    number: int, documents: list[Any], *, parent: int | None = None, query: str = "Why?", **more: Any
) -> dict[str, Any]:
    """Return a retrieval span of the current conventions."""
    attributes = {
        "gen_ai.operation.name": more.pop("operation", "retrieval"),
        "gen_ai.retrieval.query.text": query,
        "gen_ai.retrieval.documents": documents,
    }
    return {"id": number, "parent": parent, "name": "retrieval", "attributes": attributes, **more}


def raw_span(
    attributes: dict[str, Any],
    events: list[tuple[str, dict[str, Any]]] | None = None,
    *,
    name: str = "span",
    scope: str = "test",
    status: str = "UNSET",
) -> RawSpan:
    """Return a raw span with these attributes."""
    found = [RawEvent(event, START_NS + 5 * 10**6, values) for event, values in events or []]
    end_ns = START_NS + 10**7
    return RawSpan(TRACE, span_id(1), None, name, START_NS, end_ns, status, "", attributes, found, scope, {})


def example_span(example: dict[str, Any]) -> RawSpan:
    """Return the span of one example under ``testdata/dialects``."""
    told = {key: example[key] for key in ("name", "scope", "status") if key in example}
    return raw_span(example["attributes"], example.get("events"), **told)


def raw_log(event_name: str, attributes: dict[str, Any], body: Any = None) -> RawLog:
    """Return a raw log record."""
    return RawLog(TRACE, span_id(1), event_name, START_NS, "", body, attributes, "test", {})
