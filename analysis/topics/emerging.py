"""Emerging subjects: parts of the current window that the reference hardly knew, counted in sessions.

Every piece of both windows is as strong as the cells are, on average, that hold it in many divisions
(`analysis.topics.scan`); the current pieces that chance does not explain are gathered into subjects. A session counts
once, because a session of near-duplicates is one person asking once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analysis.drift.arrays import Groups
from analysis.topics.geometry import BoolArray, FloatArray, IntArray, mean_directions, unit_rows
from analysis.topics.pieces import Window, read_window
from analysis.topics.scan import LEAST_LIFT, LEAST_SESSIONS, LEAST_SHARE, Scan, scan

LEAST_REFERENCE = 20
# In 31 streams without anything new ten looks each, at all that came so far, found nothing.
LEVEL = 0.03
# A piece is left out of a subject where it is that much more like the reference's pieces among those gathered than
# like the current ones (difference of mean cosines): the known neighbour of a new subject.
KNOWN_MARGIN = 0.05
# Part of the divisions in which two pieces of one subject share a cell.
TOGETHER = 1 / 3


@dataclass(frozen=True)
class Emerging:
    """One subject that the current window has and the reference hardly had.

    Attributes
    ----------
    members
        Row indices into the current window, most central first.
    share
        Sessions of the current window that touch the subject, in [0, 1].
    lift
        Its part of what current sessions say, divided by its part in the reference (half a session added there, so
        it is finite).
    p_value
        Corrected for everything that was tested: the probability that chance alone makes any piece as strong.
    """

    members: tuple[int, ...]
    share: float
    lift: float
    p_value: float


def find_emerging(
    reference: ArrayLike,
    current: ArrayLike,
    *,
    reference_groups: Groups = None,
    current_groups: Groups = None,
    rng: int | np.random.Generator = 0,
) -> list[Emerging]:
    """Find subjects of ``current`` that ``reference`` hardly had.

    Parameters
    ----------
    reference, current
        Embeddings (n, d) and (m, d).
    reference_groups, current_groups
        Session of every row; None makes every row its own session, as it does a row whose session is missing.
    rng
        Seed or generator of the cells' random start and of the deals of sessions.

    Returns
    -------
    list of Emerging
        By corrected p-value, at most 3 %, then by share. Empty when nothing emerges or when
        there are fewer than 20 rows of reference or four sessions of current traffic: too little to tell is no
        finding. A subject has at least four sessions, .3 % of all, and three times its part in the reference.

    Raises
    ------
    ValueError
        When the windows differ in their columns or the groups do not fit their rows.
    """
    generator = np.random.default_rng(rng)
    old = read_window(reference, reference_groups, "reference", generator)
    new = read_window(current, current_groups, "current", generator)
    if len(old.members) < LEAST_REFERENCE or new.sessions < LEAST_SESSIONS:
        return []
    if old.pieces.shape[1] != new.pieces.shape[1]:
        raise ValueError(f"reference has {old.pieces.shape[1]} columns, current has {new.pieces.shape[1]}")
    subjects = _Subjects(scan(old, new, generator), old, new, unit_rows(current))
    return sorted(subjects.found(), key=lambda subject: (subject.p_value, -subject.share))


@dataclass(frozen=True)
class _Part:
    """Pieces (n,) of both windows that belong together, and the mean and spread of the current ones."""

    pieces: IntArray
    centre: FloatArray
    spread: float


@dataclass(frozen=True)
class _Subjects:
    scan: Scan
    old: Window
    new: Window
    rows: FloatArray

    def found(self) -> list[Emerging]:
        strong = np.flatnonzero(self.scan.corrected(self.scan.strength) <= LEVEL)
        parts = [part for pieces in self._gathered(strong) if (part := self._part(pieces)) is not None]
        subjects = [self._subject(np.concatenate([part.pieces for part in group])) for group in _adjacent(parts)]
        return [subject for subject in subjects if subject is not None]

    def _gathered(self, strong: IntArray) -> list[IntArray]:
        """Gather pieces round the strongest of them, then round the strongest of those that are left, and so on."""
        left = strong[np.argsort(-self.scan.strength[strong], kind="stable")]
        groups = []
        while len(left):
            beside = (self.scan.cell[:, left] == self.scan.cell[:, left[:1]]).mean(axis=0) >= TOGETHER
            groups.append(left[beside])
            left = left[~beside]
        return groups

    def _part(self, pieces: IntArray) -> _Part | None:
        now = pieces[pieces >= len(self.old.pieces)] - len(self.old.pieces)
        if not len(now):
            return None
        rows = self.new.pieces[now]
        centre = mean_directions(rows, np.zeros(len(rows), dtype=np.int64), 1)[0]
        return _Part(pieces, centre, float(np.mean(1.0 - rows @ centre)))

    def _subject(self, pieces: IntArray) -> Emerging | None:
        """Return the subject of these pieces of both windows, None where it has too few sessions or too many of old."""
        known, now = pieces[pieces < len(self.old.pieces)], pieces[pieces >= len(self.old.pieces)]
        p_value = float(self.scan.corrected(self.scan.strength[now].max(keepdims=True))[0])
        now = now - len(self.old.pieces)
        now = now[_novel(self.new.pieces[now], self.old.pieces[known])]
        before, after = len(np.unique(self.old.session[known])), len(np.unique(self.new.session[now]))
        lift = (after / len(self.new.pieces)) / ((before + 0.5) / len(self.old.pieces))
        if after < max(LEAST_SESSIONS, LEAST_SHARE * self.new.sessions) or lift < LEAST_LIFT:
            return None
        rows = np.flatnonzero(np.isin(self.new.members, now))
        centre = mean_directions(self.rows[rows], np.zeros(len(rows), dtype=np.int64), 1)[0]
        order = rows[np.argsort(1.0 - self.rows[rows] @ centre, kind="stable")]
        return Emerging(tuple(order.tolist()), after / self.new.sessions, lift, p_value)


def _novel(rows: FloatArray, known: FloatArray) -> BoolArray:
    """Return which current rows (n,) of a subject are as like the others (n - 1) as its reference rows (m, d)."""
    if len(rows) < 2 or not len(known):
        return np.ones(len(rows), dtype=bool)
    others = (rows @ rows.sum(axis=0) - 1.0) / (len(rows) - 1)
    return np.asarray(others - rows @ known.mean(axis=0) > -KNOWN_MARGIN)


def _adjacent(parts: list[_Part]) -> list[list[_Part]]:
    """Group parts whose centres lie no farther apart than their rows from them, directly or through others."""
    groups: list[list[_Part]] = []
    for part in parts:
        near = [any(_touch(part, other) for other in group) for group in groups]
        joined = [part, *(other for group, is_near in zip(groups, near, strict=True) if is_near for other in group)]
        groups = [group for group, is_near in zip(groups, near, strict=True) if not is_near]
        groups.append(joined)
    return groups


def _touch(a: _Part, b: _Part) -> bool:
    return float(1.0 - a.centre @ b.centre) <= (a.spread + b.spread) / 2.0
