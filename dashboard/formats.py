"""Numbers, times and texts as the screen shows them: a value with its unit, never more digits than it carries."""

from __future__ import annotations

import html
import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

THIN = "\u202f"
MINUS = "\u2212"
NONE = "\u2013"
_Z95 = 1.959964


@dataclass(frozen=True)
class Rate:
    """A share with its Wilson interval.

    Attributes
    ----------
    share, low, high : in [0, 1]; ``None`` when n is 0.
    n : cases.
    """

    share: float | None
    low: float | None
    high: float | None
    n: int

    @property
    def text(self) -> str:
        """Percentage with as many digits as the interval warrants."""
        return NONE if self.share is None else percent(self.share, self.digits)

    @property
    def margin(self) -> str:
        """Half of the interval, in points."""
        if self.low is None or self.high is None:
            return ""
        return f"± {100 * (self.high - self.low) / 2:.{self.digits}f}"

    @property
    def digits(self) -> int:
        """Digits after the point: one where the interval is narrower than a point on each side."""
        if self.low is None or self.high is None:
            return 0
        return 1 if self.high - self.low < 0.02 else 0


def wilson(successes: float, n: float) -> Rate:
    """Share with its 95 % interval (Wilson 1927)."""
    if n <= 0 or math.isnan(n):
        return Rate(None, None, None, 0)
    p = successes / n
    spread = _Z95 * math.sqrt(p * (1 - p) / n + _Z95**2 / (4 * n**2))
    middle = p + _Z95**2 / (2 * n)
    scale = 1 + _Z95**2 / n
    return Rate(p, max((middle - spread) / scale, 0.0), min((middle + spread) / scale, 1.0), int(n))


def percent(share: float, digits: int = 0) -> str:
    """0.914 → 91 %."""
    value = f"{100 * share:.{digits}f}"
    return f"{value}{THIN}%"


def count(value: float | None) -> str:
    """12345 → 12,345."""
    return NONE if _absent(value) else f"{value:,.0f}"


def money(usd: float | None) -> str:
    """US dollars with two digits, more below a cent."""
    if _absent(usd) or usd is None:
        return NONE
    if usd == 0 or abs(usd) >= 100:
        return f"${usd:,.0f}"
    if abs(usd) >= 0.1:
        return f"${usd:,.2f}"
    digits = 1 - math.floor(math.log10(abs(usd)))
    return f"${usd:.{digits}f}"


def duration(ms: float | None) -> str:
    """Milliseconds in human units."""
    if _absent(ms) or ms is None:
        return NONE
    if ms < 1000:
        return f"{ms:.0f}{THIN}ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f}{THIN}s"
    minutes, seconds = divmod(ms / 1000, 60)
    return f"{minutes:.0f}{THIN}min {seconds:.0f}{THIN}s"


def ago(moment: datetime, now: datetime) -> str:
    """Age in the largest unit that fits."""
    seconds = max((now - moment).total_seconds(), 0)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f}{THIN}{unit}"
    return "now"


def local(moment: datetime, zone: ZoneInfo) -> datetime:
    """Naive UTC → naive time of a zone."""
    return moment.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)


def stamp(moment: datetime | None, zone: ZoneInfo, *, day: bool = True) -> str:
    """Tue 10 Mar 14:02."""
    if moment is None:
        return NONE
    there = local(moment, zone)
    return f"{there:%a} {there.day} {there:%b %H:%M}" if day else f"{there:%H:%M}"


def stamp_html(moment: datetime | None, zone: ZoneInfo, *, day: bool = True) -> str:
    """Local time with UTC on hover."""
    if moment is None:
        return NONE
    return f'<span class="ut-when" title="{moment:%Y-%m-%d %H:%M:%S} UTC">{stamp(moment, zone, day=day)}</span>'


def span_text(start: datetime, end: datetime, zone: ZoneInfo) -> str:
    """8 Mar 14:00 to 15 Mar 14:00."""
    a, b = local(start, zone), local(end, zone)
    return f"{a.day} {a:%b %H:%M} to {b.day} {b:%b %H:%M}"


def change_text(now: float | None, before: float | None) -> str:
    """Relative change in words; empty where one side is missing or zero."""
    if now is None or not before or math.isnan(now) or math.isnan(before):
        return ""
    ratio = now / before - 1
    if abs(ratio) < 0.01:
        return "unchanged"
    if ratio > 2:
        return f"{now / before:.1f}× before"
    return f"{'+' if ratio > 0 else MINUS}{abs(ratio) * 100:.0f}{THIN}%"


def points(now: float | None, before: float | None) -> str:
    """Difference of two shares, in percentage points."""
    if now is None or before is None:
        return ""
    delta = 100 * (now - before)
    if abs(delta) < 0.05:
        return "unchanged"
    digits = 1 if abs(delta) < 10 else 0
    return f"{'+' if delta > 0 else MINUS}{abs(delta):.{digits}f}{THIN}points"


def escape(text: object) -> str:
    """Text from traffic as HTML text; ``None`` becomes nothing."""
    return html.escape("" if text is None else str(text), quote=True)


_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$:<>&^=])")


def plain(text: object) -> str:
    """Text from traffic for a label that Streamlit reads as markdown: every special character escaped, one line."""
    line = " ".join(("" if text is None else str(text)).split())
    return _MARKDOWN.sub(r"\\\1", line)


def shorten(text: object, length: int) -> str:
    """One line of at most ``length`` characters."""
    line = " ".join(("" if text is None else str(text)).split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def json_list(text: object) -> list[Any]:
    """A JSON list column; anything else is empty."""
    value = json_value(text)
    return value if isinstance(value, list) else []


def json_value(text: object) -> Any:
    """A JSON column, ``None`` where it is empty or broken."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _absent(value: float | None) -> bool:
    return value is None or math.isnan(value)
