"""Energy distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from analysis.drift.arrays import Floats
from analysis.drift.permutation import Draw
from analysis.drift.pooled import Pooled

ROWS = 3_000


@dataclass(frozen=True)
class Energy:
    r"""Energy distance of the windows, on at most 3,000 pooled rows.

    .. math:: T = 2\,E\|X - Y\| - E\|X - X'\| - E\|Y - Y'\|

    with pairs of one group left out of the last two terms, so that sessions of near-duplicates do not
    shrink them. Source: Székely & Rizzo, 2013, doi:10.1016/j.jspi.2013.03.018. Sees broad shifts
    without a bandwidth to choose; misses small new topics.
    """

    name: str = "energy"
    title: str = "Energy distance"
    higher_is_more_drift: bool = True
    symmetric: bool = True

    def bind(self, pooled: Pooled) -> BoundEnergy:
        """Reduce the pooled rows to sums of distances between groups."""
        n = len(pooled.rows)
        kept = np.sort(pooled.rng(4).choice(n, ROWS, replace=False)) if n > ROWS else np.arange(n)
        rows, groups = pooled.rows[kept], pooled.groups[kept]
        squares = np.einsum("ij,ij->i", rows, rows)
        distance = np.sqrt(np.maximum(squares[:, None] + squares - 2.0 * (rows @ rows.T), 0.0))
        member = sparse.csr_matrix(
            (np.ones(len(kept), dtype=rows.dtype), (groups, np.arange(len(kept)))),
            shape=(pooled.n_groups, len(kept)),
        )
        between = np.asarray(member @ np.asarray(member @ distance).T)
        np.fill_diagonal(between, 0.0)
        sizes = np.bincount(groups, minlength=pooled.n_groups).astype(np.float64)
        return BoundEnergy(between, sizes, mean=float(distance.mean()))


@dataclass(frozen=True, eq=False)
class BoundEnergy:
    """Sums of distances between groups (g, g), group sizes (g,), and the mean pooled distance."""

    between: Floats
    sizes: Floats
    mean: float

    def values(self, draw: Draw) -> Floats:
        """Return the energy distance under each labelling, (b,)."""
        labels = draw.labels()
        return self._distance(1.0 - labels, labels)

    def effect(self, before: Floats, after: Floats) -> Floats:
        """Return the root of the distance over twice the mean distance: about the share that moved, (b,)."""
        return np.sqrt(np.maximum(0.0, self._distance(before, after)) / max(1e-12, 2.0 * self.mean))

    def _distance(self, before: Floats, after: Floats) -> Floats:
        to_current = (after @ self.between).astype(np.float64)
        n1, n0 = after.astype(np.float64) @ self.sizes, before.astype(np.float64) @ self.sizes
        across = np.einsum("ij,ij->i", to_current, before) / np.maximum(n1 * n0, 1.0)
        within1 = np.einsum("ij,ij->i", to_current, after) / self._pairs(after, n1)
        within0 = np.einsum("ij,ij->i", (before @ self.between).astype(np.float64), before) / self._pairs(before, n0)
        return np.asarray(2.0 * across - within1 - within0)

    def _pairs(self, weights: Floats, n: Floats) -> Floats:
        """Return the number of pairs of rows of different groups, (b,)."""
        return np.maximum(n**2 - weights.astype(np.float64) ** 2 @ self.sizes**2, 1.0)
