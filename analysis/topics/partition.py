"""Topics as the geometry that assigns rows to them: ids, centroids, radii."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.topics.geometry import (
    BoolArray,
    DoubleArray,
    FloatArray,
    IntArray,
    fitted_radii,
    mean_directions,
    nearest,
    unit_rows,
)

LLOYD_STEPS = 2
# Float32 places a row that lies exactly on its topic's radius on either side of it.
ROUNDING = 1e-6
MOST_WIDENING = 1.25
SAME_WIDTH = 1.15
FEWEST_FOR_WIDENING = 30


@dataclass(frozen=True)
class Partition:
    """The learned geometry of one level.

    Attributes
    ----------
    ids
        Topic ids (k,), int64.
    centroids
        Unit rows (k, d), float32.
    radii
        Cosine distance (k,) within which a topic's rows lie: 95 % of rows, over all topics.
    """

    ids: IntArray
    centroids: FloatArray
    radii: FloatArray

    def part(self, rows: IntArray) -> Partition:
        """Return the topics at these places alone."""
        return Partition(self.ids[rows], self.centroids[rows], self.radii[rows])

    def assign(self, X: FloatArray) -> tuple[IntArray, DoubleArray, DoubleArray]:
        """Give every row to its nearest centroid, if it lies within that topic's radius.

        Parameters
        ----------
        X
            Unit rows (n, d).

        Returns
        -------
        tuple
            Topic id (n,), -1 outside every radius. Membership (n,) in [0, 1]: 1 at the centroid, one half at
            the radius, 0 from twice the radius on. Novelty (n,): cosine distance beyond the radius, 0 inside.
        """
        if not len(self.ids):
            return np.full(len(X), -1, dtype=np.int64), np.zeros(len(X)), np.ones(len(X))
        index, distance = nearest(X, self.centroids)
        radius = self.radii[index]
        inside = distance <= radius + ROUNDING
        relative = distance.astype(np.float64) / np.maximum(radius, ROUNDING)
        membership = np.where(inside, np.maximum(1.0 - relative / 2.0, 0.5), np.maximum(1.0 - relative / 2.0, 0.0))
        novelty = np.where(inside, 0.0, distance - radius).astype(np.float64)
        return np.where(inside, self.ids[index], -1), membership, novelty


def empty_partition(dimensions: int) -> Partition:
    """Return a partition without topics, which calls every row an outlier."""
    return Partition(
        np.empty(0, dtype=np.int64), np.empty((0, dimensions), dtype=np.float32), np.empty(0, dtype=np.float32)
    )


def partition_from_labels(X: FloatArray, labels: IntArray, ids: IntArray) -> Partition:
    """Return the partition of an engine's labels: means of the clusters, radii of their own rows.

    Parameters
    ----------
    X
        Unit rows (n, d).
    labels
        Labels 0…k-1 (n,), -1 for noise; noise shapes neither centroid nor radius.
    ids
        Topic id of each label (k,).
    """
    return _with_radii(X, labels, ids, mean_directions(X, labels, len(ids)))


def moved_partition(
    X: FloatArray, labels: IntArray, start: Partition, old: Partition, memory: FloatArray, unseen: BoolArray
) -> Partition:
    """Return ``start`` after Lloyd steps, with radii for the topics as they are now.

    A topic that lives on moves as the mean of its rows moved between the remembered fit and what came since, in
    proportion to how much came and beyond what chance explains: the same traffic leaves it where it is. Its radius
    follows the mean distance of its rows likewise. A topic that is new is fitted to the rows of the engine's clusters
    alone.

    Parameters
    ----------
    X
        Unit rows (n, d).
    labels
        The engine's labels (n,), -1 for noise.
    start
        Ids and starting centroids.
    old
        The earlier partition.
    memory
        Unit rows (m, d) that stand for the earlier fit.
    unseen
        Which of ``X`` (n,) the earlier fit did not have.
    """
    continued = _continued(start, old)
    memory_ids, recent_ids = old.assign(memory)[0], old.assign(X)[0]
    scale = max(int((~unseen).sum()), 1) / max(len(memory), 1) if not unseen.all() else 1.0
    fresh = continued < 0
    centroids, radii = start.centroids.copy(), np.zeros(len(start.ids), dtype=np.float32)
    for topic in np.flatnonzero(~fresh):
        row = int(continued[topic])
        before, now = memory[memory_ids == old.ids[row]], X[unseen & (recent_ids == old.ids[row])]
        share = len(now) / max(len(now) + scale * len(before), 1.0)
        if len(now) and len(before):
            moved = old.centroids[row] + share * _drift(before, now)
            centroids[topic] = unit_rows(moved[None])[0]
        radii[topic] = old.radii[row] * (1.0 + share * (_widening(before, now, centroids[topic]) - 1.0))
    return Partition(start.ids.astype(np.int64), *_fitted(X[labels >= 0], centroids, radii, fresh))


def _drift(before: FloatArray, now: FloatArray) -> FloatArray:
    """Return the difference (d,) of two means, shrunk by the part of its length that sampling alone explains.

    The factor is the positive part of James and Stein (1961); rows have length one, so that one less the squared
    length of their mean is their variance.
    """
    difference = now.mean(axis=0) - before.mean(axis=0)
    noise = sum((1.0 - float(np.square(rows.mean(axis=0)).sum())) / len(rows) for rows in (before, now))
    factor = max(0.0, 1.0 - noise / max(float(np.square(difference).sum()), 1e-12))
    return np.asarray(factor * difference, dtype=np.float32)


def _fitted(
    core: FloatArray, centroids: FloatArray, radii: FloatArray, fresh: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Return centroids and radii with those of ``fresh`` topics (k,) fitted to ``core`` rows."""
    if not fresh.any() or not len(core):
        return centroids, radii
    for _ in range(LLOYD_STEPS):
        index, _ = nearest(core, centroids)
        served = np.bincount(index, minlength=len(centroids)) > 0
        moved = mean_directions(core, index, len(centroids))
        centroids = np.where((served & fresh)[:, None], moved, centroids)
    index, distance = nearest(core, centroids)
    return centroids, np.where(fresh, fitted_radii(distance, index, len(centroids)), radii)


def _continued(start: Partition, old: Partition) -> IntArray:
    """Return the place in ``old`` (k,) of every topic that starts at its old centroid, -1 for the others."""
    place = {int(i): row for row, i in enumerate(old.ids.tolist())}
    rows = [place.get(int(i), -1) for i in start.ids.tolist()]
    same = [
        row if row >= 0 and np.array_equal(old.centroids[row], centroid) else -1
        for row, centroid in zip(rows, start.centroids, strict=True)
    ]
    return np.array(same, dtype=np.int64)


def _widening(before: FloatArray, now: FloatArray, centroid: FloatArray) -> float:
    """Return by how much the mean distance of a topic's rows changed, at most by a quarter; 1 if unknown."""
    if min(len(before), len(now)) < FEWEST_FOR_WIDENING:
        return 1.0
    ratio = (1.0 - now @ centroid).mean() / max(float((1.0 - before @ centroid).mean()), 1e-6)
    if 1.0 / SAME_WIDTH <= ratio <= SAME_WIDTH:
        return 1.0
    return float(np.clip(ratio, 1.0 / MOST_WIDENING, MOST_WIDENING))


def _with_radii(X: FloatArray, labels: IntArray, ids: IntArray, centroids: FloatArray) -> Partition:
    core = labels >= 0
    if not len(ids) or not core.any():
        return empty_partition(X.shape[1])
    index, distance = nearest(X[core], centroids)
    return Partition(ids.astype(np.int64), centroids, fitted_radii(distance, index, len(ids)))
