"""Which topics that ended live on in new ones, told by where their centroids lie.

A message that asks for two things at once lies between both subjects. So where a topic ended and a new one lies
closer to the middle of it and another than to either, it merged into the new one; where a topic ended and lies
closer to the middle of a new one and another than to either, it was split into these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
    names = np.array(sorted(ends), dtype=np.int64)
    if len(names) < 2:
        return None
    gain = _gains(middle, np.stack([ends[name] for name in names.tolist()]))
    is_needed = np.isin(names, needed)
    gain[~np.triu(is_needed[:, None] | is_needed, 1)] = -1.0
    one, other = divmod(int(gain.argmax()), len(names))
    return (int(names[one]), int(names[other])) if gain[one, other] >= LEAST_GAIN else None


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
