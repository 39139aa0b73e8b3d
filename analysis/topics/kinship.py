"""Which topics live on in new ones, told by where their centroids lie.

A message that asks for two things at once lies between both subjects. So where a topic ended and a new one lies
closer to the middle of it and another than to either, it merged into the new one; where a topic was closer to the
middle of a new one and another than to either, it was split into these. The new one in the first case, and the other in
the second, may be an earlier topic at its present place. Where both can be said, the closer middle decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from analysis.topics.geometry import FloatArray
from analysis.topics.partition import Partition

LEAST_COSINE = 0.8
LEAST_GAIN = 0.02

Places = Mapping[int, FloatArray]


@dataclass(frozen=True)
class Kinship:
    """What became of topics.

    Attributes
    ----------
    merged
        The new topic into which each merged, by ended topic.
    split
        The topics into which each was split, itself included if it lives on.
    """

    merged: Mapping[int, int] = field(default_factory=dict)
    split: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


def find_kin(old: Partition, new: Partition, origin: Places | None = None) -> Kinship:
    """Return what became of topics of ``old`` as far as the topics tell that are only in ``new``.

    Parameters
    ----------
    old, new
        The topics before and now.
    origin
        By topic id the place (d,) where it was first found; what moves slowly was never between two places at once.
    """
    before = dict(zip(old.ids.tolist(), old.centroids, strict=True))
    after = dict(zip(new.ids.tolist(), new.centroids, strict=True))
    readings = [*_splits(before, after, origin or {}), *_merges(before, after)]
    split: dict[int, tuple[int, ...]] = {}
    merged: dict[int, int] = {}
    for reading in sorted(readings, key=lambda reading: -reading.gain):
        topic, parts = reading.topic, {part for group in split.values() for part in group}
        # A new topic is the part of one split that lives on, of several that ended, or what others merged into.
        taken = (set(merged.values()) | (parts if topic in after else set())) - set(before)
        if topic in split or topic in merged:
            continue
        if reading.child is None and not taken & set(reading.parts):
            split[topic] = tuple(sorted({*reading.parts, *({topic} & set(after))}))
        elif reading.child is not None and reading.child not in parts - set(before):
            merged[topic] = reading.child
    return Kinship(merged, split)


class _Reading(NamedTuple):
    """What may have become of a topic: it merged into a ``child``, or it was split into ``parts``."""

    gain: float
    topic: int
    child: int | None
    parts: tuple[int, ...]


def _splits(before: Places, after: Places, origin: Places) -> Iterator[_Reading]:
    born = set(after) - set(before)
    for topic, last in before.items():
        ends = {name: after[name] for name in {topic, *born}} if topic in after else after
        for place in [last, *([origin[topic]] if topic in origin else [])]:
            gain, pair = _between(place, ends, born)
            if pair:
                yield _Reading(gain, topic, None, pair)


def _merges(before: Places, after: Places) -> Iterator[_Reading]:
    ended = set(before) - set(after)
    for child, place in after.items():
        ends = {name: before[name] for name in {child, *ended}} if child in before else before
        gain, pair = _between(place, ends, ended)
        for topic in set(pair) & ended:
            yield _Reading(gain, topic, child, ())


def _between(middle: FloatArray, ends: Places, needed: Set[int]) -> tuple[float, tuple[int, ...]]:
    """Return the two of ``ends``, at least one of them ``needed``, between which ``middle`` (d,) lies, or none.

    Before them stands how much closer it is to their middle than to either.
    """
    names = np.array(sorted(ends), dtype=np.int64)
    if len(names) < 2:
        return 0.0, ()
    gain = _gains(middle, np.stack([ends[name] for name in names.tolist()]))
    is_needed = np.isin(names, list(needed))
    gain[~np.triu(is_needed[:, None] | is_needed, 1)] = -1.0
    one, other = divmod(int(gain.argmax()), len(names))
    best = float(gain[one, other])
    return (best, (int(names[one]), int(names[other]))) if best >= LEAST_GAIN else (0.0, ())


def _gains(middle: FloatArray, ends: FloatArray) -> FloatArray:
    """Return how much closer a place is to the middle of each two of ``ends`` (k, d) than to either, (k, k).

    It is -1 where the place is far from their middle.
    """
    near = ends @ middle
    products = ends @ ends.T
    squares = np.diag(products)
    lengths = np.sqrt(np.maximum(squares[:, None] + squares + 2.0 * products, 1e-18))
    cosine = (near[:, None] + near) / lengths
    return np.where(cosine >= LEAST_COSINE, cosine - np.maximum(near[:, None], near), -1.0).astype(np.float32)
