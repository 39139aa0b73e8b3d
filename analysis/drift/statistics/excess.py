"""Counts standardised by what dealing the groups again would do to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.drift.arrays import Bools, Floats
from analysis.drift.permutation import Draw


@dataclass(frozen=True, eq=False)
class Excess:
    r"""Standardised excess of current counts over their expectation under dealing again.

    For a count :math:`c_g` of group g of size :math:`n_g` and the pooled share p, the residual
    :math:`x_g = c_g - p\,n_g` sums to zero; its sum over the groups called current has variance
    :math:`\frac{G_1 G_0}{G (G-1)} \sum_g x_g^2` (sampling without replacement), which takes the size and
    the sameness of sessions into account. A cell filled by one long session therefore stays small.

    ``residuals`` (g, k), ``deviation`` (k,), ``eligible`` (g,) or None for all groups.
    """

    residuals: Floats
    deviation: Floats
    counts: Floats
    sizes: Floats
    eligible: Bools | None

    @classmethod
    def of(cls, counts: Floats, sizes: Floats, n_current: int, eligible: Bools | None = None) -> Excess:
        """Prepare counts (g, k) of groups of the given sizes (g,)."""
        weight = np.ones(len(sizes)) if eligible is None else eligible.astype(np.float64)
        counts, sizes = counts * weight[:, None], sizes * weight
        residuals = counts - np.outer(sizes, counts.sum(axis=0) / max(1.0, float(sizes.sum())))
        total = float(weight.sum())
        factor = n_current * (total - n_current) / max(1.0, total * (total - 1.0))
        deviation = np.sqrt(factor * (residuals**2).sum(axis=0))
        return cls(residuals.astype(np.float32), deviation, counts, sizes, eligible)

    def values(self, draw: Draw) -> Floats:
        """Return the standardised excess of each count under each labelling, (b, k)."""
        raw = draw.labels(self.eligible) @ self.residuals
        scaled = np.divide(raw, self.deviation, out=np.zeros(raw.shape), where=self.deviation > 1e-9)
        return np.asarray(scaled, dtype=np.float64)

    def rise(self, before: Floats, after: Floats, chosen: int) -> Floats:
        """Return by how much the share of one count rose between weights (b, g) of both windows, (b,)."""
        shares = [(w @ self.counts[:, chosen]) / np.maximum(w @ self.sizes, 1.0) for w in (before, after)]
        return np.asarray(shares[1] - shares[0])

    def standardised(self, after: Floats) -> Floats:
        """Return the standardised excess of each count when the groups (g,) weigh so in the current window."""
        raw = after.astype(np.float32) @ self.residuals
        return np.divide(raw, self.deviation, out=np.zeros(raw.shape), where=self.deviation > 1e-9)
