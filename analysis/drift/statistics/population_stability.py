"""Population stability index of the windows' cell shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.drift.arrays import Floats
from analysis.drift.permutation import Draw
from analysis.drift.pooled import Pooled
from analysis.drift.statistics.jensen_shannon import total_variation, window_shares

SMOOTHING = 0.5


@dataclass(frozen=True)
class PopulationStability:
    r"""Population stability index (PSI) of the coarse cells: the symmetric divergence of their shares.

    .. math:: T = \sum_c (q_c - p_c) \ln \frac{q_c}{p_c}

    with half a message added to every count, so that an empty cell stays finite. Source: Siddiqi, 2006,
    *Credit Risk Scorecards*; its distribution: Yurdakul, 2018. Sees changes of the mix of topics; the
    folk thresholds of 0.1 and 0.25 ignore the number of messages, so read the p-value.
    """

    name: str = "population_stability"
    title: str = "Population stability index"
    higher_is_more_drift: bool = True
    symmetric: bool = True

    def bind(self, pooled: Pooled) -> BoundPopulationStability:
        """Reduce the pooled rows to counts of the coarse cells per group."""
        return BoundPopulationStability(pooled.counts(pooled.cells[0]))


@dataclass(frozen=True, eq=False)
class BoundPopulationStability:
    """Cell counts of the groups (g, k)."""

    counts: Floats

    def values(self, draw: Draw) -> Floats:
        """Return the index under each labelling, (b,)."""
        before, after = window_shares(draw, self.counts, SMOOTHING)
        return np.asarray(((after - before) * np.log(after / before)).sum(axis=1))

    def effect(self, before: Floats, after: Floats) -> Floats:
        """Return the total variation of the shares: the share of the traffic that changed cells, (b,)."""
        return total_variation(before @ self.counts, after @ self.counts)
