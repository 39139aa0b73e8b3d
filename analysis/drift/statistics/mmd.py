"""Maximum mean discrepancy by random Fourier features."""

from __future__ import annotations

from dataclasses import dataclass

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
        labels = draw.labels()
        first = labels @ self.sums
        second = self.sums.sum(axis=0) - first
        own = np.column_stack([self.sizes, self.sizes**2, np.einsum("ij,ij->i", self.sums, self.sums)])
        n1, r1, q1 = (labels.astype(np.float64) @ own).T
        n0, r0, q0 = own.sum(axis=0)[:, None] - np.stack([n1, r1, q1])
        within1 = (_squared(first) - q1) / np.maximum(n1**2 - r1, 1.0)
        within0 = (_squared(second) - q0) / np.maximum(n0**2 - r0, 1.0)
        across = np.einsum("ij,ij->i", first, second) / np.maximum(n1 * n0, 1.0)
        return np.asarray(within1 + within0 - 2.0 * across, dtype=np.float64)

    def effect(self, draw: Draw) -> float:
        """Return the distance in spreads of one message: about the share of the traffic that moved."""
        return float(np.sqrt(max(0.0, float(self.values(draw)[0])) / self.spread))


def fourier_features(rows: Floats, rng: np.random.Generator) -> Floats:
    """Return features (n, 2 m) whose inner products approximate the Gaussian kernel; each has norm 1."""
    pairs = rng.integers(0, len(rows), size=(2, min(2_000, 4 * len(rows))))
    distance = np.linalg.norm(rows[pairs[0]] - rows[pairs[1]], axis=1)
    positive = distance[distance > 0]
    width = float(np.median(positive)) if len(positive) else 1.0
    frequency = rng.standard_normal((rows.shape[1], FREQUENCIES)).astype(rows.dtype) / np.float32(width)
    phase = rows @ frequency
    return np.concatenate([np.cos(phase), np.sin(phase)], axis=1) / np.float32(np.sqrt(FREQUENCIES))


def _squared(rows: Floats) -> Floats:
    return np.asarray(np.einsum("ij,ij->i", rows, rows))
