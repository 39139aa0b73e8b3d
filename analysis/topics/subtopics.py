"""The second level: a finer layer of the same hierarchy, kept where it divides a topic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.topics.geometry import FloatArray, IntArray, nearest
from analysis.topics.identity import MAIN_SHARE, match
from analysis.topics.partition import Partition, empty_partition, partition_from_labels

MOST_SUBTOPICS_PER_TOPIC = 6
FINER = 1.5


def find_subtopics(
    X: FloatArray, partition: Partition, layers: Sequence[IntArray], next_id: int
) -> tuple[Partition, IntArray]:
    """Return the sub-topics of a fit and their parents.

    Parameters
    ----------
    X
        Unit rows (m, d).
    partition
        The topics.
    layers
        All layers of the engine, label vectors (m,).
    next_id
        The id of the first sub-topic.

    Returns
    -------
    tuple
        A partition and the parent id of each of its topics (s,). The layer used has at least one and a half
        times and at most six times as many clusters as there are topics; of several the coarsest.
    """
    nothing = empty_partition(X.shape[1]), np.empty(0, dtype=np.int64)
    layer = _finer_layer(layers, len(partition.ids))
    if layer is None:
        return nothing
    topics, _, _ = partition.assign(X)
    parents = _parents(layer, topics)
    values, counts = np.unique(parents[parents >= 0], return_counts=True)
    divided = np.isin(parents, values[counts >= 2])
    if not divided.any():
        return nothing
    number = np.where(divided, np.cumsum(divided) - 1, -1)
    labels = np.where(layer >= 0, number[layer], -1)
    ids = np.arange(next_id, next_id + int(divided.sum()), dtype=np.int64)
    return partition_from_labels(X, labels, ids), parents[divided]


def _finer_layer(layers: Sequence[IntArray], k: int) -> IntArray | None:
    counts = {i: int(layer.max(initial=-1)) + 1 for i, layer in enumerate(layers)}
    fitting = [i for i, count in counts.items() if FINER * k <= count <= MOST_SUBTOPICS_PER_TOPIC * k]
    return layers[min(fitting, key=lambda i: counts[i])] if fitting else None


def _parents(layer: IntArray, topics: IntArray) -> IntArray:
    """Return the topic that holds most of each cluster of ``layer``, or -1 where none holds half of it."""
    parents = np.full(int(layer.max(initial=-1)) + 1, -1, dtype=np.int64)
    for cluster in range(len(parents)):
        values, counts = np.unique(topics[layer == cluster], return_counts=True)
        best = int(counts.argmax())
        if values[best] >= 0 and counts[best] >= MAIN_SHARE * counts.sum():
            parents[cluster] = values[best]
    return parents


def continue_subtopics(
    X: FloatArray, old: Partition, new: Partition, parents: IntArray, next_id: int
) -> tuple[Partition, IntArray]:
    """Return ``new`` with the ids of the earlier sub-topics that it continues.

    Parameters
    ----------
    X
        Unit rows (m, d).
    old, new
        Sub-topics of the earlier and of this fit.
    parents
        Parent of each new sub-topic (s,), returned unchanged.
    next_id
        The first id that was never used.
    """
    if not len(old.ids) or not len(new.ids):
        return new, parents
    label, _ = nearest(X, new.centroids)
    kept = match(old.assign(X)[0], np.where(new.assign(X)[0] >= 0, label, -1))
    ids = np.empty(len(new.ids), dtype=np.int64)
    for i in range(len(ids)):
        ids[i] = kept.get(i, next_id)
        next_id += i not in kept
    return Partition(ids, new.centroids, new.radii), parents
