"""A day held against comparable days of its own past."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from math import ceil
from zoneinfo import ZoneInfo

import numpy as np

from analysis.analyzer import Context
from analysis.drift import DriftResult, comparable_windows, compare_to_past, held_against
from analysis.drift.past import MIN_WINDOWS, NAMES
from analysis.localtime import to_local
from analysis.scenes import moment
from analysis.study import Rows, Study, within
from undertow.store import reads

SHORTEST = 0.5
MOST_ROWS = 2_000
DAYS_A_WINDOW = 2  # days of a weekend are two of seven, working days five: enough to find most of what is asked for


class Past:
    """What lies before the day that is judged, read once and only where something is to be held against it.

    Parameters
    ----------
    context : of the run.
    end : where the span of the run ends, naive UTC.
    families : how many comparisons a day has.
    """

    def __init__(self, context: Context, end: datetime, families: int) -> None:
        self._context = context
        self._end = end
        self._zone = ZoneInfo(context.settings.timezone)
        self._level = context.settings.analysis.alpha / families
        self._drifted: set[tuple[str, str, datetime]] = set()

    def hold(self, field: str, service: str, result: DriftResult, study: Study, current: Rows) -> DriftResult:
        """Return the result of a window as its rank among comparable windows leaves it.

        Comparable are windows of the same hours (see ``comparable_windows``) that hold at least half as many
        messages and did not drift themselves. Where ids, sources or ages of documents say what happened (an index that
        was swapped, say), vectors have no say.
        """
        wanted = self._most_windows >= ceil(1.0 / self._level) - 1
        definite = result.statistic not in NAMES and result.note
        if (
            definite
            or result.verdict == "insufficient"
            or field == "behaviour"
            or not (wanted or self._suspect(result))
        ):
            return result
        windows = self._comparable(field, service, study, current)
        if len(windows) < MIN_WINDOWS:
            return result
        vectors, groups = self._study.turns.vectors[field], self._study.groups
        windows, current = [_some(rows) for rows in windows], _some(current)
        ranked = compare_to_past(
            [vectors[rows] for rows in windows],
            study.turns.vectors[field][current],
            past_groups=[groups[rows] for rows in windows],
            current_groups=study.groups[current],
        )
        return held_against(ranked, result, self._level)

    def _suspect(self, result: DriftResult) -> bool:
        return result.p_value <= self._context.settings.analysis.alpha

    def remember(self, field: str, service: str, start: datetime) -> None:
        """Leave a window that drifted out of what later ones are held against."""
        self._drifted.add((field, service, start))

    @cached_property
    def _oldest(self) -> datetime:
        (row,) = self._context.store.query(reads.OLDEST_TURN, {"head": self._context.head}).to_pylist()
        return row["oldest"] or self._end

    @property
    def _most_windows(self) -> int:
        return (self._end - self._oldest).days

    @cached_property
    def _study(self) -> Study:
        most = timedelta(days=DAYS_A_WINDOW * max(2 * MIN_WINDOWS, ceil(1.0 / self._level)))
        return Study(self._context, max(self._oldest, self._end - most), self._end)

    def _comparable(self, field: str, service: str, study: Study, current: Rows) -> list[Rows]:
        """Return the rows of each comparable window, of the past's study."""
        times = study.frame["start_time"].to_numpy()[current]
        start = datetime.combine(to_local(moment(times.min()), self._zone), datetime.min.time())
        last = to_local(moment(times.max()), self._zone) + timedelta(microseconds=1)
        if self._most_windows < MIN_WINDOWS:
            return []
        oldest = to_local(self._oldest, self._zone)
        most = max(2 * MIN_WINDOWS, ceil(1.0 / self._level))
        candidates = comparable_windows(start, last, oldest, needed=MIN_WINDOWS, most=most).windows
        before = self._instant(start)
        left_out = {at for name, of, at in self._drifted if (name, of) == (field, service)} | set(
            self._context.store.query(reads.DRIFTED_DAYS, {"field": field, "service": service, "before": before})[
                "current_start"
            ].to_pylist()
        )
        kept = self._rows(field, service, (window for window in candidates if self._instant(window[0]) not in left_out))
        return [rows for rows in kept if len(rows) >= SHORTEST * len(current)]

    def _rows(self, field: str, service: str, windows: Iterable[tuple[datetime, datetime]]) -> list[Rows]:
        usable = self._study.usable(field) & (self._study.service == service)
        return [
            np.flatnonzero(usable & within(self._study.frame, self._instant(start), self._instant(end)))
            for start, end in windows
        ]

    def _instant(self, local: datetime) -> datetime:
        """A local time as naive UTC."""
        return local.replace(tzinfo=self._zone).astimezone(UTC).replace(tzinfo=None)


def _some(rows: Rows) -> Rows:
    """Return at most ``MOST_ROWS`` of a window's rows, chosen at random: a rank needs no more."""
    if len(rows) <= MOST_ROWS:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, MOST_ROWS, replace=False))
