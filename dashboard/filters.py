"""The filters of every page: URL ↔ `Filters` ↔ SQL predicate. Pure; the widgets stand in ``filter_bar``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

WINDOWS: Mapping[str, str] = {
    "24h": "last 24 hours",
    "3d": "last 3 days",
    "7d": "last 7 days",
    "14d": "last 14 days",
    "30d": "last 30 days",
    "all": "all data",
}
REFERENCES: Mapping[str, str] = {
    "28d": "vs 4 weeks before",
    "7d": "vs 1 week before",
    "same": "vs as long before",
}
DEFAULT_WINDOW = "7d"
DEFAULT_REFERENCE = "28d"
_SPAN = re.compile(r"(\d{4}-\d{2}-\d{2})\.\.(\d{4}-\d{2}-\d{2})")
_LENGTH = re.compile(r"(\d{1,3})([hd])")
_SEMANTIC = (
    "i.duplicate_of IS NULL AND i.operation IN ('chat', 'text_completion') AND coalesce(i.flags, '') NOT LIKE '%time%'"
)
_IN_TOPIC = (
    "EXISTS (SELECT 1 FROM topic_assignments picked WHERE picked.interaction_id = i.interaction_id"
    " AND picked.field = 'prompt' AND (picked.topic_id = $topic"
    " OR picked.topic_id IN (SELECT sub.topic_id FROM topics sub LEFT JOIN topics mid ON mid.topic_id = sub.parent_id"
    " WHERE sub.parent_id = $topic OR mid.parent_id = $topic)))"
)
_COLUMNS: Mapping[str, str] = {
    "service": "i.service_name = $service",
    "environment": "i.environment = $environment",
    "model": "i.request_model = $model",
    "prompt_version": "i.prompt_version = $prompt_version",
    "topic": _IN_TOPIC,
}


@dataclass(frozen=True)
class Window:
    """Half-open span of time, naive UTC as in the store."""

    start: datetime
    end: datetime

    @property
    def days(self) -> float:
        """Length in days."""
        return (self.end - self.start) / timedelta(days=1)


@dataclass(frozen=True)
class Predicate:
    """A condition over ``interactions i`` and the values that it binds."""

    sql: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Filters:
    """What a screen is restricted to; ``None`` restricts nothing.

    Attributes
    ----------
    window : a key of `WINDOWS` (counted back from the newest data), or ``2026-03-01..2026-03-07`` (both days included).
    reference : a key of `REFERENCES`, the past that the window is compared with.
    """

    service: str | None = None
    environment: str | None = None
    window: str = DEFAULT_WINDOW
    reference: str = DEFAULT_REFERENCE
    model: str | None = None
    prompt_version: str | None = None
    topic: int | None = None

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Filters:
        """Read a URL's query; what is not understood is dropped, as a link may come from anywhere."""
        topic = query.get("topic", "")
        return cls(
            service=query.get("service") or None,
            environment=query.get("environment") or None,
            window=_known(query.get("window", ""), WINDOWS, DEFAULT_WINDOW),
            reference=_known(query.get("reference", ""), REFERENCES, DEFAULT_REFERENCE),
            model=query.get("model") or None,
            prompt_version=query.get("prompt_version") or None,
            topic=int(topic) if re.fullmatch(r"-?\d{1,18}", topic) else None,
        )

    def to_query(self) -> dict[str, str]:
        """Return the URL's query; defaults are left out."""
        default = Filters()
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: str(value) for name, value in values.items() if value != getattr(default, name)}

    def predicate(self, window: Window | None = None) -> Predicate:
        """Condition over ``interactions i``: leaf calls, no duplicates, no impossible times, and what was chosen."""
        chosen = {name: getattr(self, name) for name in _COLUMNS if getattr(self, name) is not None}
        parts = [_SEMANTIC, *(_COLUMNS[name] for name in chosen)]
        params: dict[str, Any] = dict(chosen)
        if window is not None:
            parts.append("i.start_time >= $start AND i.start_time < $end")
            params |= {"start": window.start, "end": window.end}
        return Predicate(" AND ".join(parts), params)

    def narrowed(self, **changes: Any) -> Filters:
        """Return a copy with some filters changed."""
        return replace(self, **changes)


NAMES = tuple(field.name for field in fields(Filters))


def resolve(filters: Filters, newest: datetime, oldest: datetime, zone: ZoneInfo) -> tuple[Window, Window]:
    """Turn the window and the reference into times.

    Parameters
    ----------
    newest, oldest : times of the newest and oldest interaction, naive UTC.
    zone : zone of day buckets, in which the days of ``from..to`` are meant.

    Returns
    -------
    window, reference : the reference ends where the window starts.
    """
    end = newest + timedelta(microseconds=1)
    span = _SPAN.fullmatch(filters.window)
    if span:
        first, last = (date.fromisoformat(text) for text in span.groups())
        window = Window(_midnight(first, zone), _midnight(last + timedelta(days=1), zone))
    elif filters.window == "all":
        window = Window(oldest, end)
    else:
        window = Window(end - _length(filters.window), end)
    back = window.end - window.start if filters.reference == "same" else _length(filters.reference)
    return window, Window(window.start - back, window.start)


def _known(text: str, known: Mapping[str, str], default: str) -> str:
    if text in known:
        return text
    if known is WINDOWS and (span := _SPAN.fullmatch(text)):
        try:
            first, last = (date.fromisoformat(part) for part in span.groups())
        except ValueError:
            return default
        # A day more is added and a zone applied below: keep away from the ends of the calendar.
        if first <= last and first.year > 1 and last.year < 9999:
            return text
    return default


def _length(text: str) -> timedelta:
    match = _LENGTH.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a length such as 24h or 7d")
    return timedelta(hours=int(match[1])) if match[2] == "h" else timedelta(days=int(match[1]))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, datetime.min.time(), zone).astimezone(UTC).replace(tzinfo=None)
