"""What a fit remembers of its rows, so that the next one can tell a change from a clusterer's mood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.topics.geometry import FloatArray, IntArray, mean_directions, unit_rows
from analysis.topics.partition import Partition

LARGEST_MEMORY = 4000


@dataclass(frozen=True)
class Memory:
    """A sample of the distinct rows of a fit.

    Attributes
    ----------
    rows
        Unit rows (m, d).
    weights
        How often each occurred (m,).
    """

    rows: FloatArray
    weights: IntArray

    @classmethod
    def of(cls, X: FloatArray, weights: IntArray, seed: int) -> Memory:
        """Return a memory of at most 4,000 of the distinct rows ``X`` (n, d), which occurred ``weights`` (n,) times."""
        chosen = np.arange(len(X))
        if len(X) > LARGEST_MEMORY:
            chosen = np.sort(np.random.default_rng(seed).choice(len(X), LARGEST_MEMORY, replace=False))
        # Half precision halves the stored model, and moves a cosine by less than a thousandth.
        return cls(unit_rows(X[chosen].astype(np.float16)), weights[chosen].astype(np.int64))

    @classmethod
    def empty(cls, dimensions: int) -> Memory:
        """Return the memory of a model that was stored before there was one: it proves nothing."""
        return cls(np.empty((0, dimensions), dtype=np.float32), np.empty(0, dtype=np.int64))

    def shares(self, partition: Partition) -> dict[int, tuple[float, float]]:
        """Return, by topic, its share of the remembered fit, and of how many (effective) rows that is known."""
        if not len(self.rows):
            return {}
        ids, _, _ = partition.assign(self.rows)
        weights = self.weights.astype(np.float64)
        effective = float(weights.sum() ** 2 / (weights**2).sum())
        return {int(i): (float(weights[ids == i].sum() / weights.sum()), effective) for i in partition.ids.tolist()}

    def closest_shares(
        self, partitions: Sequence[Partition], now: Mapping[int, float]
    ) -> dict[int, tuple[float, float]]:
        """Return `shares`, for each topic by that of the partitions which comes closest to its share ``now``.

        So a topic grew only if it did so by all of their borders: neither borders that moved nor messages that moved
        within a topic are growth.
        """
        found: dict[int, tuple[float, float]] = {}
        for counted in map(self.shares, partitions):
            for topic, share in counted.items():
                wanted = now.get(topic, 0.0)
                if topic not in found or abs(share[0] - wanted) < abs(found[topic][0] - wanted):
                    found[topic] = share
        return found


@dataclass(frozen=True)
class Origin:
    """The fit that chose the granularity, as far as later ones compare with it.

    Attributes
    ----------
    rows
        Unit rows (o, d) of its memory.
    ids
        The topic of each (o,), -1 for none.
    """

    rows: FloatArray
    ids: IntArray

    @classmethod
    def of(cls, memory: Memory, partition: Partition) -> Origin:
        """Return the origin that a fit with this memory and these topics is for later ones."""
        return cls(memory.rows, partition.assign(memory.rows)[0])

    def places(self) -> dict[int, FloatArray]:
        """Return the mean direction (d,) of the rows of each topic."""
        names, labels = np.unique(self.ids[self.ids >= 0], return_inverse=True)
        centres = mean_directions(self.rows[self.ids >= 0], labels, len(names))
        return dict(zip(names.tolist(), centres, strict=True))
