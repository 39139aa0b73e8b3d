"""Turns a partition and its rows into `Topic` records: sizes, exemplars, names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from analysis.topics.geometry import FloatArray, IntArray, mean_directions
from analysis.topics.labels import CENTRAL_MESSAGES, EXEMPLARS, Reader, name_topics
from analysis.topics.map import TopicMap
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
    parents: IntArray,
    *,
    reader: Reader,
    level: int,
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
        Parent id of every topic (k,), -1 where it has none.
    reader
        What reads the messages of this fit.
    level
        Level of these topics, as in `Topic`.
    """
    own = ids[first]
    central = [
        _most_central(rows, first[own == topic], centroid)
        for topic, centroid in zip(partition.ids.tolist(), partition.centroids, strict=True)
    ]
    names = name_topics([[texts[row] for row in order] for order in central], reader)
    sizes = [int((ids == topic).sum()) for topic in partition.ids.tolist()]
    return tuple(
        Topic(
            topic_id=topic,
            label=names[i].label,
            keywords=names[i].keywords,
            parent_id=None if parents[i] < 0 else int(parents[i]),
            level=level,
            size=sizes[i],
            share=sizes[i] / len(rows),
            exemplars=_diverse(rows, central[i]),
        )
        for i, topic in enumerate(partition.ids.tolist())
    )


def describe_themes(
    rows: FloatArray, texts: Sequence[str], first: IntArray, topics: Sequence[Topic], ids: IntArray, reader: Reader
) -> tuple[Topic, ...]:
    """Return one record for every theme that ``topics`` name as their parent, named by messages of all of them.

    Parameters
    ----------
    rows, texts
        Unit rows (n, d) and the n texts.
    first
        Row of the first text of each group of near-identical ones (m,).
    topics
        The topics, with their parents.
    ids
        Topic id of every row (n,).
    reader
        What reads the messages of this fit.
    """
    members: dict[int, list[Topic]] = {}
    for topic in topics:
        if topic.parent_id is not None:
            members.setdefault(topic.parent_id, []).append(topic)
    central = {theme: _spread(rows, first, group, ids) for theme, group in members.items()}
    names = name_topics([[texts[row] for row in order] for order in central.values()], reader)
    sizes = {theme: sum(topic.size for topic in group) for theme, group in members.items()}
    return tuple(
        Topic(
            topic_id=theme,
            label=name.label,
            keywords=name.keywords,
            parent_id=None,
            level=-1,
            size=sizes[theme],
            share=sizes[theme] / len(rows),
            exemplars=_diverse(rows, central[theme]),
        )
        for theme, name in zip(members, names, strict=True)
    )


def located(topics: tuple[Topic, ...], centroids: FloatArray, topic_map: TopicMap) -> tuple[Topic, ...]:
    """Return ``topics`` with their places on a map: those of their ``centroids`` (k, d)."""
    if not topics:
        return topics
    places = topic_map.place(centroids)
    return tuple(replace(topic, x=float(x), y=float(y)) for topic, (x, y) in zip(topics, places, strict=True))


def _spread(rows: FloatArray, first: IntArray, topics: Sequence[Topic], ids: IntArray) -> list[int]:
    """Return central rows of ``topics`` in turns, the largest topic first, so that none speaks for all."""
    own = ids[first]
    queues = []
    for topic in sorted(topics, key=lambda topic: -topic.size):
        members = first[own == topic.topic_id]
        centre = mean_directions(rows[members], np.zeros(len(members), dtype=np.int64), 1)[0]
        queues.append(_most_central(rows, members, centre)[: CENTRAL_MESSAGES // len(topics) + 1])
    return [row for turn in zip_longest(*queues) for row in turn if row is not None]


def _diverse(rows: FloatArray, central: list[int]) -> tuple[int, ...]:
    """Return three central rows that do not say the same: each the next one unlike those before, if there is one."""
    chosen: list[int] = []
    for limit in (ALIKE, np.inf):
        for row in central:
            if len(chosen) < EXEMPLARS and row not in chosen and np.all(rows[chosen] @ rows[row] < limit):
                chosen.append(row)
    return tuple(chosen)


def _most_central(rows: FloatArray, members: IntArray, centroid: FloatArray) -> list[int]:
    order = np.argsort(-(rows[members] @ centroid), kind="stable")[:CENTRAL_MESSAGES]
    return [int(row) for row in members[order]]
