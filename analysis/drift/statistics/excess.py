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

    def shares(self, draw: Draw) -> tuple[Floats, Floats]:
        """Return the share of every count in reference and current rows, first labelling, (k,) each."""
        label = draw.labels(self.eligible)[0].astype(np.float64)
        other = 1.0 - label if self.eligible is None else self.eligible - label
        return _share(other, self.counts, self.sizes), _share(label, self.counts, self.sizes)


def _share(label: Floats, counts: Floats, sizes: Floats) -> Floats:
    return np.asarray((label @ counts) / max(1.0, float(label @ sizes)))
