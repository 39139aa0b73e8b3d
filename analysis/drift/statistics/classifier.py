"""How well a linear classifier tells the windows apart on messages that it did not learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.drift.arrays import Floats, Ints
from analysis.drift.permutation import Draw
from analysis.drift.pooled import Pooled

ROWS = 4_000
COMPONENTS = 32
RIDGE = 0.1


@dataclass(frozen=True)
class Classifier:
    r"""Classifier two-sample statistic: balanced accuracy of ridge discriminants, less one half.

    .. math:: T = \tfrac{1}{2}\big(P_1(\hat y = 1) + P_0(\hat y = 0)\big) - \tfrac{1}{2}

    A random half of the groups teaches the discriminant that is tried on the other half, and the other
    way round; every labelling learns its own. Components are scaled to a common variance. Sources:
    Lopez-Paz and Oquab, 2017, "Revisiting classifier two-sample tests"; Kim et al., 2021,
    doi:10.1214/20-AOS1962. Sees whatever one plane can part; misses small new topics and balanced changes.
    """

    name: str = "classifier"
    title: str = "Accuracy of a classifier"
    higher_is_more_drift: bool = True
    symmetric: bool = True

    def bind(self, pooled: Pooled) -> BoundClassifier:
        """Reduce the pooled rows to two folds of whole groups with the inverse scatter of each."""
        scores = pooled.components(COMPONENTS).astype(np.float64)
        scores /= np.maximum(scores.std(axis=0), 1e-9)
        n = len(scores)
        kept = np.sort(pooled.rng(7).choice(n, ROWS, replace=False)) if n > ROWS else np.arange(n)
        half = pooled.rng(8).permutation(pooled.n_groups) % 2
        folds = tuple(_fold(scores[kept], pooled.groups[kept], half, side) for side in (0, 1))
        return BoundClassifier((folds[0], folds[1]))


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows of half the groups, their groups, and the inverse of their scatter."""

    rows: Floats
    groups: Ints
    inverse: Floats


@dataclass(frozen=True, eq=False)
class BoundClassifier:
    """Two folds that learn from one another."""

    folds: tuple[Fold, Fold]

    def values(self, draw: Draw) -> Floats:
        """Return the mean balanced accuracy of both folds less one half, under each labelling, (b,)."""
        labels = draw.labels()
        return self._gain(1.0 - labels, labels)

    def effect(self, before: Floats, after: Floats) -> Floats:
        """Return twice the gain over guessing: a lower bound of the share of the traffic that changed, (b,)."""
        return np.asarray(np.maximum(0.0, 2.0 * self._gain(before, after)))

    def _gain(self, before: Floats, after: Floats) -> Floats:
        first, second = self.folds
        gains = (_accuracy(one, other, before, after) for one, other in ((first, second), (second, first)))
        return np.asarray(0.5 * sum(gains) - 0.5)


def _fold(rows: Floats, groups: Ints, half: Ints, side: int) -> Fold:
    mine = half[groups] == side
    scatter = rows[mine].T @ rows[mine] / max(1, int(mine.sum()))
    return Fold(rows[mine], groups[mine], np.linalg.inv(scatter + RIDGE * np.eye(len(scatter))))


def _accuracy(teacher: Fold, pupil: Fold, before: Floats, after: Floats) -> Floats:
    """Return the balanced accuracy on ``pupil`` of discriminants learnt on ``teacher``, (b,)."""
    mean0, mean1 = (_mean(teacher, weights) for weights in (before, after))
    plane = (mean1 - mean0) @ teacher.inverse
    bias = np.einsum("ij,ij->i", plane, mean1 + mean0) / 2.0
    called = (plane @ pupil.rows.T > bias[:, None]).astype(np.float64)
    return np.asarray(0.5 * (_rate(called, pupil, after) + 1.0 - _rate(called, pupil, before)))


def _mean(fold: Fold, weights: Floats) -> Floats:
    """Return the mean row under each weighting of the groups, (b, d)."""
    wide = weights[:, fold.groups].astype(np.float64)
    return np.asarray((wide @ fold.rows) / np.maximum(wide.sum(axis=1, keepdims=True), 1.0))


def _rate(called: Floats, fold: Fold, weights: Floats) -> Floats:
    """Return the share of rows called current under each weighting, (b,)."""
    wide = weights[:, fold.groups].astype(np.float64)
    return np.asarray((called * wide).sum(axis=1) / np.maximum(wide.sum(axis=1), 1.0))
