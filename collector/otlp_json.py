"""OTLP in JSON.

Ids stand in hexadecimal of any case, 64-bit integers as numbers or strings, enumerations as numbers or names,
bytes in base64, fields in camelCase or snake_case; unknown fields are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from collector.raw import (
    NO_SPAN,
    STATUS,
    Attributes,
    Decoded,
    RawEvent,
    RawLog,
    RawSpan,
    double,
    optional_ids,
    span_id,
    trace_id,
)
from undertow.errors import MalformedError

_INT64 = 1 << 63
_UINT64 = 1 << 64
_DEEPEST = 64

Reader = Callable[[dict[str, Any], str, Attributes], RawSpan | RawLog]


def decode_json(body: bytes, groups: str, scopes: str, items: str, read: Reader) -> Decoded:
    """Decode a request.

    Parameters
    ----------
    body : the JSON.
    groups, scopes, items : names of the three levels of lists.
    read : reads one item.

    Raises
    ------
    MalformedError
        The body is no JSON, or not an OTLP request down to its items.
    """
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"the body of {len(body)} bytes is no JSON: {error}") from None
    decoded = Decoded()
    try:
        for message, scope_name, resource in _json_items(request, groups, scopes, items):
            _read_item(decoded, read, message, scope_name, resource)
    except (TypeError, ValueError, RecursionError) as error:
        raise MalformedError(f"the JSON is no OTLP request: {error or type(error).__name__}") from None
    return decoded


def _json_items(request: Any, groups: str, scopes: str, items: str) -> Iterator[tuple[Any, str, Attributes]]:
    for group in map(_dict, _list(_dict(request), groups)):
        resource = _json_attributes(_get(_dict(_get(group, "resource") or {}), "attributes"))
        for scope in map(_dict, _list(group, scopes)):
            scope_name = _text(_get(_dict(_get(scope, "scope") or {}), "name"))
            for message in _list(scope, items):
                yield message, scope_name, resource


def _read_item(decoded: Decoded, read: Reader, message: Any, scope_name: str, resource: Attributes) -> None:
    try:
        item = read(_dict(message), scope_name, resource)
    except (TypeError, ValueError, RecursionError) as error:
        decoded.problems.append(f"item of scope {scope_name!r}: {error or type(error).__name__}")
        return
    if isinstance(item, RawSpan):
        decoded.spans.append(item)
    else:
        decoded.logs.append(item)


def read_span(message: dict[str, Any], scope_name: str, resource: Attributes) -> RawSpan:
    """Read one span; raises TypeError or ValueError."""
    status = _dict(_get(message, "status") or {})
    parent = _text(_get(message, "parentSpanId")).lower()
    return RawSpan(
        trace_id(_hex(_get(message, "traceId"))),
        span_id(_hex(_get(message, "spanId"))),
        parent if len(parent) == 16 and parent != NO_SPAN else None,
        _text(_get(message, "name")),
        _nanoseconds(_get(message, "startTimeUnixNano")),
        _nanoseconds(_get(message, "endTimeUnixNano")),
        _json_status(_get(status, "code")),
        _text(_get(status, "message")),
        _json_attributes(_get(message, "attributes")),
        [_json_event(_dict(event)) for event in _list(message, "events")],
        scope_name,
        resource,
    )


def _json_event(event: dict[str, Any]) -> RawEvent:
    return RawEvent(
        _text(_get(event, "name")),
        _nanoseconds(_get(event, "timeUnixNano")),
        _json_attributes(_get(event, "attributes")),
    )


def read_log(message: dict[str, Any], scope_name: str, resource: Attributes) -> RawLog:
    """Read one log record; raises TypeError or ValueError."""
    trace, span = _text(_get(message, "traceId")), _text(_get(message, "spanId"))
    body = _get(message, "body")
    return RawLog(
        *optional_ids(_hex(trace) if trace else "", _hex(span) if span else ""),
        _text(_get(message, "eventName")),
        _nanoseconds(_get(message, "timeUnixNano")) or _nanoseconds(_get(message, "observedTimeUnixNano")),
        _text(_get(message, "severityText")),
        _json_value(_dict(body)) if body is not None else None,
        _json_attributes(_get(message, "attributes")),
        scope_name,
        resource,
    )


def _get(message: dict[str, Any], name: str) -> Any:
    """Return a field by its camelCase name, else by its snake_case name."""
    if name in message:
        return message[name]
    return message.get(_snake(name))


def _snake(name: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {type(value).__name__}")
    return value


def _list(message: dict[str, Any], name: str) -> list[Any]:
    value = _get(message, name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise TypeError(f"{name}: expected an array, got {type(value).__name__}")
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"expected a string, got {type(value).__name__}")
    return value


def _hex(value: Any) -> str:
    text = _text(value).lower()
    # Python's parser of hexadecimal numbers also takes signs, underscores and spaces.
    if text.strip("0123456789abcdef"):
        raise ValueError(f"{value!r} is not hexadecimal")
    return text


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(f"expected an integer, got {type(value).__name__}")
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"{value!r} is not an integer")
    return int(value)


def _nanoseconds(value: Any) -> int:
    number = 0 if value is None else _integer(value)
    if not 0 <= number < _UINT64:
        raise ValueError(f"{value!r} is no time in nanoseconds")
    return number


def _json_status(code: Any) -> str:
    if isinstance(code, str) and not code.isdecimal():
        name = code.removeprefix("STATUS_CODE_")
        return name if name in STATUS else "UNSET"
    number = _integer(code or 0)
    return STATUS[number] if 0 <= number < len(STATUS) else "UNSET"


def _json_attributes(pairs: Any, depth: int = 0) -> Attributes:
    if pairs is None:
        return {}
    if not isinstance(pairs, list):
        raise TypeError(f"attributes: expected an array, got {type(pairs).__name__}")
    found = ((_text(_get(pair, "key")), _dict(_get(pair, "value") or {})) for pair in map(_dict, pairs))
    return {key: _json_value(value, depth) for key, value in found}


def _json_value(value: dict[str, Any], depth: int = 0) -> Any:
    if depth > _DEEPEST:
        raise ValueError(f"a value is nested deeper than {_DEEPEST} levels")
    for name, item in value.items():
        if item is None:
            continue
        if name in _SCALARS:
            return _SCALARS[name](item)
        if name in ("arrayValue", "array_value"):
            return [_json_value(_dict(inner), depth + 1) for inner in _list(_dict(item), "values")]
        if name in ("kvlistValue", "kvlist_value"):
            return _json_attributes(_get(_dict(item), "values"), depth + 1)
    return None


def _json_int(value: Any) -> int:
    number = _integer(value)
    if not -_INT64 <= number < _INT64:
        raise ValueError(f"{value!r} does not fit 64 bits")
    return number


def _json_double(value: Any) -> float | str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(f"expected a number, got {type(value).__name__}")
    return double(float(value))


def _json_bool(value: Any) -> bool:
    if value in (True, False):
        return bool(value)
    raise TypeError(f"expected true or false, got {value!r}")


_CAMEL_SCALARS: dict[str, Callable[[Any], Any]] = {
    "stringValue": _text,
    "boolValue": _json_bool,
    "intValue": _json_int,
    "doubleValue": _json_double,
    "bytesValue": _text,
}
_SCALARS = {**_CAMEL_SCALARS, **{_snake(name): reader for name, reader in _CAMEL_SCALARS.items()}}
