"""Maximum mean discrepancy by random Fourier features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from analysis.drift.arrays import Floats
from analysis.drift.permutation import Draw
from analysis.drift.pooled import Pooled

FREQUENCIES = 256


@dataclass(frozen=True)
class Mmd:
    r"""Squared distance of the windows' mean features under a Gaussian kernel.

    .. math:: \mathrm{MMD}^2 = \frac{\|S_1\|^2 - q_1}{N_1^2 - r_1} + \frac{\|S_0\|^2 - q_0}{N_0^2 - r_0}
              - \frac{2\, S_1 \cdot S_0}{N_1 N_0}

    with :math:`S_w` the sum of the random Fourier features over window w, and q, r the parts of the
    squares that come from pairs within one group: leaving them out makes the estimate unbiased when the
    rows of a group resemble each other. Bandwidth: the median distance of pooled pairs.

    Sources: Gretton et al., 2012, "A kernel two-sample test"; Rahimi & Recht, 2007, "Random features
    for large-scale kernel machines". Sees broad shifts; misses small new topics.
    """

    name: str = "mmd"
    title: str = "Shift of the whole distribution"
    higher_is_more_drift: bool = True
    symmetric: bool = True

    def bind(self, pooled: Pooled) -> BoundMmd:
        """Reduce the pooled rows to feature sums per group."""
        features = fourier_features(pooled.rows, pooled.rng(1))
        sums = pooled.sums(features)
        mean = features.mean(axis=0)
        return BoundMmd(sums, pooled.sizes, spread=max(1e-12, 1.0 - float(mean @ mean)))


@dataclass(frozen=True, eq=False)
class BoundMmd:
    """Feature sums of the groups (g, 2 m), their sizes (g,), and the variance of one row's features."""

    sums: Floats
    sizes: Floats
    spread: float

    def values(self, draw: Draw) -> Floats:
        """Return the unbiased squared distance under each labelling, (b,)."""
        current = self._window(draw.labels(), dealt=True)
        everything = self._window(np.ones((1, len(self.sizes)), dtype=np.float32), dealt=True)
        rest = tuple(whole - part for whole, part in zip(everything, current, strict=True))
        return _squared_distance((rest[0], rest[1], rest[2], rest[3]), current)

    def effect(self, before: Floats, after: Floats) -> Floats:
        """Return the distance in spreads of one message: about the share of the traffic that moved, (b,)."""
        distance = _squared_distance(self._window(before), self._window(after))
        return np.asarray(np.sqrt(np.maximum(0.0, distance) / self.spread))

    def _window(self, weights: Floats, *, dealt: bool = False) -> _Window:
        """Return the sums of a window in which each group counts so often (b, g); ``dealt``: once or not at all."""
        total = weights.astype(np.float32, copy=False) @ self.sums
        squared = weights if dealt else weights.astype(np.float64) ** 2
        own = squared @ self._own.astype(squared.dtype)
        return total, weights @ self.sizes.astype(weights.dtype), own[:, 0], own[:, 1]

    @cached_property
    def _own(self) -> Floats:
        """Pairs of rows within each group, and the sum of the products of their features, (g, 2)."""
        return np.column_stack([self.sizes**2, np.einsum("ij,ij->i", self.sums, self.sums)])


# Feature sums (b, 2 m), rows (b,), and the pairs within groups: their number (b,) and their products (b,).
_Window: TypeAlias = tuple[Floats, Floats, Floats, Floats]


def _squared_distance(before: _Window, after: _Window) -> Floats:
    across = np.einsum("ij,ij->i", before[0], after[0]) / np.maximum(before[1] * after[1], 1.0)
    return np.asarray(_within(before) + _within(after) - 2.0 * across, dtype=np.float64)


def _within(window: _Window) -> Floats:
    """Return the mean product of the features of two rows of different groups, (b,)."""
    total, n, own_pairs, own = window
    return np.asarray((np.einsum("ij,ij->i", total, total) - own) / np.maximum(n**2 - own_pairs, 1.0))


def fourier_features(rows: Floats, rng: np.random.Generator) -> Floats:
    """Return features (n, 2 m) whose inner products approximate the Gaussian kernel; each has norm 1."""
    pairs = rng.integers(0, len(rows), size=(2, min(2_000, 4 * len(rows))))
    distance = np.linalg.norm(rows[pairs[0]] - rows[pairs[1]], axis=1)
    positive = distance[distance > 0]
    width = float(np.median(positive)) if len(positive) else 1.0
    frequency = rng.standard_normal((rows.shape[1], FREQUENCIES)).astype(rows.dtype) / np.float32(width)
    phase = rows @ frequency
    features = np.empty((len(rows), 2 * FREQUENCIES), dtype=phase.dtype)
    np.cos(phase, out=features[:, :FREQUENCIES])
    np.sin(phase, out=features[:, FREQUENCIES:])
    features /= np.float32(np.sqrt(FREQUENCIES))
    return features
