"""Emerging subjects: parts of the current window that the reference hardly knew, counted in sessions.

Two detectors look for the same thing. *Excess cells* divide the pooled rows by Lloyd steps and test each cell
for more current sessions than its share. *Novel cells* do the same among the rows that lie beyond the
reference's 98 % radius, where a small subject is no longer diluted by its neighbours. Both count a session once
a cell, because a session of near-duplicates is one person asking once; both test with a conditional binomial
(the comparison of two Poisson rates of Przyborowski and Wilenski, 1940), demand a lift of three, and share one
Holm correction. Adjacent cells found are one subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.topics.geometry import (
    DoubleArray,
    FloatArray,
    IntArray,
    mean_directions,
    nearest,
    spherical_kmeans,
    unit_rows,
)

MOST_CELLS = 256
ROWS_PER_CELL = 40
ROWS_PER_NOVEL_CELL = 12
LEARNING_ROWS = 20_000
NOVEL_QUANTILE = 0.98
LEAST_LIFT = 3.0
LEAST_SESSIONS = 4
LEAST_REFERENCE = 20
LEVEL = 0.01
EXTENT_QUANTILE = 0.95
SAME_SUBJECT_OVERLAP = 0.3

Groups = Sequence[object] | NDArray[np.generic]


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
        That share divided by the share in the reference (half a session added there, so it is finite).
    p_value
        Of the strongest cell, Holm-corrected over every cell that was tested.
    """

    members: tuple[int, ...]
    share: float
    lift: float
    p_value: float


@dataclass(frozen=True)
class _Window:
    """Rows with the number of their session, 0…sessions-1."""

    rows: FloatArray
    session: IntArray
    sessions: int

    def part(self, keep: NDArray[np.bool_]) -> _Window:
        return _Window(self.rows[keep], self.session[keep], self.sessions)

    def touched(self, cells: IntArray, k: int) -> IntArray:
        """Return the number of sessions (k,) with at least one row in each cell; -1 is no cell."""
        inside = cells >= 0
        pairs = np.unique(cells[inside] * max(self.sessions, 1) + self.session[inside])
        return np.bincount(pairs // max(self.sessions, 1), minlength=k)


@dataclass(frozen=True)
class _Cell:
    """One tested cell: its raw p-value and lift, its current rows, its centre and their mean distance from it."""

    p_value: float
    lift: float
    members: IntArray
    centre: FloatArray
    spread: float


@dataclass(frozen=True)
class _Counts:
    """Where rows fell: the cell of every reference and current row (-1: none), and the windows' exposures.

    Exposure is the number of (session, cell) pairs of a window, so that longer sessions, which touch more
    cells, are not mistaken for growth.
    """

    old_cells: IntArray
    new_cells: IntArray
    exposed_old: int
    exposed_new: int


def find_emerging(
    reference: ArrayLike,
    current: ArrayLike,
    *,
    reference_groups: Groups | None = None,
    current_groups: Groups | None = None,
    rng: int | np.random.Generator = 0,
) -> list[Emerging]:
    """Find subjects of ``current`` that ``reference`` hardly had.

    Parameters
    ----------
    reference, current
        Embeddings (n, d) and (m, d).
    reference_groups, current_groups
        Session of every row; None makes every row its own session.
    rng
        Seed or generator of the cells' random start.

    Returns
    -------
    list of Emerging
        By corrected p-value, then by share. Empty when nothing emerges or when either window has fewer than 20
        rows of reference or four sessions of current traffic: too little to tell is no finding.

    Raises
    ------
    ValueError
        When the windows differ in their columns or the groups do not fit their rows.
    """
    old = _window(reference, reference_groups, "reference")
    new = _window(current, current_groups, "current")
    if len(old.rows) < LEAST_REFERENCE or new.sessions < LEAST_SESSIONS:
        return []
    if old.rows.shape[1] != new.rows.shape[1]:
        raise ValueError(f"reference has {old.rows.shape[1]} columns, current has {new.rows.shape[1]}")
    generator = np.random.default_rng(rng)
    tested = _excess_cells(old, new, generator) + _novel_cells(old, new, generator)
    corrected = _holm(np.array([cell.p_value for cell in tested]))
    found = [
        replace(cell, p_value=float(p))
        for cell, p in zip(tested, corrected, strict=True)
        if p <= LEVEL and cell.lift >= LEAST_LIFT
    ]
    subjects = [_subject(old, new, group) for group in _adjacent(found)]
    return sorted(subjects, key=lambda subject: (subject.p_value, -subject.share))


def _window(X: ArrayLike, groups: Groups | None, name: str) -> _Window:
    rows = unit_rows(X)
    if groups is None:
        return _Window(rows, np.arange(len(rows), dtype=np.int64), len(rows))
    if len(groups) != len(rows):
        raise ValueError(f"{name} has {len(rows)} rows, but there are {len(groups)} groups")
    names = np.asarray([str(group) for group in groups])
    _, first, session = np.unique(names, return_index=True, return_inverse=True)
    # Numbered as they come: what a caller calls its sessions must not decide how they are divided at random.
    rank = np.argsort(np.argsort(first))
    return _Window(rows, rank[session].astype(np.int64), len(first))


def _excess_cells(old: _Window, new: _Window, rng: np.random.Generator) -> list[_Cell]:
    pooled = np.concatenate([old.rows, new.rows])
    k = int(np.clip(len(pooled) // ROWS_PER_CELL, 2, MOST_CELLS))
    centroids = spherical_kmeans(_sample(pooled, rng), k, rng)
    old_cells, _ = nearest(old.rows, centroids)
    new_cells, distance = nearest(new.rows, centroids)
    exposure = int(old.touched(old_cells, k).sum()), int(new.touched(new_cells, k).sum())
    return _test(old, new, _Counts(old_cells, new_cells, *exposure), centroids, distance)


def _novel_cells(old: _Window, new: _Window, rng: np.random.Generator) -> list[_Cell]:
    """Test cells among novel rows.

    The codebook is learned on half of the reference's sessions and the radius on the other half, so that
    current rows and those held out stand in the same relation to it.
    """
    learnt = rng.permutation(old.sessions)[old.session] < old.sessions // 2
    held_out = old.part(~learnt)
    base = old.rows[learnt]
    if len(base) < LEAST_REFERENCE // 2 or len(held_out.rows) < LEAST_REFERENCE // 2:
        return []
    k = int(np.clip(len(base) // ROWS_PER_CELL, 2, MOST_CELLS))
    codebook = spherical_kmeans(_sample(base, rng), k, rng)
    old_cells, old_distance = nearest(held_out.rows, codebook)
    new_cells, new_distance = nearest(new.rows, codebook)
    radius = np.quantile(old_distance, NOVEL_QUANTILE)
    exposure = int(held_out.touched(old_cells, k).sum()), int(new.touched(new_cells, k).sum())
    old_novel, new_novel = old_distance > radius, new_distance > radius
    pooled = np.concatenate([held_out.rows[old_novel], new.rows[new_novel]])
    if len(pooled) < 2 * LEAST_SESSIONS:
        return []
    k = int(np.clip(len(pooled) // ROWS_PER_NOVEL_CELL, 1, MOST_CELLS))
    centroids = spherical_kmeans(_sample(pooled, rng), k, rng)
    inside_old = np.where(old_novel, nearest(held_out.rows, centroids)[0], -1)
    inside_new, distance = nearest(new.rows, centroids)
    inside_new = np.where(new_novel, inside_new, -1)
    return _test(held_out, new, _Counts(inside_old, inside_new, *exposure), centroids, distance)


def _test(old: _Window, new: _Window, counts: _Counts, centroids: FloatArray, distance: FloatArray) -> list[_Cell]:
    """Test every cell for more current sessions than its exposure explains."""
    from scipy.stats import binom

    k = len(centroids)
    before, after = old.touched(counts.old_cells, k), new.touched(counts.new_cells, k)
    chance = counts.exposed_new / max(counts.exposed_old + counts.exposed_new, 1)
    p_values = np.where(after >= LEAST_SESSIONS, binom.sf(after - 1, before + after, chance), 1.0)
    lifts = (after / max(counts.exposed_new, 1)) / ((before + 0.5) / max(counts.exposed_old, 1))
    members = [np.flatnonzero(counts.new_cells == cell) for cell in range(k)]
    return [
        _Cell(
            p_value=float(p_values[i]),
            lift=float(lifts[i]),
            members=rows,
            centre=centroids[i],
            spread=float(distance[rows].mean()) if len(rows) else 0.0,
        )
        for i, rows in enumerate(members)
    ]


def _sample(rows: FloatArray, rng: np.random.Generator) -> FloatArray:
    if len(rows) <= LEARNING_ROWS:
        return rows
    return rows[rng.choice(len(rows), LEARNING_ROWS, replace=False)]


def _holm(p_values: DoubleArray) -> DoubleArray:
    """Return p-values corrected by the step-down method of Holm (1979)."""
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * (len(p_values) - np.arange(len(p_values))))
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def _adjacent(found: list[_Cell]) -> list[list[_Cell]]:
    """Group cells that touch, directly or through others."""
    groups: list[list[_Cell]] = []
    for cell in found:
        near = [any(_touch(cell, other) for other in group) for group in groups]
        joined = [cell, *(other for group, is_near in zip(groups, near, strict=True) if is_near for other in group)]
        groups = [group for group, is_near in zip(groups, near, strict=True) if not is_near]
        groups.append(joined)
    return groups


def _touch(a: _Cell, b: _Cell) -> bool:
    """Say whether two cells share members, or their centres lie no farther apart than their rows from them."""
    shared = len(np.intersect1d(a.members, b.members))
    if shared >= SAME_SUBJECT_OVERLAP * min(len(a.members), len(b.members)):
        return True
    return float(1.0 - a.centre @ b.centre) <= (a.spread + b.spread) / 2.0


def _subject(old: _Window, new: _Window, group: list[_Cell]) -> Emerging:
    """Join the cells of one subject; its extent is the radius that holds 95 % of its current rows."""
    rows = np.unique(np.concatenate([cell.members for cell in group]))
    centre = mean_directions(new.rows[rows], np.zeros(len(rows), dtype=np.int64), 1)[0]
    distance = 1.0 - new.rows[rows] @ centre
    inside = 1.0 - old.rows @ centre <= np.quantile(distance, EXTENT_QUANTILE)
    share = len(np.unique(new.session[rows])) / new.sessions
    before = (len(np.unique(old.session[inside])) + 0.5) / (old.sessions + 0.5)
    order = rows[np.argsort(distance, kind="stable")]
    members = tuple(int(row) for row in order)
    return Emerging(members, share, share / before, min(cell.p_value for cell in group))
