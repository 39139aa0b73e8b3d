"""A day held against comparable days of its own past."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from math import ceil
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from analysis.analyzer import Context
from analysis.drift import DriftResult, comparable_windows, compare_to_past, held_against
from analysis.drift.past import MIN_WINDOWS, NAMES
from analysis.localtime import to_local
from analysis.scenes import moment
from analysis.study import Rows, Study, groups_of, usable, within
from analysis.turns import Part, Turns, read_turns
from undertow.store import reads

SHORTEST = 0.5
MOST_ROWS = 2_000
DAYS_A_WINDOW = 2  # days of a weekend are two of seven, working days five: enough to find most of what is asked for
MOST_WINDOWS = 400
MOST_TURNS = 50_000
MOST_KEPT = 2


@dataclass(frozen=True, eq=False)
class _History:
    """The turns of one service that have what a field needs, and the session of each."""

    turns: Turns
    groups: Rows
    usable: npt.NDArray[np.bool_]

    @property
    def oldest(self) -> datetime:
        """When the first of them started, naive UTC."""
        return moment(self.turns.frame["start_time"].to_numpy()[self.usable].min())

    def rows(self, start: datetime, end: datetime) -> Rows:
        """The turns of a window, naive UTC."""
        return np.flatnonzero(self.usable & within(self.turns.frame, start, end))


class Past:
    """What lies before the day that is judged, read only where something is to be held against it.

    Of a service about ``MOST_TURNS`` turns are read at most, of whole sessions that are the same in every window (also
    of the day that is judged), and ``MOST_KEPT`` services and fields are kept.

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
        self._histories: dict[tuple[str, str], _History] = {}

    def hold(self, field: str, service: str, result: DriftResult, study: Study, current: Rows) -> DriftResult:
        """Return the result of a window as its rank among comparable windows leaves it.

        Comparable are windows of the same hours (see ``comparable_windows``) that hold at least half as many
        messages and did not drift themselves. Where ids, sources or ages of documents say what happened (an index that
        was swapped, say), vectors have no say.
        """
        definite = result.statistic not in NAMES and result.note
        if (
            definite
            or result.verdict == "insufficient"
            or field == "behaviour"
            or not (self._may_lead or self._suspect(result))
        ):
            return result
        if self._most_days < MIN_WINDOWS:
            return result
        history = self._history(field, service)
        windows, today = self._comparable(history, field, service, study.frame["start_time"].to_numpy()[current])
        if len(windows) < MIN_WINDOWS:
            return result
        windows, today = [_some(rows) for rows in windows], _some(today)
        vectors, groups = history.turns.vectors[field], history.groups
        ranked = compare_to_past(
            [vectors[rows] for rows in windows],
            vectors[today],
            past_groups=[groups[rows] for rows in windows],
            current_groups=groups[today],
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
    def _most_days(self) -> int:
        return (self._end - self._oldest).days

    @property
    def _leading(self) -> int:
        """How many windows the floor of the rank needs to allow the level."""
        return ceil(1.0 / self._level) - 1

    @property
    def _may_lead(self) -> bool:
        """Whether the past can be long enough for the rank to be the headline, of suspicious days and others alike."""
        return self._leading <= min(self._most_days, MOST_WINDOWS)

    @property
    def _most_windows(self) -> int:
        """How many windows are looked for: no more than can say something."""
        return max(2 * MIN_WINDOWS, self._leading + 1 if self._may_lead else 0)

    def _history(self, field: str, service: str) -> _History:
        """The past of a service up to the end of the run; the newest ones are kept."""
        known = self._histories.pop((field, service), None) or self._read(field, service)
        self._histories[field, service] = known
        while len(self._histories) > MOST_KEPT:
            del self._histories[next(iter(self._histories))]
        return known

    def _read(self, field: str, service: str) -> _History:
        start = self._start(self._most_windows)
        asked = {"head": self._context.head, "from": start, "to": self._end, "service": service}
        if self._context.store.query(reads.SIZE_OF_SERVICE, asked).column("turns")[0].as_py() > MOST_TURNS:
            start = self._start(2 * MIN_WINDOWS)  # fewer days rather than a few sessions of each
        fields = tuple(dict.fromkeys(("prompt", field)))
        turns = read_turns(self._context, fields, start=start, end=self._end, part=Part(service, MOST_TURNS))
        return _History(turns, groups_of(turns), usable(turns, field))

    def _start(self, windows: int) -> datetime:
        return max(self._oldest, self._end - timedelta(days=DAYS_A_WINDOW * windows))

    def _comparable(
        self, history: _History, field: str, service: str, times: npt.NDArray[np.datetime64]
    ) -> tuple[list[Rows], Rows]:
        """Return the rows of each comparable window, and those of the window of ``times`` itself."""
        start = datetime.combine(to_local(moment(times.min()), self._zone), datetime.min.time())
        last = to_local(moment(times.max()), self._zone) + timedelta(microseconds=1)
        today = history.rows(self._instant(start), self._instant(last))
        if not len(today):
            return [], today
        oldest = to_local(history.oldest, self._zone)
        found = comparable_windows(start, last, oldest, needed=MIN_WINDOWS, most=self._most_windows).windows
        left_out = self._left_out(field, service, self._instant(start))
        spans = [(self._instant(first), self._instant(end)) for first, end in found]
        windows: Iterable[Rows] = (history.rows(first, end) for first, end in spans if first not in left_out)
        return [rows for rows in windows if len(rows) >= SHORTEST * len(today)], today

    def _left_out(self, field: str, service: str, before: datetime) -> set[datetime]:
        """When the days before a time began that drifted."""
        asked = {"field": field, "service": service, "before": before}
        stored = self._context.store.query(reads.DRIFTED_DAYS, asked)["current_start"].to_pylist()
        return {at for name, of, at in self._drifted if (name, of) == (field, service)} | set(stored)

    def _instant(self, local: datetime) -> datetime:
        """A local time as naive UTC."""
        return local.replace(tzinfo=self._zone).astimezone(UTC).replace(tzinfo=None)


def _some(rows: Rows) -> Rows:
    """Return at most ``MOST_ROWS`` of a window's rows, chosen at random: a rank needs no more."""
    if len(rows) <= MOST_ROWS:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, MOST_ROWS, replace=False))
