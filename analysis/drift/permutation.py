"""Draws of labels over groups, and the joint p-value of several statistics.

Under the null hypothesis the groups (sessions) of both windows are exchangeable, so the labels
"reference" and "current" may be dealt again over the groups, never over the rows: rows of one session
resemble each other, and dealing them apart would make every window look changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.stats import rankdata

from analysis.drift.arrays import Bools, Floats, Ints


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
        keys = self.keys if eligible is None else np.where(eligible, self.keys, np.inf)
        last = np.partition(keys, self.n_current - 1, axis=1)[:, self.n_current - 1]
        return (keys <= last[:, None]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class StratifiedDraw:
    """Labels dealt only among the groups of one stratum.

    ``given`` (b, g) is complete: every stratum has as many current groups as were observed.
    """

    given: Floats

    @classmethod
    def observed(cls, is_current: Bools) -> StratifiedDraw:
        """Return the one labelling that was observed."""
        return cls(is_current.astype(np.float32)[None, :])

    @classmethod
    def random(cls, n: int, is_current: Bools, strata: Ints, rng: np.random.Generator) -> StratifiedDraw:
        """Return ``n`` random labellings that keep each stratum's number of current groups."""
        order = np.argsort(strata[None, :] + rng.random((n, len(strata))), axis=1)
        template = is_current[np.lexsort((~is_current, strata))].astype(np.float32)
        given = np.empty((n, len(strata)), dtype=np.float32)
        np.put_along_axis(given, order, np.broadcast_to(template, given.shape), axis=1)
        return cls(given)

    def labels(self, eligible: Bools | None = None) -> Floats:
        """Return (b, g) float32: 1 where a group is called current; ineligible groups are 0."""
        return self.given if eligible is None else self.given * eligible


def own_p_values(table: Floats) -> Floats:
    """Return the p-value of every cell of ``table`` (b + 1, s) within its column; larger is rarer."""
    return np.asarray(rankdata(-table, method="max", axis=0) / len(table), dtype=np.float64)


def joint_p_value(table: Floats) -> float:
    """Return the p-value of row 0 of ``table`` (b + 1, s) by the minimum over its columns.

    Each row is one labelling, row 0 the observed one. The smallest of a row's own p-values is ranked
    among those of all rows, which accounts for having looked at several statistics and for their
    dependence (Tippett's combination; Pesarin & Salmaso, 2010, *Permutation Tests for Complex Data*).
    Every column has a row on top, so that several rows tie at the smallest p-value: of those, the one
    that deviates most in standard deviations is the rarer. Rows are still treated alike.
    """
    least = own_p_values(table).min(axis=1)
    farthest = deviations(table).max(axis=1)
    rarer = (least < least[0]) | ((least == least[0]) & (farthest >= farthest[0]))
    return float(np.mean(rarer))


def deviations(table: Floats) -> Floats:
    """Return how many standard deviations each cell of ``table`` lies above its column's mean."""
    spread = table.std(axis=0)
    return np.asarray((table - table.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0))
