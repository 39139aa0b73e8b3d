"""Two windows pooled: the view of the data that every statistic shares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from scipy import sparse
from scipy.linalg import eigh

from analysis.drift.arrays import Bools, Floats, Groups, Ints, as_groups, as_rows, check_same_width, nearest
from analysis.drift.cells import lloyd
from analysis.drift.neighbours import Balls, fit_balls

Values = TypeVar("Values", Floats, Ints)

MIN_ROWS = 30
MIN_GROUPS = 10
BLOCKS = 1_000
RESOLUTIONS = (32, 128)
FINEST = 400
FINEST_FROM, FINEST_TO = 8_000, 50_000
AXES_ROWS = 10_000
SEARCHED = 64


@dataclass(frozen=True, eq=False)
class Pooled:
    """The rows of both windows in an order that depends neither on window nor on arrival.

    Attributes
    ----------
    rows
        (n, d) float32.
    groups
        (n,) int64, 0..g-1: the exchangeable units.
    is_current
        (g,) bool: whether a group belongs to the current window.
    origin
        (n,) int64: index of the row in its own window.
    seed
        Seed of everything that is fitted.
    """

    rows: Floats
    groups: Ints
    is_current: Bools
    origin: Ints
    seed: int

    @property
    def n_groups(self) -> int:
        """Number of exchangeable units."""
        return len(self.is_current)

    @cached_property
    def row_is_current(self) -> Bools:
        """Whether each row belongs to the current window, (n,) bool."""
        return self.is_current[self.groups]

    @cached_property
    def sizes(self) -> Floats:
        """Rows per group, (g,) float64."""
        return np.bincount(self.groups, minlength=self.n_groups).astype(np.float64)

    @cached_property
    def cells(self) -> tuple[Ints, ...]:
        """Cell of every row, one (n,) array a resolution, coarse first."""
        fitted = (lloyd(self.scores, k, self.rng(11 + k)) for k in self.resolutions)
        return tuple(nearest(self.scores, centres)[0] for centres in fitted)

    @cached_property
    def scores(self) -> Floats:
        """The rows on their leading 64 principal components, (n, at most 64): what is searched and partitioned."""
        return np.ascontiguousarray(self.components(SEARCHED))

    @cached_property
    def balls(self) -> Balls:
        """Neighbourhoods of anchor rows at three sizes."""
        return fit_balls(self.scores, self.groups, self.n_groups, self.rng(10))

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Number of cells at each resolution; few rows get fewer cells, many a third resolution.

        With very many rows the third would cost more than all else.
        """
        n = len(self.rows)
        usual = tuple(max(2, min(k, n // 8)) for k in RESOLUTIONS)
        return (*usual, FINEST) if FINEST_FROM <= n <= FINEST_TO else usual

    def components(self, d: int) -> Floats:
        """Return the scores (n, at most d) of the centred rows on their leading principal components (64 at most).

        The axes depend on the pooled rows only, so they cannot know the window of a row. They are fitted
        to at most ``AXES_ROWS`` rows.
        """
        return np.asarray((self.rows - self.rows.mean(axis=0)) @ self._axes[:, :d])

    @cached_property
    def _by_group(self) -> Ints:
        return np.argsort(self.groups)

    @cached_property
    def _axes(self) -> Floats:
        n = len(self.rows)
        kept = np.sort(self.rng(9).choice(n, AXES_ROWS, replace=False)) if n > AXES_ROWS else slice(None)
        centred = self.rows[kept] - self.rows[kept].mean(axis=0)
        d = centred.shape[1]
        axes = eigh(centred.T @ centred, subset_by_index=(max(0, d - SEARCHED), d - 1))[1]
        return np.ascontiguousarray(axes[:, ::-1])

    def rng(self, stream: int) -> np.random.Generator:
        """Return a generator of its own for one purpose, so that purposes do not disturb each other."""
        return np.random.default_rng([self.seed, stream])

    def sums(self, features: Floats) -> Floats:
        """Return the sum of ``features`` (n, k) over each group, (g, k)."""
        if self.n_groups == len(self.rows):
            return features if np.array_equal(self.groups, np.arange(self.n_groups)) else features[self._by_group]
        member = sparse.csr_matrix(
            (np.ones(len(self.rows), dtype=features.dtype), (self.groups, np.arange(len(self.rows)))),
            shape=(self.n_groups, len(self.rows)),
        )
        return np.asarray(member @ features)

    def counts(self, cell: Ints) -> Floats:
        """Return the number of rows of each group in each cell, (g, k)."""
        k = int(cell.max()) + 1
        flat = np.bincount(self.groups * k + cell, minlength=self.n_groups * k)
        return flat.reshape(self.n_groups, k).astype(np.float64)

    def split(self, per_row: Values) -> tuple[Values, Values]:
        """Return values of pooled rows in the original order of (reference, current)."""
        parts: list[Values] = []
        for current in (False, True):
            mine = self.row_is_current == current
            out = np.empty((int(mine.sum()), *per_row.shape[1:]), dtype=per_row.dtype)
            out[self.origin[mine]] = per_row[mine]
            parts.append(out)
        return parts[0], parts[1]


@dataclass(frozen=True, eq=False)
class Windows:
    """Two checked windows before they are pooled, rows and groups in the caller's order."""

    reference: Floats
    current: Floats
    reference_groups: Ints
    current_groups: Ints

    @property
    def n_rows(self) -> tuple[int, int]:
        """Rows of reference and current."""
        return len(self.reference), len(self.current)

    @property
    def n_groups(self) -> tuple[int, int]:
        """Groups of reference and current."""
        return _n_groups(self.reference_groups), _n_groups(self.current_groups)

    @property
    def enough(self) -> bool:
        """Whether a verdict is possible at all."""
        return min(self.n_rows) >= MIN_ROWS and min(self.n_groups) >= MIN_GROUPS


def windows(
    reference: Floats, current: Floats, reference_groups: Groups = None, current_groups: Groups = None
) -> Windows:
    """Check two windows; the same group in both counts as two, which can only hide a drift.

    Raises
    ------
    ValueError
        If an array is malformed, widths differ, or groups do not match the rows.
    """
    ref, cur = as_rows(reference, "reference"), as_rows(current, "current")
    check_same_width(ref, cur)
    return Windows(
        ref,
        cur,
        as_groups(reference_groups, len(ref), "reference_groups"),
        as_groups(current_groups, len(cur), "current_groups"),
    )


def pool(given: Windows, seed: int) -> Pooled:
    """Pool two windows of at least one row each.

    Rows are sorted along a random direction, so that whatever is fitted next can know neither the
    window of a row nor the order of arrival. Very many groups are merged at random into about
    ``BLOCKS`` equal blocks a window: blocks of exchangeable groups are exchangeable, and a thousand
    of them lose nothing that a permutation test could use.
    """
    rng = np.random.default_rng([seed, 0])
    rows = np.concatenate([given.reference, given.current])
    origin = np.concatenate([np.arange(len(given.reference)), np.arange(len(given.current))])
    n_reference = _n_groups(given.reference_groups)
    groups = np.concatenate([given.reference_groups, given.current_groups + n_reference])
    order = np.argsort(rows @ rng.standard_normal((rows.shape[1],)).astype(rows.dtype), kind="stable")
    rows, origin, groups = rows[order], origin[order], groups[order]
    groups, names = _by_first_appearance(groups)
    is_current = names >= n_reference
    groups, is_current = merged_blocks(groups, is_current, rng)
    return Pooled(rows, groups, is_current, origin, seed)


def _n_groups(groups: Ints) -> int:
    return int(groups.max()) + 1 if len(groups) else 0


def _by_first_appearance(groups: Ints) -> tuple[Ints, Ints]:
    """Renumber groups in order of appearance; return the new numbers and the old number of each."""
    names, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(names), dtype=np.int64)
    by_first = np.argsort(first)
    rank[by_first] = np.arange(len(names))
    return rank[inverse], names[by_first]


def merged_blocks(groups: Ints, is_current: Bools, rng: np.random.Generator) -> tuple[Ints, Bools]:
    """Merge groups within each window into blocks of equally many, when there are very many."""
    smaller = min(int(is_current.sum()), int((~is_current).sum()))
    size = smaller // BLOCKS
    if size < 2:
        return groups, is_current
    block = np.empty(len(is_current), dtype=np.int64)
    labels: list[Bools] = []
    offset = 0
    for current in (False, True):
        mine = rng.permutation(np.flatnonzero(is_current == current))
        n_blocks = len(mine) // size
        block[mine] = offset + np.minimum(np.arange(len(mine)) // size, n_blocks - 1)
        labels.append(np.full(n_blocks, current))
        offset += n_blocks
    return block[groups], np.concatenate(labels)
