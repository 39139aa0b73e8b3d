"""Topics as the geometry that assigns rows to them: ids, centroids, radii."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.topics.geometry import (
    DoubleArray,
    FloatArray,
    IntArray,
    fitted_radii,
    mean_directions,
    nearest,
)

LLOYD_STEPS = 2
# Float32 places a row that lies exactly on its topic's radius on either side of it.
ROUNDING = 1e-6


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
        Cosine distance (k,) within which 95 % of a topic's own rows lie.
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


def moved_partition(X: FloatArray, labels: IntArray, known: IntArray, start: Partition, old: Partition) -> Partition:
    """Return ``start`` after two Lloyd steps, with new radii.

    Few steps from the old centroids, over the rows of the earlier topics and of the new clusters, keep
    successive fits alike where the traffic is alike. The radius of a topic that lives on is the mean of its old
    radius and of the one that the engine's rows give now: a radius from rows inside the old one would shrink
    with every refit.

    Parameters
    ----------
    X
        Unit rows (n, d).
    labels
        The engine's labels (n,), -1 for noise.
    known
        The earlier topic of every row (n,), -1 for none.
    start
        Ids and starting centroids.
    old
        The earlier partition.
    """
    core = X[(labels >= 0) | (known >= 0)]
    centroids = start.centroids
    for _ in range(LLOYD_STEPS if len(core) else 0):
        index, _ = nearest(core, centroids)
        moved = mean_directions(core, index, len(start.ids))
        served = np.bincount(index, minlength=len(start.ids)) > 0
        centroids = np.where(served[:, None], moved, centroids)
    fresh = _with_radii(X, np.where((labels >= 0) | (known >= 0), 0, -1), start.ids, centroids)
    if (labels >= 0).any():
        fresh = _with_radii(X, labels, start.ids, centroids)
    radii = fresh.radii.copy()
    _, here, there = np.intersect1d(start.ids, old.ids, return_indices=True)
    radii[here] = (radii[here] + old.radii[there]) / 2.0
    return Partition(fresh.ids, fresh.centroids, radii)


def _with_radii(X: FloatArray, labels: IntArray, ids: IntArray, centroids: FloatArray) -> Partition:
    core = labels >= 0
    if not len(ids) or not core.any():
        return empty_partition(X.shape[1])
    index, distance = nearest(X[core], centroids)
    return Partition(ids.astype(np.int64), centroids, fitted_radii(distance, index, len(ids)))
