"""How topics keep their ids from one fit to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.topics.evidence import Evidence, is_one_cloud
from analysis.topics.geometry import BoolArray, FloatArray, IntArray, mean_directions, nearest
from analysis.topics.partition import Partition

SAME_TOPIC_JACCARD = 0.5
MAIN_SHARE = 0.5
PART_SHARE = 0.2


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


def reconcile(
    X: FloatArray, old: Partition, known: IntArray, layers: Sequence[IntArray], evidence: Evidence, next_id: int
) -> Partition:
    """Carry the earlier topics over, changed only where fresh clusterings propose it and the rows prove it.

    Every topic starts at its old centroid. A cluster that lies mostly outside all topics may be born, a topic that
    holds several clusters may be split, topics that lie mostly in one cluster may be merged; each proposal
    needs the support of `Evidence`. A topic that has next to no row left ends.

    Parameters
    ----------
    X
        Unit rows (n, d).
    old
        The earlier partition.
    known
        Its topic id of every row (n,), -1 for none.
    layers
        Fresh clusterings (n,), labels 0…k-1, -1 for noise; the first proposals win.
    evidence
        The memory of the earlier fit and the rows that came since.
    next_id
        The first id that was never used.

    Returns
    -------
    Partition
        Ids and starting centroids, sorted by id; radii are zero and must be fitted.
    """
    known = known.copy()
    sizes = {int(i): int((known == i).sum()) for i in old.ids.tolist()}
    kept = {i: old.centroids[row] for row, (i, size) in enumerate(sizes.items()) if evidence.lives(i, size, len(X))}
    touched: set[int] = set()
    born: dict[int, BoolArray] = {}
    for labels in layers:
        old_ids, new_ids, table = overlap(known, labels)
        proposals = _Proposals(X, old, known, labels, old_ids, new_ids, table)
        number = replace(evidence, tests=max(len(new_ids), 1))
        _merge(proposals, kept, touched, number)
        next_id = _split(proposals, kept, touched, number, next_id)
        next_id = _bear(proposals, kept, born, number, next_id)
    ids = np.array(sorted(kept), dtype=np.int64)
    centroids = np.array([kept[i] for i in ids.tolist()], dtype=np.float32).reshape(len(ids), X.shape[1])
    return Partition(ids, centroids, np.zeros(len(ids), dtype=np.float32))


def left_behind(X: FloatArray, known: IntArray, old: Partition, alive: IntArray) -> IntArray:
    """Return ``known`` (n,) with rows around topics that ended given to them: they tell what became of those.

    Around means within half the typical distance between neighbouring topics, which is farther than a radius: the
    parts of a topic that was split may both lie outside it.
    """
    ended = ~np.isin(old.ids, alive)
    if not ended.any() or len(old.ids) < 2:
        return known
    apart = 1.0 - old.centroids @ old.centroids.T
    np.fill_diagonal(apart, np.inf)
    index, distance = nearest(X, old.centroids)
    around = (known < 0) & ended[index] & (distance <= np.median(apart.min(axis=1)) / 2.0)
    return np.where(around, old.ids[index], known)


@dataclass(frozen=True)
class _Proposals:
    """One fresh clustering beside the earlier topics, and the rows that they share."""

    X: FloatArray
    old: Partition
    known: IntArray
    labels: IntArray
    old_ids: IntArray
    new_ids: IntArray
    table: IntArray

    def size(self, cluster: int) -> int:
        return int((self.labels == cluster).sum())

    def centre(self, cluster: int) -> FloatArray:
        return _centre(self.X[self.labels == cluster])

    def parts(self, row: int) -> list[int]:
        """Clusters that lie mostly in an old topic and hold a good part of it."""
        size = int((self.known == self.old_ids[row]).sum())
        return [
            int(cluster)
            for cluster, shared in zip(self.new_ids, self.table[row], strict=True)
            if shared >= PART_SHARE * size and shared >= MAIN_SHARE * self.size(cluster)
        ]

    def sources(self, column: int) -> list[int]:
        """Old topics that lie mostly in a cluster."""
        counts = self.table[:, column]
        return [
            int(topic)
            for topic, shared in zip(self.old_ids, counts, strict=True)
            if shared >= MAIN_SHARE * (self.known == topic).sum()
        ]


def _merge(found: _Proposals, kept: dict[int, FloatArray], touched: set[int], evidence: Evidence) -> None:
    """Let the largest of several topics that came together absorb the others."""
    for column, cluster in enumerate(found.new_ids.tolist()):
        group = [topic for topic in found.sources(column) if topic in kept and topic not in touched]
        if len(group) < 2:
            continue
        centres = np.array([kept[topic] for topic in group])
        if evidence.came_together(group, centres):
            largest = max(group, key=lambda topic: int((found.known == topic).sum()))
            kept.update({largest: found.centre(cluster)})
            touched.update(group)
            for topic in set(group) - {largest}:
                del kept[topic]


def _split(found: _Proposals, kept: dict[int, FloatArray], touched: set[int], evidence: Evidence, next_id: int) -> int:
    """Divide topics whose parts came apart; a part with half of all members keeps the id."""
    for row, topic in enumerate(found.old_ids.tolist()):
        parts = found.parts(row) if topic in kept and topic not in touched else []
        if len(parts) < 2:
            continue
        centres = np.array([found.centre(part) for part in parts])
        if not evidence.came_apart(topic, centres):
            continue
        heir = _heir(found, row, parts)
        del kept[topic]
        touched.add(topic)
        for part, centre in zip(parts, centres, strict=True):
            name = topic if part == heir else next_id
            next_id += name == next_id
            kept[name] = centre
            touched.add(name)
    return next_id


def _heir(found: _Proposals, row: int, parts: Sequence[int]) -> int | None:
    size = int((found.known == found.old_ids[row]).sum())
    shared = {part: int(found.table[row][found.new_ids.tolist().index(part)]) for part in parts}
    jaccard = {part: n / max(size + found.size(part) - n, 1) for part, n in shared.items()}
    best = max(parts, key=lambda part: jaccard[part])
    return best if jaccard[best] >= SAME_TOPIC_JACCARD else None


def _bear(
    found: _Proposals, kept: dict[int, FloatArray], born: dict[int, BoolArray], evidence: Evidence, next_id: int
) -> int:
    """Add clusters that lie outside all topics and grew; pieces of one cloud are one topic.

    Where a cluster holds what is left of a topic, and that one's radius its centre, the topic moved there.
    """
    for column, cluster in enumerate(found.new_ids.tolist()):
        mine = found.labels == cluster
        outside = mine & (found.known < 0)
        if outside.sum() < MAIN_SHARE * mine.sum() or not evidence.grew(found.X[mine]):
            continue
        alive = {topic: rows for topic, rows in born.items() if topic in kept}
        name = next((topic for topic, rows in alive.items() if _is_one_cloud(found.X, rows, mine)), None)
        if name is None:
            name = _moved_topic(found, column, kept, born)
        if name is None:
            name, next_id = next_id, next_id + 1
        born[name] = born.get(name, mine) | mine
        kept[name] = _centre(found.X[born[name]])
        # A finer layer shall not bear the same rows again.
        found.known[outside] = name
    return next_id


def _moved_topic(
    found: _Proposals, column: int, kept: Mapping[int, FloatArray], taken: Mapping[int, BoolArray]
) -> int | None:
    """Return the nearest earlier topic whose radius holds a cluster's centre, and the cluster its rows; or None."""
    distance = 1.0 - found.old.centroids @ found.centre(int(found.new_ids[column]))
    sources = set(found.sources(column)) & set(kept) - set(taken)
    for row in np.argsort(distance, kind="stable").tolist():
        topic = int(found.old.ids[row])
        unmoved = topic in sources and np.array_equal(kept[topic], found.old.centroids[row])
        if unmoved and distance[row] <= found.old.radii[row]:
            return topic
    return None


def _is_one_cloud(X: FloatArray, one: BoolArray, other: BoolArray) -> bool:
    return is_one_cloud(X[one | other], np.stack([_centre(X[one]), _centre(X[other])]))


def _centre(rows: FloatArray) -> FloatArray:
    return np.asarray(mean_directions(rows, np.zeros(len(rows), np.int64), 1)[0])
