"""Tables made ready for figures: buckets without gaps, local times, letters of changes."""

from __future__ import annotations

from datetime import datetime, timedelta

import pandas as pd

from dashboard import data
from dashboard.charts.base import Letter
from dashboard.filters import Window
from dashboard.formats import ago
from dashboard.screen import Screen


def buckets(screen: Screen, window: Window, width_s: int | None = None) -> pd.DataFrame:
    """Totals per bucket of a window, empty buckets included; ``x`` is the naive local start."""
    width = width_s or screen.bucket_s(window)
    table = data.read("buckets", screen.filters, window, width=width, origin=screen.origin(window))
    return complete(screen, table, window, width)


def steps(screen: Screen, window: Window) -> pd.DataFrame:
    """Totals per equal step counted from the start of a window, none of them cut short: for sparklines."""
    width = 86_400 if window.days >= 5 else 21_600 if window.days >= 2 else 3_600
    table = data.read("buckets", screen.filters, window, width=width, origin=window.start)
    return _whole(screen, table, window.start, window, width)


def complete(screen: Screen, table: pd.DataFrame, window: Window, width_s: int) -> pd.DataFrame:
    """Add a row of zeros for each bucket that has no row, and the local time."""
    return _whole(screen, table, screen.origin(window), window, width_s)


def _whole(screen: Screen, table: pd.DataFrame, origin: datetime, window: Window, width_s: int) -> pd.DataFrame:
    # The end of a window is open, and lies a microsecond after the newest row.
    grid = pd.date_range(origin, window.end - timedelta(milliseconds=1), freq=timedelta(seconds=width_s), unit="us")
    whole = table.set_index("bucket").reindex(grid)
    counted = [
        name
        for name in whole.columns
        if name in ("calls", "turns", "evaluated", "grounded", "thumbs", "down", "errors", "refusals")
    ]
    whole[counted] = whole[counted].fillna(0)
    if "cost" in whole.columns:
        whole.loc[whole["calls"] == 0, "cost"] = 0.0
    whole["x"] = screen.local_column(pd.Series(grid, index=grid))
    return whole.reset_index(names="bucket")


def drift_days(screen: Screen, table: pd.DataFrame) -> pd.DataFrame:
    """Add the local middle of each day window and its length in ms, as bars want them."""
    length = table["current_end"] - table["current_start"]
    middle = table["current_start"] + length / 2
    return table.assign(middle=screen.local_column(middle), day_ms=length.dt.total_seconds() * 1000)


def drift_range(screen: Screen, table: pd.DataFrame, window: Window) -> tuple[datetime, datetime]:
    """The local ends of a window, widened so that the last day is not cut."""
    start, end = screen.local_range(window)
    ends = (
        [screen.local(data.moment(value) or window.end) for value in table["current_end"].tail(1)] if len(table) else []
    )
    return start, max([end, *ends])


def letters(screen: Screen) -> list[Letter]:
    """The marks of the screen in local time."""
    return [Letter(mark.letter, screen.local(mark.moment)) for mark in screen.marks]


def age(screen: Screen, moment: datetime) -> str:
    """How long before the newest data something was."""
    return ago(moment, screen.newest)
