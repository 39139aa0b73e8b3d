"""Spans and log records as OTLP carries them, before anybody asks what they mean."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

Encoding = Literal["protobuf", "json"]
Attributes = dict[str, Any]

_NO_TRACE = "0" * 32
NO_SPAN = "0" * 16
STATUS = ("UNSET", "OK", "ERROR")


@dataclass(slots=True)
class RawEvent:
    """One event of a span."""

    name: str
    time_ns: int
    attributes: Attributes


@dataclass(slots=True)
class RawSpan:
    """One span; ids in lower-case hexadecimal, times in nanoseconds since the epoch."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    start_ns: int
    end_ns: int
    status: str
    status_message: str
    attributes: Attributes
    events: list[RawEvent]
    scope_name: str
    resource: Attributes


@dataclass(slots=True)
class RawLog:
    """One log record; ids are None where it stands outside any trace."""

    trace_id: str | None
    span_id: str | None
    event_name: str
    time_ns: int
    severity: str
    body: Any
    attributes: Attributes
    scope_name: str
    resource: Attributes


@dataclass(slots=True)
class Decoded:
    """What one request held, in the order of the request; ``problems`` names each refused item."""

    spans: list[RawSpan] = field(default_factory=list)
    logs: list[RawLog] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def double(number: float) -> float | str:
    """Keep what JSON cannot hold by the name that OTLP/JSON gives it."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def trace_id(text: str) -> str:
    """Return a trace id unless it is none; raises ValueError."""
    if len(text) != 32 or text == _NO_TRACE:
        raise ValueError(f"trace id {text!r} is not 16 bytes that are not all zero")
    return text


def span_id(text: str) -> str:
    """Return a span id unless it is none; raises ValueError."""
    if len(text) != 16 or text == NO_SPAN:
        raise ValueError(f"span id {text!r} is not 8 bytes that are not all zero")
    return text


def optional_ids(trace: str, span: str) -> tuple[str | None, str | None]:
    """Return the ids of a log record that may stand outside any trace."""
    known = len(trace) == 32 and trace != _NO_TRACE
    return (trace if known else None), (span if known and len(span) == 16 and span != NO_SPAN else None)
