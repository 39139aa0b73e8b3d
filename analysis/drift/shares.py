"""Shares of labels (document ids, sources, languages) compared between two windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.drift.arrays import Floats, Groups, Ints, as_groups
from analysis.drift.comparison import permuted
from analysis.drift.permutation import Draw, FreeDraw
from analysis.drift.pooled import MIN_GROUPS, MIN_ROWS
from analysis.drift.result import MINIMUM_EFFECT, Verdict
from analysis.drift.statistics.excess import Excess
from analysis.drift.statistics.jensen_shannon import total_variation

RAREST = 8
MOST_LABELS = 256
NOTABLE = 3.0
MOST_CHANGES = 12

Labels = Sequence[Any] | npt.NDArray[Any]


@dataclass(frozen=True)
class ShareChange:
    """One label whose share changed, ``z`` standard deviations of dealing the groups again."""

    label: str
    share_reference: float
    share_current: float
    z: float


@dataclass(frozen=True)
class ShareResult:
    """The verdict on the shares of labels; ``effect`` is the share of the traffic that changed labels."""

    verdict: Verdict
    p_value: float
    p_floor: float
    effect: float
    n_reference: int
    n_current: int
    changes: tuple[ShareChange, ...] = ()
    needed: str = ""


def compare_shares(  # noqa: PLR0913 - the windows, their groups and the settings of compare
    reference: Labels,
    current: Labels,
    *,
    reference_groups: Groups = None,
    current_groups: Groups = None,
    permutations: int = 499,
    rng: int = 0,
    alpha: float = 0.05,
) -> ShareResult:
    """Decide whether the shares of labels differ between two windows, permuting groups.

    Two families are joined: the label that changed most, in standard deviations of dealing the groups again,
    and the chi-squared sum over labels. Labels with fewer than eight rows in all are pooled into one.

    Parameters
    ----------
    reference, current
        (n,) and (m,) labels; anything that prints.
    reference_groups, current_groups
        Session of every row; ``None``: every row is its own session.

    Raises
    ------
    ValueError
        If groups do not match the labels.
    """
    names, codes = np.unique(np.array([str(label) for label in (*reference, *current)]), return_inverse=True)
    n, m = len(reference), len(current)
    first = as_groups(reference_groups, n, "reference_groups")
    second = as_groups(current_groups, m, "current_groups")
    n_first = int(first.max()) + 1 if n else 0
    n_second = int(second.max()) + 1 if m else 0
    if min(n, m) < MIN_ROWS or min(n_first, n_second) < MIN_GROUPS:
        needed = f"at least {MIN_ROWS} rows in {MIN_GROUPS} groups in each window"
        return ShareResult("insufficient", float("nan"), 1.0, float("nan"), n, m, needed=needed)
    counts = _counts(codes.astype(np.int64), np.concatenate([first, second + n_first]), len(names))
    is_current = np.arange(n_first + n_second) >= n_first
    kept, table_counts = _common(counts)
    bound = _BoundShares(Excess.of(table_counts, counts.sum(axis=1), n_second))
    observed = FreeDraw.observed(is_current)
    generator = np.random.default_rng([rng, 61])
    drawn = permuted(
        (_Largest(bound), bound), observed, lambda b: FreeDraw.random(b, is_current, generator), permutations, alpha
    )
    sums = counts[~is_current].sum(axis=0), counts[is_current].sum(axis=0)
    effect = float(total_variation(sums[0][None], sums[1][None])[0])
    drifted = drawn.p_value <= alpha and effect >= MINIMUM_EFFECT
    verdict: Verdict = "insufficient" if drawn.p_floor > alpha else "drifted" if drifted else "stable"
    changes = _changes(names[kept], sums[0][kept] / n, sums[1][kept] / m, bound.excess.values(observed)[0])
    return ShareResult(verdict, drawn.p_value, drawn.p_floor, effect, n, m, changes if drifted else ())


@dataclass(frozen=True, eq=False)
class _BoundShares:
    """Chi-squared sum of the standardised changes of all labels."""

    excess: Excess

    def values(self, draw: Draw) -> Floats:
        """Return the statistic under each labelling, (b,)."""
        return np.asarray((self.excess.values(draw) ** 2).sum(axis=1))

    def effect(self, before: Floats, after: Floats) -> Floats:
        """Return the share of the traffic that changed labels, (b,)."""
        return total_variation(before @ self.excess.counts, after @ self.excess.counts)


@dataclass(frozen=True, eq=False)
class _Largest:
    """The largest standardised change of a label."""

    shares: _BoundShares

    def values(self, draw: Draw) -> Floats:
        """Return the statistic under each labelling, (b,)."""
        return np.asarray(np.abs(self.shares.excess.values(draw)).max(axis=1))

    def effect(self, before: Floats, after: Floats) -> Floats:
        """Return the share of the traffic that changed labels, (b,)."""
        return self.shares.effect(before, after)


def _counts(codes: Ints, groups: Ints, k: int) -> Floats:
    g = int(groups.max()) + 1
    return np.bincount(groups * k + codes, minlength=g * k).reshape(g, k).astype(np.float64)


def _common(counts: Floats) -> tuple[Ints, Floats]:
    """Return the columns of common labels, and their counts with one column more for the rest."""
    total = counts.sum(axis=0)
    kept = np.flatnonzero(total >= RAREST)
    kept = np.sort(kept[np.argsort(-total[kept], kind="stable")[:MOST_LABELS]])
    rest = counts.sum(axis=1) - counts[:, kept].sum(axis=1)
    return kept, np.column_stack([counts[:, kept], rest])


def _changes(names: npt.NDArray[Any], before: Floats, after: Floats, z: Floats) -> tuple[ShareChange, ...]:
    """Return the labels that changed notably, largest change of share first."""
    found = [
        ShareChange(str(name), float(b), float(a), float(score))
        for name, b, a, score in zip(names, before, after, z, strict=False)
        if abs(score) >= NOTABLE
    ]
    return tuple(sorted(found, key=lambda c: -abs(c.share_current - c.share_reference))[:MOST_CHANGES])
