"""Turns a partition and its rows into `Topic` records: sizes, exemplars, names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.topics.geometry import FloatArray, IntArray
from analysis.topics.labels import CENTRAL_MESSAGES, EXEMPLARS, name_topics
from analysis.topics.partition import Partition
from analysis.topics.records import Topic

# Cosine from which two messages are rewordings of one another.
ALIKE = 0.85


def describe_topics(
    rows: FloatArray,
    texts: Sequence[str],
    first: IntArray,
    partition: Partition,
    ids: IntArray,
    parents: IntArray | None,
) -> tuple[Topic, ...]:
    """Return one record for every topic of ``partition``, in its order.

    Parameters
    ----------
    rows
        Unit rows (n, d).
    texts
        The n texts.
    first
        Row of the first text of each group of near-identical ones (m,).
    partition
        The geometry of this level.
    ids
        Topic id of every row (n,).
    parents
        Parent id of every topic (k,), or None where the topics are the upper level.
    """
    central = [
        _most_central(rows[first], first, ids[first] == topic, centroid)
        for topic, centroid in zip(partition.ids.tolist(), partition.centroids, strict=True)
    ]
    names = name_topics([[texts[row] for row in order] for order in central])
    sizes = [int((ids == topic).sum()) for topic in partition.ids.tolist()]
    return tuple(
        Topic(
            topic_id=topic,
            label=names[i].label,
            keywords=names[i].keywords,
            parent_id=None if parents is None else int(parents[i]),
            level=0 if parents is None else 1,
            size=sizes[i],
            share=sizes[i] / len(rows),
            exemplars=_diverse(rows, central[i]),
        )
        for i, topic in enumerate(partition.ids.tolist())
    )


def _diverse(rows: FloatArray, central: list[int]) -> tuple[int, ...]:
    """Return three central rows that do not say the same: each the next one unlike those before, if there is one."""
    chosen: list[int] = []
    for limit in (ALIKE, np.inf):
        for row in central:
            if len(chosen) < EXEMPLARS and row not in chosen and np.all(rows[chosen] @ rows[row] < limit):
                chosen.append(row)
    return tuple(chosen)


def _most_central(X: FloatArray, first: IntArray, inside: np.ndarray, centroid: FloatArray) -> list[int]:
    members = np.flatnonzero(inside)
    order = members[np.argsort(-(X[members] @ centroid), kind="stable")][:CENTRAL_MESSAGES]
    return [int(row) for row in first[order]]
