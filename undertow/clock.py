"""Durations as people write them, and times as the store holds them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from undertow.errors import ConfigError

_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: str) -> timedelta:
    """Turn ``90s``, ``5m``, ``24h``, ``7d`` or ``1h30m`` into a duration.

    Raises
    ------
    ConfigError
        The text is not a positive duration.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", text)
    total = sum((timedelta(**{_UNITS[unit]: float(number)}) for number, unit in parts), timedelta())
    if not parts or "".join(n + u for n, u in parts) != text.strip() or total <= timedelta():
        raise ConfigError(f"{text!r} is not a duration; write for instance 30s, 5m, 24h or 7d")
    return total


def utc_now() -> datetime:
    """Now, as naive UTC, the form of every time in the store."""
    return datetime.now(UTC).replace(tzinfo=None)
