"""Draws of labels over groups, and the joint p-value of several statistics.

Under the null hypothesis the groups (sessions) of both windows are exchangeable, so the labels
"reference" and "current" may be dealt again over the groups, never over the rows: rows of one session
resemble each other, and dealing them apart would make every window look changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.stats import norm, rankdata

from analysis.drift.arrays import Bools, Floats

LEAST_SKEW, MOST_SKEW = 0.05, 4.0
# Statistics are sums of float32 numbers: the same labelling drawn twice differs in its last digits.
ROUNDING = 1e-6
HOPELESS = 0.2


class Draw(Protocol):
    """A batch of labellings of the groups."""

    def labels(self, eligible: Bools | None = None) -> Floats:
        """Return (b, g) float32: 1 where a group is called current; ineligible groups are 0."""


@dataclass(frozen=True, eq=False)
class FreeDraw:
    """Labels dealt over all groups alike.

    ``keys`` (b, g): the ``n_current`` eligible groups with the smallest keys are called current. One
    set of keys serves statistics that leave some groups out, so that their permutations stay joint.
    """

    keys: Floats
    n_current: int

    @classmethod
    def observed(cls, is_current: Bools) -> FreeDraw:
        """Return the one labelling that was observed."""
        return cls((~is_current).astype(np.float64)[None, :], int(is_current.sum()))

    @classmethod
    def random(cls, n: int, is_current: Bools, rng: np.random.Generator) -> FreeDraw:
        """Return ``n`` random labellings with as many current groups as were observed."""
        return cls(rng.random((n, len(is_current))), int(is_current.sum()))

    def labels(self, eligible: Bools | None = None) -> Floats:
        """Return (b, g) float32: 1 where a group is called current; ineligible groups are 0."""
        if eligible is None:
            return self._over_all
        return ((self.keys <= self._last(self.keys[:, eligible])) & eligible).astype(np.float32)

    @cached_property
    def _over_all(self) -> Floats:
        return (self.keys <= self._last(self.keys.copy())).astype(np.float32)

    def _last(self, keys: Floats) -> Floats:
        """Return the largest of the ``n_current`` smallest of each row (b, 1); the rows are put out of order."""
        keys.partition(self.n_current - 1, axis=1)
        return keys[:, self.n_current - 1 : self.n_current]


@dataclass(frozen=True, eq=False)
class Permuted:
    """Statistics under the observed labelling (row 0) and under random ones, (b + 1, s).

    ``p_floor`` is the smallest p-value that could have come out of as many labellings as were asked for; fewer
    were drawn where the first of them settled that nothing is unusual. ``weights`` (s,): of the columns.
    """

    table: Floats
    p_floor: float
    weights: tuple[float, ...] | None = None

    @cached_property
    def p_value(self) -> float:
        """The joint p-value."""
        return joint_p_value(self.table, self.weights)

    @cached_property
    def loudest(self) -> int:
        """The column in which the observed row is rarest."""
        return int(tail_log_p(self.table)[0].argmin())

    def unusual(self, alpha: float) -> bool:
        """Whether a verdict at a level is worth thinking about."""
        return self.p_value <= hopeless(alpha)


def hopeless(alpha: float) -> float:
    """Return the p-value above which nothing more is drawn for a test at a level, and nothing is explained."""
    return max(HOPELESS, 4.0 * alpha)


def own_p_values(table: Floats) -> Floats:
    """Return the p-value of every cell of ``table`` (b + 1, s) within its column; larger is rarer."""
    return np.asarray(rankdata(-table, method="max", axis=0) / len(table), dtype=np.float64)


def joint_p_value(table: Floats, weights: Sequence[float] | None = None) -> float:
    """Return the p-value of row 0 of ``table`` (b + 1, s), its columns joined.

    Each row is one labelling, row 0 the observed one. The evidence of a row is the sum of the logarithms of
    its tail probabilities (Fisher's combination), ``weights`` (s,) or one each (Good, 1955,
    doi:10.1111/j.2517-6161.1955.tb00199.x); its rank among the evidence of all rows accounts for having
    looked at several statistics and for their dependence (Pesarin & Salmaso, 2010, *Permutation Tests for
    Complex Data*). The sum loses little where one statistic alone speaks and gains where several do; the
    minimum found a new topic of 2 % less often and out-of-scope text much less often.
    """
    evidence = -tail_log_p(table) @ (np.ones(table.shape[1]) if weights is None else np.asarray(weights))
    return float(np.mean(evidence >= evidence[0] * (1.0 - 10.0 * ROUNDING)))


def tail_log_p(table: Floats) -> Floats:
    """Return the logarithm of the upper tail probability of every cell of ``table`` (b, s) in its column.

    A gamma distribution with the column's mean, variance and skewness (the largest value left out) stands for
    the permutation distribution (Josse et al., 2008, doi:10.1016/j.csda.2008.06.012), by the cube root that
    makes it normal (Wilson & Hilferty, 1931). It only orders rows, all of them alike, so that no error of
    the approximation can change the level; unlike a rank it tells how far the top row is ahead.
    """
    body = np.sort(table, axis=0)[: max(1, len(table) - 1)]
    mean, spread = body.mean(axis=0), body.std(axis=0)
    scale = np.where(spread > ROUNDING * np.abs(mean) + 1e-300, spread, np.inf)
    skew = np.clip((((body - mean) / scale) ** 3).mean(axis=0), LEAST_SKEW, MOST_SKEW)
    shape = 4.0 / skew**2
    ratio = np.maximum(1e-9, 1.0 + (table - mean) / scale / np.sqrt(shape))
    return np.asarray(norm.logsf((np.cbrt(ratio) - 1.0 + 1.0 / (9.0 * shape)) * 3.0 * np.sqrt(shape)))
