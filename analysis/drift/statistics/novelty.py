"""The share of rows unlike anything in a slice of the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.drift.arrays import Bools, Floats, Ints, nearest
from analysis.drift.permutation import Draw
from analysis.drift.pooled import Pooled
from analysis.drift.statistics.excess import Excess

SLICE = 0.4
SLICE_ROWS = 1_000
INSIDE = (0.95, 0.98)


@dataclass(frozen=True)
class Novelty:
    r"""Standardised excess of current rows beyond the reference's novelty radius.

    .. math:: T = \max_r \frac{\sum_{g \in \mathrm{current}} (b_{gr} - p_r n_g)}{\mathrm{sd}_r}, \quad
              b_{gr} = \#\{i \in g : \min_{s \in \mathrm{slice}} \|x_i - x_s\| > r\}

    A random slice of the reference's groups learns the radius: the 95 % and 98 % quantiles of the
    distance from a slice row to its nearest neighbour in another group of the slice. The statistic is
    the larger standardised excess of rows beyond either radius, over the groups *outside* the slice
    only: those are exchangeable given the slice. Source: split conformal novelty detection, Laxhammar
    & Falkman, 2010; Bates et al., 2023, doi:10.1214/22-AOS2244. Sees text that was never seen before.
    """

    name: str = "novelty"
    title: str = "Share of novel messages"
    higher_is_more_drift: bool = True
    symmetric: bool = False

    def bind(self, pooled: Pooled) -> BoundNovelty:
        """Learn the radius on a slice of the reference and count the rows beyond it per group."""
        in_slice = choose_slice(pooled)
        taken = in_slice[pooled.groups]
        kept = _at_most(np.flatnonzero(taken), 2 * SLICE_ROWS, pooled.rng(3))
        learn, learn_groups = pooled.rows[kept], pooled.groups[kept]
        radii = np.quantile(_distance_to_others(learn, learn_groups), INSIDE)
        distance = np.full(len(pooled.rows), -1.0)
        distance[~taken] = np.sqrt(nearest(pooled.rows[~taken], learn)[1])
        beyond = pooled.sums((distance[:, None] > radii).astype(np.float64))
        n_current = int(pooled.is_current.sum())
        return BoundNovelty(Excess.of(beyond, pooled.sizes, n_current, ~in_slice))


@dataclass(frozen=True, eq=False)
class BoundNovelty:
    """Counts of novel rows of the groups outside the slice, one column a radius."""

    excess: Excess

    def values(self, draw: Draw) -> Floats:
        """Return the larger standardised excess under each labelling, (b,)."""
        return np.asarray(self.excess.values(draw).max(axis=1))

    def effect(self, before: Floats, after: Floats) -> Floats:
        """Return by how much the share of novel rows rose, at the radius that shows it best, (b,)."""
        strongest = int(self.excess.standardised(after[0]).argmax())
        return np.maximum(0.0, self.excess.rise(before, after, strongest))


def choose_slice(pooled: Pooled) -> Bools:
    """Return which groups (g,) learn the radius: at least two of the reference, never a current one."""
    candidates = pooled.rng(2).permutation(np.flatnonzero(~pooled.is_current))
    rows = np.cumsum(pooled.sizes[candidates])
    wanted = min(SLICE_ROWS, SLICE * rows[-1])
    n_taken = min(max(2, int(np.searchsorted(rows, wanted)) + 1), len(candidates) - 2)
    chosen = np.zeros(pooled.n_groups, dtype=bool)
    chosen[candidates[:n_taken]] = True
    return chosen


def _at_most(index: Ints, n: int, rng: np.random.Generator) -> Ints:
    """Return at most ``n`` of the indices: one long session must not make the slice expensive."""
    return index if len(index) <= n else np.sort(rng.choice(index, n, replace=False))


def _distance_to_others(rows: Floats, groups: Ints) -> Floats:
    """Return the distance (n,) from each row to its nearest row of another group."""
    squares = np.einsum("ij,ij->i", rows, rows)
    table = squares[:, None] + squares[None, :] - 2.0 * (rows @ rows.T)
    table[groups[:, None] == groups[None, :]] = np.inf
    return np.asarray(np.sqrt(np.maximum(table.min(axis=1), 0.0)))
