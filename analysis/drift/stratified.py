"""Statistics of groups that may be exchanged only within their stratum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.drift.arrays import Bools, Floats, Ints
from analysis.drift.permutation import Draw


@dataclass(frozen=True, eq=False)
class Strata:
    """Groups (g,), the stratum of each, their sizes in rows, and the observed labels."""

    stratum: Ints
    sizes: Floats
    is_current: Bools

    @property
    def overlap(self) -> float:
        """Return the effective number of compared rows: the sum of n1 n0 / n over strata."""
        n = np.bincount(self.stratum, self.sizes)
        n1 = np.bincount(self.stratum, self.sizes * self.is_current)
        return float((n1 * (n - n1) / np.maximum(n, 1.0)).sum())

    def centred(self, sums: Floats) -> Floats:
        """Return group sums (g, k) less what their size and stratum make expected."""
        totals = np.zeros((int(self.stratum.max()) + 1, sums.shape[1]))
        np.add.at(totals, self.stratum, sums)
        rows = np.bincount(self.stratum, self.sizes)
        means = totals / np.maximum(rows, 1.0)[:, None]
        return np.asarray(sums - self.sizes[:, None] * means[self.stratum])

    def deviation(self, centred: Floats) -> Floats:
        """Return the standard deviation (k,) of the current groups' sum under dealing within strata."""
        groups = np.bincount(self.stratum).astype(np.float64)
        first = np.bincount(self.stratum, self.is_current)
        factor = first * (groups - first) / np.maximum(groups * (groups - 1.0), 1.0)
        return np.asarray(np.sqrt((factor[self.stratum][:, None] * centred**2).sum(axis=0)))


@dataclass(frozen=True, eq=False)
class StratifiedShift:
    r"""Squared length of the summed, stratum-centred features of the current groups.

    .. math:: T = \Big\|\sum_{g} \ell_g S_g\Big\|^2 - \sum_g \ell_g \|S_g\|^2

    (the second term is what single groups contribute by themselves), over the squared number of rows
    that the windows can be compared on: a maximum mean discrepancy within strata.
    """

    sums: Floats
    overlap: float
    spread: float

    @classmethod
    def of(cls, sums: Floats, strata: Strata, spread: float) -> StratifiedShift:
        """Prepare feature sums (g, k)."""
        return cls(strata.centred(sums).astype(np.float32), strata.overlap, spread)

    def values(self, draw: Draw) -> Floats:
        """Return the statistic under each labelling, (b,)."""
        labels = draw.labels()
        first = labels @ self.sums
        own = labels @ np.einsum("ij,ij->i", self.sums, self.sums)
        length = np.einsum("ij,ij->i", first, first) - own
        return np.asarray(length / max(1.0, self.overlap) ** 2, dtype=np.float64)

    def effect(self, draw: Draw) -> float:
        """Return the shift in spreads of one message: about the share of the answers that moved."""
        return min(1.0, float(np.sqrt(max(0.0, float(self.values(draw)[0])) / self.spread)))


@dataclass(frozen=True, eq=False)
class StratifiedExcess:
    """Largest standardised change of a cell's share within strata; see ``statistics.excess``."""

    residuals: Floats
    deviation: Floats
    overlap: float

    @classmethod
    def of(cls, counts: Floats, strata: Strata) -> StratifiedExcess:
        """Prepare counts (g, k)."""
        centred = strata.centred(counts)
        return cls(centred.astype(np.float32), strata.deviation(centred), strata.overlap)

    def values(self, draw: Draw) -> Floats:
        """Return the statistic under each labelling, (b,)."""
        return np.asarray(np.abs(self._standardised(draw)).max(axis=1))

    def effect(self, draw: Draw) -> float:
        """Return the change of share of the cell that changed most, within strata."""
        strongest = int(np.abs(self._standardised(draw)[0]).argmax())
        excess = float(draw.labels()[0] @ self.residuals[:, strongest])
        return abs(excess) / max(1.0, self.overlap)

    def _standardised(self, draw: Draw) -> Floats:
        raw = (draw.labels() @ self.residuals).astype(np.float64)
        return np.asarray(np.divide(raw, self.deviation, out=np.zeros_like(raw), where=self.deviation > 1e-9))
