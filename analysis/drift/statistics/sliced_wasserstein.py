"""Mean one-dimensional transport distance over random directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.drift.arrays import Floats
from analysis.drift.permutation import Draw
from analysis.drift.pooled import Pooled

DIRECTIONS = 64
LEVELS = 31


@dataclass(frozen=True)
class SlicedWasserstein:
    r"""Sliced Wasserstein distance of order one.

    .. math:: T = \frac{1}{m} \sum_{\theta} \int |F_1^\theta(t) - F_0^\theta(t)|\,dt

    with F the distribution functions of the rows projected on 64 random directions, integrated over 31
    pooled quantiles a direction. Sources: Rabin et al., 2011; Bonneel et al., 2015,
    doi:10.1007/s10851-014-0506-3. Sees broad shifts and changes of spread; misses small new topics.
    """

    name: str = "sliced_wasserstein"
    title: str = "Transport along random directions"
    higher_is_more_drift: bool = True
    symmetric: bool = True

    def bind(self, pooled: Pooled) -> BoundSlicedWasserstein:
        """Reduce the pooled rows to counts below each quantile of each direction per group."""
        direction = pooled.rng(6).standard_normal((pooled.rows.shape[1], DIRECTIONS)).astype(np.float32)
        projected = pooled.rows @ (direction / np.linalg.norm(direction, axis=0))
        level = np.quantile(projected, np.linspace(0.0, 1.0, LEVELS + 2), axis=0)
        width = 0.5 * (level[2:] - level[:-2])
        below = (projected[:, None, :] <= level[1:-1]).reshape(len(projected), -1)
        sums = pooled.sums(below.astype(np.float32))
        spread = float(np.abs(projected - np.median(projected, axis=0)).mean())
        return BoundSlicedWasserstein(sums, pooled.sizes, (width / DIRECTIONS).ravel(), max(1e-12, spread))


@dataclass(frozen=True, eq=False)
class BoundSlicedWasserstein:
    """Counts below each level (g, levels x directions), group sizes (g,), level widths, mean spread."""

    below: Floats
    sizes: Floats
    width: Floats
    spread: float

    def values(self, draw: Draw) -> Floats:
        """Return the distance under each labelling, (b,)."""
        labels = draw.labels()
        return self._distance(1.0 - labels, labels)

    def effect(self, before: Floats, after: Floats) -> Floats:
        """Return the distance in mean spreads of a message: about the share of the traffic that moved, (b,)."""
        return np.asarray(np.minimum(1.0, self._distance(before, after) / (2.0 * self.spread)))

    def _distance(self, before: Floats, after: Floats) -> Floats:
        below = [
            (weights.astype(np.float32) @ self.below) / np.maximum(weights @ self.sizes, 1.0)[:, None]
            for weights in (before, after)
        ]
        return np.asarray(np.abs(below[1] - below[0]) @ self.width, dtype=np.float64)
