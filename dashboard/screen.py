"""What every page knows before it draws: filters, windows, zone, colours and the marks on its charts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.filters import Filters, Window, resolve
from dashboard.formats import local
from dashboard.palette import topic_colors

_KEY = "_screen"
FRESH = timedelta(days=14)


@dataclass(frozen=True)
class Mark:
    """One change of an artifact, as a letter on every chart; time naive UTC."""

    letter: str
    moment: datetime
    text: str


@dataclass(frozen=True)
class Screen:
    """State of one run of the app; ``window`` is what is looked at, ``reference`` the past it is compared with."""

    filters: Filters
    window: Window
    reference: Window
    zone: ZoneInfo
    day_zone: ZoneInfo
    extent: data.Extent
    marks: tuple[Mark, ...]
    colors: dict[int, str]
    labels: dict[int, str]

    @property
    def newest(self) -> datetime:
        """Time of the newest data: what "now" means for a screen."""
        return self.extent.newest or self.window.end

    def bucket_s(self, window: Window | None = None) -> int:
        """Width of the buckets of a chart, in seconds: at most about 60 of them."""
        days = (window or self.window).days
        return 3_600 if days <= 2 else 21_600 if days <= 10 else 86_400 if days <= 90 else 604_800

    def origin(self, window: Window | None = None) -> datetime:
        """Local midnight at or before the start of a window, naive UTC."""
        there = local((window or self.window).start, self.day_zone)
        midnight = there.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight.replace(tzinfo=self.day_zone).astimezone(UTC).replace(tzinfo=None)

    def local(self, moment: datetime) -> datetime:
        """Naive UTC → naive local time of the reader."""
        return local(moment, self.zone)

    def local_column(self, column: pd.Series) -> pd.Series:
        """Naive UTC → naive local time, for a whole column."""
        return pd.to_datetime(column).dt.tz_localize("UTC").dt.tz_convert(self.zone).dt.tz_localize(None)

    def local_range(self, window: Window | None = None) -> tuple[datetime, datetime]:
        """Ends of a window in the reader's zone: the x-range of all charts of a page."""
        chosen = window or self.window
        return self.local(chosen.start), self.local(chosen.end)

    def timeline(self, days: float = 14) -> Window:
        """The window, lengthened into the past to at least so many days, for charts that show where it came from."""
        start = min(self.window.start, self.window.end - timedelta(days=days))
        return Window(start, self.window.end)


def build(filters: Filters, extent: data.Extent, zone_name: str | None) -> Screen:
    """Assemble the screen; called once a run, after the filter bar.

    Parameters
    ----------
    extent : must hold data.
    zone_name : of the reader's browser; the configured zone when unknown.
    """
    if extent.newest is None or extent.oldest is None:
        raise ValueError("an empty store has no screen")
    day_zone = ZoneInfo(data.settings().timezone)
    window, reference = resolve(filters, extent.newest, extent.oldest, day_zone)
    topics = [{**row, "fresh": _fresh(row, extent.oldest, extent.newest)} for row in data.rows("topic_labels")]
    screen = Screen(
        filters,
        window,
        reference,
        _zone(zone_name) or day_zone,
        day_zone,
        extent,
        _marks(window),
        topic_colors(topics),
        {int(row["topic_id"]): str(row["label"]) for row in topics},
    )
    st.session_state[_KEY] = screen
    return screen


def current() -> Screen:
    """The screen of this run."""
    screen: Screen = st.session_state[_KEY]
    return screen


def _fresh(topic: dict[str, Any], oldest: datetime, newest: datetime) -> bool:
    """Whether a topic was first seen in the last two weeks of the data; in data that is younger none is."""
    first = topic["first_seen"]
    return first is not None and bool(newest - first < FRESH < newest - oldest)


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None


def _marks(window: Window) -> tuple[Mark, ...]:
    """Changes of the last two weeks at least, so that a chart of the past has its letters too.

    A change that was both posted and seen in the telemetry is one change: the first report of it counts.
    """
    start = min(window.start, window.end - timedelta(days=14))
    rows = data.rows("changes", window=Window(start, window.end))
    found: dict[str, datetime] = {}
    for row in sorted(rows, key=lambda r: r["moment"]):
        kind = str(row["kind"]).replace("_", " ")
        versions = f"{row['before']} → {row['after']}" if row["before"] else str(row["after"])
        text = f"{kind} {row['name']} {versions}"
        if text not in found or row["moment"] - found[text] > timedelta(days=1):
            found[text] = row["moment"]
    letters = zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", found.items(), strict=False)
    return tuple(Mark(letter, moment, text) for letter, (text, moment) in letters)
