"""Which topics that ended live on in new ones, told by where their centroids lie.

A message that asks for two things at once lies between both subjects. So where a topic ended and a new one lies
closer to the middle of it and another than to either, it merged into the new one; where a topic ended and lies
closer to the middle of a new one and another than to either, it was split into these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from analysis.topics.geometry import FloatArray
from analysis.topics.partition import Partition

LEAST_COSINE = 0.8
LEAST_GAIN = 0.02


@dataclass(frozen=True)
class Kinship:
    """What became of topics that ended.

    Attributes
    ----------
    merged
        The new topic into which each merged, by ended topic.
    split
        The new topics into which each was split, by ended topic.
    """

    merged: Mapping[int, int] = field(default_factory=dict)
    split: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


def find_kin(old: Partition, new: Partition) -> Kinship:
    """Return what became of topics of ``old`` that are not in ``new``, as far as new topics tell."""
    before = dict(zip(old.ids.tolist(), old.centroids, strict=True))
    after = dict(zip(new.ids.tolist(), new.centroids, strict=True))
    ended, born = sorted(set(before) - set(after)), sorted(set(after) - set(before))
    split: dict[int, tuple[int, ...]] = {}
    for topic in ended:
        pair = _between(before[topic], after, born)
        if pair is not None:
            split[topic] = pair
    merged: dict[int, int] = {}
    taken = {child for pair in split.values() for child in pair}
    for child in born:
        lost = [topic for topic in ended if topic not in split]
        pair = _between(after[child], before, lost) if child not in taken else None
        for topic in pair or ():
            if topic in lost:
                merged.setdefault(topic, child)
    return Kinship(merged, split)


def _between(middle: FloatArray, ends: Mapping[int, FloatArray], needed: Sequence[int]) -> tuple[int, int] | None:
    """Return the two of ``ends``, at least one of them ``needed``, between which ``middle`` (d,) lies, or None."""
    pairs = [pair for pair in combinations(sorted(ends), 2) if set(pair) & set(needed)]
    found = {pair: _gain(middle, ends[pair[0]], ends[pair[1]]) for pair in pairs}
    best = max(found, key=lambda pair: found[pair], default=None)
    return best if best is not None and found[best] >= LEAST_GAIN else None


def _gain(middle: FloatArray, one: FloatArray, other: FloatArray) -> float:
    """Return how much closer a place is to the middle of two others than to either; -1 where it is far from it."""
    half = one + other
    cosine = float(middle @ half) / max(float(np.linalg.norm(half)), 1e-9)
    return cosine - max(float(middle @ one), float(middle @ other)) if cosine >= LEAST_COSINE else -1.0
