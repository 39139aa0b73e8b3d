"""How topics keep their ids from one fit to the next."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.topics.geometry import FloatArray, IntArray, mean_directions
from analysis.topics.partition import Partition

SAME_TOPIC_JACCARD = 0.5
MAIN_SHARE = 0.5
PART_SHARE = 0.2
STRUCTURE_GAIN = 0.06


def overlap(old: IntArray, new: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return the topic ids of ``old`` and ``new`` (both (n,)), and rows shared by each pair (a, b); -1 is left out."""
    old_ids, new_ids = np.unique(old[old >= 0]), np.unique(new[new >= 0])
    both = (old >= 0) & (new >= 0)
    table = np.zeros((len(old_ids), len(new_ids)), dtype=np.int64)
    np.add.at(table, (np.searchsorted(old_ids, old[both]), np.searchsorted(new_ids, new[both])), 1)
    return old_ids, new_ids, table


def match(old: IntArray, new: IntArray) -> dict[int, int]:
    """Return which new label continues which old topic.

    The assignment maximises the summed Jaccard index of members (Kuhn, 1955); pairs below one half are not
    the same topic.

    Parameters
    ----------
    old
        Old topic id of every row (n,), -1 for none.
    new
        New label of the same rows (n,), -1 for none.

    Returns
    -------
    dict
        New label to old topic id; labels without an ancestor are absent.
    """
    from scipy.optimize import linear_sum_assignment

    old_ids, new_ids, table = overlap(old, new)
    old_sizes = np.array([(old == i).sum() for i in old_ids], dtype=np.float64)
    new_sizes = np.array([(new == j).sum() for j in new_ids], dtype=np.float64)
    jaccard = table / np.maximum(old_sizes[:, None] + new_sizes[None, :] - table, 1.0)
    rows, columns = linear_sum_assignment(-jaccard)
    return {
        int(new_ids[j]): int(old_ids[i])
        for i, j in zip(rows, columns, strict=True)
        if jaccard[i, j] >= SAME_TOPIC_JACCARD
    }


def reconcile(X: FloatArray, old: Partition, old_labels: IntArray, new_labels: IntArray, next_id: int) -> Partition:
    """Join the earlier topics with a fresh clustering of the current rows.

    A topic matched by `match` keeps its id and its old centroid. Everything else is a proposal to change the
    structure: topics tied together by shared rows form a group, and the group's new topics replace its old
    ones only where that raises the simplified silhouette of the group's rows; so a clusterer's mood from one
    run to the next is not reported as history. A new topic without ancestor is born; an old topic without
    rows disappears.

    Parameters
    ----------
    X
        Unit rows (n, d).
    old
        The earlier partition.
    old_labels
        Its topic id of every row (n,), -1 for none.
    new_labels
        The fresh clustering (n,), labels 0…k-1, -1 for noise.
    next_id
        The first id that was never used.

    Returns
    -------
    Partition
        Ids and starting centroids; radii are those of the proposal and must be fitted anew.
    """
    matched = match(old_labels, new_labels)
    fresh = mean_directions(X, new_labels, int(new_labels.max(initial=-1)) + 1)
    survivors: dict[int, FloatArray] = {}
    for topic in matched.values():
        survivors[topic] = old.centroids[old.ids == topic][0]
    for group_old, group_new in _proposals(old, old_labels, new_labels, matched):
        before = {i: old.centroids[old.ids == i][0] for i in group_old}
        after = {j: fresh[j] for j in group_new}
        rows = np.isin(old_labels, list(group_old)) | np.isin(new_labels, list(group_new))
        rest = [c for i, c in survivors.items() if i not in group_old]
        if not before or _gain(X[rows], list(before.values()), list(after.values()), rest) > STRUCTURE_GAIN:
            for i in group_old:
                survivors.pop(i, None)
            for j in sorted(group_new):
                topic = matched.get(j, next_id)
                next_id += topic == next_id
                survivors[topic] = after[j]
        else:
            survivors.update(before)
    ids = np.array(sorted(survivors), dtype=np.int64)
    centroids = np.array([survivors[i] for i in ids.tolist()], dtype=np.float32).reshape(len(ids), X.shape[1])
    return Partition(ids, centroids, np.zeros(len(ids), dtype=np.float32))


def _proposals(
    old: Partition, old_labels: IntArray, new_labels: IntArray, matched: Mapping[int, int]
) -> list[tuple[set[int], set[int]]]:
    """Return groups (old ids, new labels) of topics tied by a split or a merge, births included."""
    old_ids, new_ids, table = overlap(old_labels, new_labels)
    groups: list[tuple[set[int], set[int]]] = []
    partner = {topic: label for label, topic in matched.items()}
    for column, label in enumerate(new_ids.tolist()):
        if label not in matched:
            source = _main(table[:, column], int((new_labels == label).sum()), old_ids)
            groups.append(({source} if source is not None else set(), {label}))
    for row, topic in enumerate(old_ids.tolist()):
        if topic not in partner:
            target = _main(table[row], int((old_labels == topic).sum()), new_ids)
            groups.append(({topic}, {target} if target is not None else set()))
    # A matched topic that takes part in a split or merge brings its other half along.
    for group_old, group_new in groups:
        group_new.update(partner[i] for i in tuple(group_old) if i in partner)
        group_old.update(matched[j] for j in tuple(group_new) if j in matched)
    return _joined(groups)


def _main(counts: IntArray, size: int, ids: IntArray) -> int | None:
    if not len(counts) or counts.max() < MAIN_SHARE * size:
        return None
    return int(ids[int(counts.argmax())])


def _joined(groups: list[tuple[set[int], set[int]]]) -> list[tuple[set[int], set[int]]]:
    """Return ``groups`` with those that share a member joined."""
    joined: list[tuple[set[int], set[int]]] = []
    for group_old, group_new in groups:
        merged = (set(group_old), set(group_new))
        apart = []
        for other in joined:
            if other[0] & merged[0] or other[1] & merged[1]:
                merged = (merged[0] | other[0], merged[1] | other[1])
            else:
                apart.append(other)
        joined = [*apart, merged]
    return joined


def _gain(X: FloatArray, before: list[FloatArray], after: list[FloatArray], rest: list[FloatArray]) -> float:
    """Return how much the simplified silhouette of the rows rises when ``after`` replaces ``before``."""
    return _simplified_silhouette(X, after + rest) - _simplified_silhouette(X, before + rest)


def _simplified_silhouette(X: FloatArray, centroids: list[FloatArray]) -> float:
    """Return the mean over rows of (b - a) / b, where a and b are the two smallest distances to centroids."""
    if len(centroids) < 2 or not len(X):
        return 0.0
    distance = np.maximum(1.0 - X @ np.array(centroids).T, 1e-9)
    two = np.partition(distance, 1, axis=1)[:, :2]
    return float(np.mean((two[:, 1] - two[:, 0]) / two[:, 1]))
