"""Which windows of the past are comparable with one of today."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from analysis.drift.past import MIN_WINDOWS

DAY = timedelta(days=1)


@dataclass(frozen=True)
class ComparableWindows:
    """Windows (start, end) of the past, newest first, and in words what they have in common."""

    windows: tuple[tuple[datetime, datetime], ...]
    basis: str


def comparable_windows(
    start: datetime, end: datetime, oldest: datetime, *, needed: int = MIN_WINDOWS, most: int = 2 * MIN_WINDOWS
) -> ComparableWindows:
    """Return past windows of the same hours: of the same weekday where there are enough, else of any day.

    Between the two, working days are compared with working days and weekends with weekends. Windows never
    overlap one another or the current one; none begins before ``oldest``. Give times in the time zone in
    which the day has its rhythm, without an offset.

    Raises
    ------
    ValueError
        If the window does not end after it starts.
    """
    if end <= start:
        raise ValueError(f"expected a window that ends after it starts, got {start} to {end}")
    weekend = start.weekday() >= 5
    step = max(1, -((start - end) // DAY))
    days = [start - k * step * DAY for k in range(1, max(0, (start - oldest) // (step * DAY)) + 1)]
    choices = (
        ("same weekday and hours", [day for day in days if day.weekday() == start.weekday()]),
        (
            "same hours of " + ("weekends" if weekend else "working days"),
            [day for day in days if (day.weekday() >= 5) == weekend],
        ),
        ("same hours", days),
    )
    basis, chosen = next(((name, found) for name, found in choices if len(found) >= needed), (choices[-1]))
    return ComparableWindows(tuple((day, day + (end - start)) for day in chosen[:most]), basis)
