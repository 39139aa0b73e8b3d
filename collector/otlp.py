"""OTLP in protobuf or JSON becomes raw spans and log records, with no idea of what they mean."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector import otlp_json
from collector.raw import (
    NO_SPAN,
    STATUS,
    Attributes,
    Decoded,
    Encoding,
    RawEvent,
    RawLog,
    RawSpan,
    double,
    optional_ids,
    span_id,
    trace_id,
)
from undertow.errors import MalformedError


def decode_traces(body: bytes, *, encoding: Encoding) -> Decoded:
    """Decode an ``ExportTraceServiceRequest``.

    Parameters
    ----------
    body : the request body after decompression.
    encoding : ``protobuf`` or ``json``.

    Raises
    ------
    MalformedError
        The body as a whole cannot be decoded. A single bad span is a problem, not an error.
    """
    if encoding == "json":
        return otlp_json.decode_json(body, "resourceSpans", "scopeSpans", "spans", otlp_json.read_span)
    decoded = Decoded()
    for group in _parsed(ExportTraceServiceRequest(), body).resource_spans:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_spans:
            scope_name = scope.scope.name
            for message in scope.spans:
                try:
                    decoded.spans.append(_span(message, scope_name, resource))
                except ValueError as error:
                    decoded.problems.append(f"span {message.name!r}: {error}")
    return decoded


def decode_logs(body: bytes, *, encoding: Encoding) -> Decoded:
    """Decode an ``ExportLogsServiceRequest``; parameters and errors as in :func:`decode_traces`."""
    if encoding == "json":
        return otlp_json.decode_json(body, "resourceLogs", "scopeLogs", "logRecords", otlp_json.read_log)
    decoded = Decoded()
    for group in _parsed(ExportLogsServiceRequest(), body).resource_logs:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_logs:
            scope_name = scope.scope.name
            for message in scope.log_records:
                try:
                    decoded.logs.append(_log(message, scope_name, resource))
                except ValueError as error:
                    decoded.problems.append(f"log record: {error}")
    return decoded


# --- Protobuf ----------------------------------------------------------------------------------------


def _parsed(message: Any, body: bytes) -> Any:
    try:
        message.ParseFromString(body)
    except (DecodeError, RecursionError) as error:
        raise MalformedError(
            f"the body of {len(body)} bytes is no {type(message).__name__} in protobuf: {error}"
        ) from None
    return message


def _span(message: Any, scope_name: str, resource: Attributes) -> RawSpan:
    status = message.status
    code = status.code
    parent = message.parent_span_id.hex()
    return RawSpan(
        trace_id(message.trace_id.hex()),
        span_id(message.span_id.hex()),
        parent if len(parent) == 16 and parent != NO_SPAN else None,
        message.name,
        message.start_time_unix_nano,
        message.end_time_unix_nano,
        STATUS[code] if 0 <= code < 3 else "UNSET",
        status.message,
        _attributes(message.attributes),
        [RawEvent(e.name, e.time_unix_nano, _attributes(e.attributes)) for e in message.events],
        scope_name,
        resource,
    )


def _log(message: Any, scope_name: str, resource: Attributes) -> RawLog:
    attributes = _attributes(message.attributes)
    trace, span = optional_ids(message.trace_id.hex(), message.span_id.hex())
    return RawLog(
        trace,
        span,
        message.event_name,
        message.time_unix_nano or message.observed_time_unix_nano,
        message.severity_text,
        _value(message.body),
        attributes,
        scope_name,
        resource,
    )


def _attributes(pairs: Any) -> Attributes:
    found = {}
    for pair in pairs:
        value = pair.value
        # Most values are strings, and the getter of a field that is not set is cheaper than asking which is.
        found[pair.key] = value.string_value or _value(value)
    return found


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    reader = _READERS.get(kind)
    return None if reader is None else reader(value)


_READERS: dict[str, Callable[[Any], Any]] = {
    "string_value": lambda value: value.string_value,
    "bool_value": lambda value: value.bool_value,
    "int_value": lambda value: value.int_value,
    "double_value": lambda value: double(value.double_value),
    "array_value": lambda value: [_value(item) for item in value.array_value.values],
    "kvlist_value": lambda value: {item.key: _value(item.value) for item in value.kvlist_value.values},
    "bytes_value": lambda value: _bytes(value.bytes_value),
}


def _bytes(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
