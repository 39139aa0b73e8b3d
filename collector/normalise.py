"""Requests become records: decoded, read by the dialect that claims them, residue kept beside the facts."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from typing import Any

import orjson

from collector.dialects import DIALECTS
from collector.dialects.base import Dialect, Reading
from collector.dialects.values import tidy
from collector.otlp import decode_logs, decode_traces
from collector.raw import Attributes, Decoded, Encoding, RawEvent, RawLog, RawSpan
from collector.records import Normalised, Record
from collector.refusal import without_content
from undertow import semconv as names

logger = logging.getLogger(__name__)

_UNKNOWN_SERVICE = "unknown_service"
_YEAR_2000_NS = 946_684_800 * 10**9
_YEAR_2100_NS = 4_102_444_800 * 10**9
_FAST_CLOCK_NS = 300 * 10**9
_EXCEPTION_IN_MESSAGE = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Timeout))\b")
_CLASS = re.compile(r"<class '([\w.]+)'>")
_BARE_EXCEPTION = "Exception"
"""What some clients raise anew to report another exception, whose name then stands in the message."""

_OTHER_ERROR = "_OTHER"
"""What the conventions call an error of no known type."""


def normalise_traces(body: bytes, *, encoding: Encoding, received_ns: int | None = None) -> Normalised:
    """Turn the decompressed body of a trace export into records.

    Parameters
    ----------
    body : an ``ExportTraceServiceRequest``.
    encoding : ``protobuf`` (also for gRPC messages) or ``json``.
    received_ns : when the request arrived, nanoseconds since the epoch; now, if not given. A span that starts
        more than five minutes later is flagged ``time_in_future``.

    Raises
    ------
    MalformedError
        The body as a whole cannot be decoded. A single bad span is counted in ``rejected``.
    """
    now = time.time_ns() if received_ns is None else received_ns
    decoded = decode_traces(body, encoding=encoding)
    residues: dict[int, Attributes] = {}
    records = []
    for span in decoded.spans:
        try:
            records.append(_span_record(span, _service(span.resource, residues), now))
        except Exception as error:  # one span that nobody foresaw must not cost the others
            decoded.problems.append(_unforeseen(f"span {span.name!r}", error))
    return _result(decoded, records)


def normalise_logs(body: bytes, *, encoding: Encoding) -> Normalised:
    """Turn the decompressed body of a log export into records; see :func:`normalise_traces`.

    Log records that no dialect claims are counted in ``ignored``.
    """
    decoded = decode_logs(body, encoding=encoding)
    residues: dict[int, Attributes] = {}
    records = []
    ignored = 0
    for sequence, log in enumerate(decoded.logs):
        try:
            record = _log_record(log, sequence, residues)
        except Exception as error:
            decoded.problems.append(_unforeseen("log record", error))
            continue
        if record is None:
            ignored += 1
        else:
            records.append(record)
    return _result(decoded, records, ignored)


def _result(decoded: Decoded, records: list[Record], ignored: int = 0) -> Normalised:
    return Normalised(records, len(decoded.problems), ignored, "; ".join(decoded.problems[:3]))


def _unforeseen(what: str, error: Exception) -> str:
    logger.error("a %s cannot be read: %s", what.split(maxsplit=1)[0], without_content(error))
    return f"{what} cannot be read ({type(error).__name__})"


_Service = tuple[str, str | None, Attributes]


def _service(resource: Attributes, known: dict[int, Any]) -> _Service:
    """Return name, environment and residue of a resource, worked out once per resource of a request."""
    found: _Service | None = known.get(id(resource))
    if found is None:
        environment = next((str(resource[key]) for key in names.ENVIRONMENTS if resource.get(key)), None)
        mapped = (names.SERVICE_NAME, *names.ENVIRONMENTS)
        residue = {key: value for key, value in resource.items() if key not in mapped}
        found = str(resource.get(names.SERVICE_NAME) or _UNKNOWN_SERVICE), environment, residue
        known[id(resource)] = found
    return found


def _span_record(span: RawSpan, service: _Service, now: int) -> Record:
    dialect, reading = _read_span(span)
    name, environment, resource = service
    error_type, error_message = _error(span, reading.failure)
    record: Record = {
        "record_id": f"{span.trace_id}:{span.span_id}",
        "kind": "span",
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "name": span.name,
        "operation": reading.operation,
        "service_name": name,
        "scope_name": span.scope_name,
        "dialect": dialect.name,
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "status": span.status if reading.failure is None else "ERROR",
        "error_type": error_type,
        "error_message": error_message,
        "flags": _flags(span, now),
        "facts": reading.facts,
        "attributes": _residue(span.attributes, reading.used),
        "events": [_event(event) for event in span.events if event.name not in reading.used_events],
        "resource": resource,
    }
    if environment is not None:
        record["environment"] = environment
    return record


def _read_span(span: RawSpan) -> tuple[Dialect, Reading]:
    """Return what the first dialect that claims a span makes of it; where that fails, the span stays plain."""
    dialect = next(member for member in DIALECTS if member.claims(span))
    try:
        return dialect, dialect.read_span(span)
    except Exception as error:
        logger.error("dialect %s cannot read a span, which stays plain: %s", dialect.name, without_content(error))
    return DIALECTS[-1], DIALECTS[-1].read_span(span)


def _residue(attributes: Attributes, used: set[str]) -> Attributes:
    return {key: tidy(value) for key, value in attributes.items() if key not in used}


def _event(event: RawEvent) -> dict[str, Any]:
    return {"name": event.name, "time_ns": event.time_ns, "attributes": tidy(event.attributes)}


def _error(span: RawSpan, failure: str | None) -> tuple[str | None, str | None]:
    """Return type and message of the error that a span ended with, by its status or by what its dialect read."""
    declared = _class_name(span.attributes.get(names.ERROR_TYPE))
    failed = span.status == "ERROR" or failure is not None
    if not failed and not declared:
        return None, None
    raised = [event.attributes for event in span.events if event.name == names.EXCEPTION_EVENT]
    last: Attributes = raised[-1] if raised else {}
    message = span.status_message or str(last.get(names.EXCEPTION_MESSAGE) or "") or failure or None
    kind = declared or last.get(names.EXCEPTION_TYPE)
    if (not kind or kind == _BARE_EXCEPTION) and message:
        found = _EXCEPTION_IN_MESSAGE.match(message)
        kind = found.group(1) if found else kind
    return str(kind or _OTHER_ERROR), message


def _class_name(declared: Any) -> Any:
    """Return the class that ``<class 'openai.RateLimitError'>`` names; some clients send it so."""
    found = _CLASS.fullmatch(declared) if isinstance(declared, str) else None
    return found.group(1) if found else declared


def _flags(span: RawSpan, now: int) -> list[str]:
    flags = []
    if span.end_ns < span.start_ns:
        flags.append(names.FLAG_END_BEFORE_START)
    if not (_YEAR_2000_NS <= span.start_ns < _YEAR_2100_NS and _YEAR_2000_NS <= span.end_ns < _YEAR_2100_NS):
        flags.append(names.FLAG_IMPOSSIBLE_TIME)
    elif span.start_ns > now + _FAST_CLOCK_NS:
        flags.append(names.FLAG_FUTURE_TIME)
    return flags


# --- Logs --------------------------------------------------------------------------------------------


def _log_record(log: RawLog, sequence: int, residues: dict[int, Any]) -> Record | None:
    event_name = log.event_name or next(
        (str(log.attributes[k]) for k in names.EVENT_NAMES if log.attributes.get(k)), ""
    )
    read = _read_log(log, event_name) if event_name else None
    if read is None:
        return None
    dialect, reading = read
    name, environment, resource = _service(log.resource, residues)
    record: Record = {
        "record_id": _identity(log, event_name),
        "kind": "log",
        "trace_id": log.trace_id,
        "span_id": log.span_id,
        "name": event_name,
        "operation": reading.operation,
        "service_name": name,
        "scope_name": log.scope_name,
        "dialect": dialect.name,
        "start_ns": log.time_ns,
        "end_ns": log.time_ns,
        "sequence": sequence,
        "facts": reading.facts,
        "attributes": _residue(log.attributes, reading.used),
        "resource": resource,
    }
    if environment is not None:
        record["environment"] = environment
    return record


def _read_log(log: RawLog, event_name: str) -> tuple[Dialect, Reading] | None:
    for dialect in DIALECTS:
        reading = dialect.read_log(log, event_name)
        if reading is not None:
            return dialect, reading
    return None


def _identity(log: RawLog, event_name: str) -> str:
    """Return the same id for the same log record, however often it is sent."""
    content = (
        log.resource.get(names.SERVICE_NAME),
        log.scope_name,
        log.trace_id,
        log.span_id,
        event_name,
        log.time_ns,
        log.attributes,
        log.body,
    )
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
