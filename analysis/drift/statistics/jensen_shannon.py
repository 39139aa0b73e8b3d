"""Divergence of the windows' cell shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.drift.arrays import Floats
from analysis.drift.permutation import Draw
from analysis.drift.pooled import Pooled


@dataclass(frozen=True)
class JensenShannon:
    r"""Jensen–Shannon divergence of the shares of the coarse cells, in bits, in [0, 1].

    .. math:: T = H\!\left(\tfrac{p + q}{2}\right) - \tfrac{1}{2} H(p) - \tfrac{1}{2} H(q)

    Source: Lin, 1991, doi:10.1109/18.61115. Sees changes of the mix of topics; grows with the number
    of cells over the number of messages even without drift, so read its p-value, not its size.
    """

    name: str = "jensen_shannon"
    title: str = "Divergence of the mix"
    higher_is_more_drift: bool = True
    symmetric: bool = True

    def bind(self, pooled: Pooled) -> BoundJensenShannon:
        """Reduce the pooled rows to counts of the coarse cells per group."""
        return BoundJensenShannon(pooled.counts(pooled.cells[0]))


@dataclass(frozen=True, eq=False)
class BoundJensenShannon:
    """Cell counts of the groups (g, k)."""

    counts: Floats

    def values(self, draw: Draw) -> Floats:
        """Return the divergence under each labelling, (b,)."""
        return np.asarray(divergence_terms(*window_shares(draw, self.counts)).sum(axis=1))

    def effect(self, before: Floats, after: Floats) -> Floats:
        """Return the total variation of the shares: the share of the traffic that changed cells, (b,)."""
        return total_variation(before @ self.counts, after @ self.counts)


def window_shares(draw: Draw, counts: Floats, smoothing: float = 0.0) -> tuple[Floats, Floats]:
    """Return the cell shares (b, k) of reference and current under each labelling of counts (g, k)."""
    after = draw.labels().astype(np.float64) @ counts
    before = counts.sum(axis=0) - after
    return _normalised(before + smoothing), _normalised(after + smoothing)


def total_variation(before: Floats, after: Floats) -> Floats:
    """Return half the sum of the absolute differences of the shares of counts (b, k), (b,)."""
    return np.asarray(0.5 * np.abs(_normalised(after) - _normalised(before)).sum(axis=1))


def divergence_terms(before: Floats, after: Floats) -> Floats:
    """Return what each cell adds to the Jensen–Shannon divergence of two share vectors, in bits."""
    middle = 0.5 * (before + after)
    return np.asarray(0.5 * (_bits(before, middle) + _bits(after, middle)))


def _bits(share: Floats, middle: Floats) -> Floats:
    """Return share * log2(share / middle), and 0 where the share is 0."""
    ratio = np.divide(share, middle, out=np.ones_like(share), where=share > 0)
    return np.asarray(share * np.log2(ratio))


def _normalised(counts: Floats) -> Floats:
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0))
