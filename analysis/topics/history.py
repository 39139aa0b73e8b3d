"""The history of topics: what happened to each of them between two fits, told in records and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import sqrt

import numpy as np

from analysis.topics.geometry import IntArray
from analysis.topics.identity import MAIN_SHARE, PART_SHARE, overlap
from analysis.topics.kinship import Kinship
from analysis.topics.records import Topic, TopicEvent

CHANGE_FACTOR = 1.5
CHANGE_Z = 3.0

NO_KIN = Kinship()

Topics = Mapping[int, Topic]


def describe_changes(
    before: Topics,
    after: Topics,
    old_labels: IntArray,
    new_labels: IntArray,
    earlier: Mapping[int, tuple[float, float]],
    kin: Kinship = NO_KIN,
) -> tuple[TopicEvent, ...]:
    """Return the events between two fits, in order of topic id.

    Parameters
    ----------
    before, after
        Topics by id.
    old_labels, new_labels
        Topic id of every current row (n,) by the earlier and by the later fit, -1 for none.
    earlier
        By topic id of the later fit its share of the earlier fit's rows, and of how many (effective) rows that is
        known. Both shares are thus counted by the same rule: borders that moved are no growth.
    kin
        What became of topics that ended, where rows alone do not tell.

    Returns
    -------
    tuple
        A topic grew or shrank when its share changed by half or more and by three standard errors of the
        difference of two proportions. It was split when new topics took at least a fifth of its rows, and
        merged when at least half of its rows went to one other topic and its id is gone, or where ``kin`` says so.
    """
    old_ids, new_ids, table = overlap(old_labels, new_labels)
    flows = {(int(i), int(j)): int(table[r, c]) for r, i in enumerate(old_ids) for c, j in enumerate(new_ids)}
    parts = _parts(before, after, flows, old_labels, new_labels)
    parts.update({topic: group for topic, group in kin.split.items() if topic in before and topic not in parts})
    children = {child for group in parts.values() for child in group} | set(kin.merged.values())
    events = [
        *_splits(parts, before, after),
        *_ends(before, after, flows, old_labels, parts, kin.merged),
        *(_born(after[i]) for i in sorted(set(after) - set(before) - children)),
        *_sizes(before, after, set(parts), earlier),
    ]
    return tuple(sorted(events, key=lambda event: (event.topic_id, event.kind)))


def _parts(
    before: Topics,
    after: Topics,
    flows: Mapping[tuple[int, int], int],
    old_labels: IntArray,
    new_labels: IntArray,
) -> dict[int, tuple[int, ...]]:
    """Return, by divided topic, the topics that it was divided into, itself included if it lives on."""
    parts: dict[int, tuple[int, ...]] = {}
    for parent in before:
        size = int((old_labels == parent).sum())
        fresh = [
            child
            for child in set(after) - set(before)
            if flows.get((parent, child), 0) >= PART_SHARE * size
            and flows.get((parent, child), 0) >= MAIN_SHARE * (new_labels == child).sum()
        ]
        lives_on = [parent] if parent in after else []
        if len(fresh) + len(lives_on) >= 2:
            parts[parent] = tuple(sorted(lives_on + fresh))
    return parts


def _splits(parts: Mapping[int, tuple[int, ...]], before: Topics, after: Topics) -> Iterator[TopicEvent]:
    for parent, group in parts.items():
        names = " and ".join(f"“{after[child].label}”" for child in group)
        size = after[parent].size if parent in after else 0
        sentence = f"“{before[parent].label}” was split into {names}."
        yield TopicEvent("split", parent, group, before[parent].size, size, sentence)


def _ends(
    before: Topics,
    after: Topics,
    flows: Mapping[tuple[int, int], int],
    old_labels: IntArray,
    parts: Mapping[int, tuple[int, ...]],
    merged: Mapping[int, int],
) -> Iterator[TopicEvent]:
    for topic_id in sorted(set(before) - set(after) - set(parts)):
        topic, size = before[topic_id], int((old_labels == topic_id).sum())
        target = max(after, key=lambda j: flows.get((topic_id, j), 0), default=None)
        moved = target is not None and size > 0 and flows.get((topic_id, target), 0) >= MAIN_SHARE * size
        target = target if moved else merged.get(topic_id)
        if target is not None:
            sentence = f"“{topic.label}” was merged into “{after[target].label}”."
            yield TopicEvent("merged", topic_id, (target,), topic.size, 0, sentence)
        else:
            yield TopicEvent("died", topic_id, (), topic.size, 0, f"Nobody asks about “{topic.label}” any more.")


def _born(topic: Topic) -> TopicEvent:
    sentence = f"“{topic.label}” is a new topic with {topic.share:.1%} of messages."
    return TopicEvent("born", topic.topic_id, (), 0, topic.size, sentence)


def _sizes(
    before: Topics, after: Topics, divided: set[int], earlier: Mapping[int, tuple[float, float]]
) -> Iterator[TopicEvent]:
    for topic_id in sorted((set(before) & set(after)) - divided):
        old, new = before[topic_id], after[topic_id]
        share, rows = earlier.get(topic_id, (0.0, 0.0))
        if min(share, new.share) <= 0 or not _changed(share, rows, new):
            continue
        grew = new.share > share
        word = "grew" if grew else "shrank"
        sentence = f"“{new.label}” {word} from {share:.1%} to {new.share:.1%} of messages."
        yield TopicEvent("grew" if grew else "shrank", topic_id, (), old.size, new.size, sentence)


def _changed(share: float, n_old: float, new: Topic) -> bool:
    n_new = new.size / new.share
    pooled = (share * n_old + new.size) / (n_old + n_new)
    error = sqrt(pooled * (1 - pooled) * (1 / n_old + 1 / n_new))
    factor = max(share, new.share) / min(share, new.share)
    return factor >= CHANGE_FACTOR and abs(new.share - share) >= CHANGE_Z * np.maximum(error, 1e-12)
