"""Evidence that the structure of topics changed, from rows of the earlier fit and rows that came since.

A clusterer draws its borders a little differently in every run, so that a fresh clustering alone proves nothing.
Each change that it proposes is therefore held against a memory of the earlier fit: a topic is born where rows are
dense now and were rare then, or rare when the topics were first found (what grows slowly is never twice as dense as it
was at the last fit), it is split where one part of it grew beside the other or where two parts moved
apart, and two topics merge where the rows between them closed the gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.topics.geometry import FloatArray, IntArray, mean_directions, nearest
from analysis.topics.memory import Origin

LEVEL = 0.001
LEAST_LIFT = 2.0
LEAST_ROWS = 10
EXTENT_QUANTILE = 0.9
# How many times as far apart parts must lie now, or how much closer, than in the memory.
APART = 2.0
CLEARLY_APART = 0.15
# Part of the variance between two clouds, along the line through their centres, from which they are two.
TWO_CLOUDS = 0.72
# A topic ends when it has fewer distinct rows than this, or a smaller part of its earlier share.
LEAST_ALIVE = 3
LEAST_LEFT = 0.05


@dataclass(frozen=True)
class Evidence:
    """What a refit compares.

    Attributes
    ----------
    memory, recent
        Unit rows (m, d) that stand for the earlier fit, and (n, d) that came since: those whose text it did not have.
    memory_ids, recent_ids
        The earlier topic of both (m,) and (n,), -1 for none.
    origin
        The fit that chose the granularity.
    tests
        How many changes are proposed: the level is divided by it (Bonferroni).
    """

    memory: FloatArray
    recent: FloatArray
    memory_ids: IntArray
    recent_ids: IntArray
    origin: Origin
    tests: int = 1

    @property
    def speaks(self) -> bool:
        """Whether both sides have enough rows to compare."""
        return len(self.memory) >= LEAST_ROWS and len(self.recent) >= LEAST_ROWS

    def grew(self, rows: FloatArray) -> bool:
        """Say whether the place of ``rows`` (k, d) is clearly fuller among recent rows than in either memory."""
        if not self.speaks or not len(rows):
            return False
        centre = mean_directions(rows, np.zeros(len(rows), dtype=np.int64), 1)[0]
        radius = np.quantile(1.0 - rows @ centre, EXTENT_QUANTILE)
        memories = [side for side in (self.memory, self.origin.rows) if len(side) >= LEAST_ROWS]
        now, *before = (int((1.0 - side @ centre <= radius).sum()) for side in (self.recent, *memories))
        return any(
            self._more(count, len(side), now, len(self.recent), len(memories))
            for count, side in zip(before, memories, strict=True)
        )

    def lives(self, topic: int, rows: int, total: int) -> bool:
        """Say whether a topic with ``rows`` of ``total`` current rows is still there."""
        before = float((self.memory_ids == topic).mean()) if len(self.memory_ids) else 0.0
        return rows >= LEAST_ALIVE and rows / total >= LEAST_LEFT * before

    def came_apart(self, topic: int, parts: FloatArray) -> bool:
        """Say whether a topic has become the ``parts`` (p, d).

        Either one part is a clearly larger share of it than before, or its rows now lie near one part each where
        they used to lie between them.
        """
        before, now = self._of([topic])
        if min(len(before), len(now)) < LEAST_ROWS:
            return False
        parts, now = _placed_by_half(now, parts)
        gap = separation(now, parts)
        if gap < CLEARLY_APART:
            return False
        if gap >= APART * separation(before, parts):
            return True
        counts = [np.bincount(nearest(rows, parts)[0], minlength=len(parts)) for rows in (before, now)]
        return any(self._more(int(b), len(before), int(n), len(now), len(parts)) for b, n in zip(*counts, strict=True))

    def came_together(self, topics: Sequence[int], centres: FloatArray) -> bool:
        """Say whether rows of ``topics`` with ``centres`` (p, d) now lie between them, where they once lay apart."""
        before, now = self._of(topics)
        if min(len(before), len(now)) < LEAST_ROWS:
            return False
        gap = APART * separation(now, centres)
        return separation(before, centres) >= gap or self._separation_at_first(topics) >= gap

    def _separation_at_first(self, topics: Sequence[int]) -> float:
        """Return the separation of topics when they were first found, or 0 where one of them was not."""
        places = self.origin.places()
        rows = self.origin.rows[np.isin(self.origin.ids, topics)]
        if len(rows) < LEAST_ROWS or not set(topics) <= set(places):
            return 0.0
        return separation(rows, np.array([places[topic] for topic in topics]))

    def _of(self, topics: Sequence[int]) -> tuple[FloatArray, FloatArray]:
        return self.memory[np.isin(self.memory_ids, topics)], self.recent[np.isin(self.recent_ids, topics)]

    def _more(self, before: int, n_before: int, now: int, n_now: int, parts: int) -> bool:
        """Compare two rates by the conditional binomial test; a lift of two is demanded besides."""
        from scipy.stats import binom

        if now < LEAST_ROWS or now / n_now < LEAST_LIFT * before / n_before:
            return False
        chance = binom.sf(now - 1, before + now, n_now / (n_before + n_now))
        return bool(chance <= LEVEL / self.tests / parts)


def is_one_cloud(rows: FloatArray, parts: FloatArray) -> bool:
    """Say whether nothing but a border sets two ``parts`` (2, d) of ``rows`` (n, d) apart.

    Along the line through their centres a border explains at most 2/π = .64 of the variance of a normal cloud, and
    much more where the rows form two.
    """
    if len(rows) < LEAST_ROWS:
        return False
    parts, rows = _placed_by_half(rows, parts)
    place = rows @ (parts[1] - parts[0])
    other = nearest(rows, parts)[0] == 1
    if other.all() or not other.any():
        return True
    between = float(other.mean() * (1.0 - other.mean()) * (place[other].mean() - place[~other].mean()) ** 2)
    return between < TWO_CLOUDS * float(place.var())


def _placed_by_half(rows: FloatArray, parts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the ``parts`` (p, d) fitted to one half of the rows, and the other half.

    Parts fitted to the very rows would look apart in any cloud.
    """
    mixed = np.random.default_rng(0).permutation(len(rows))
    placing = rows[mixed[::2]]
    return mean_directions(placing, nearest(placing, parts)[0], len(parts)), rows[mixed[1::2]]


def separation(rows: FloatArray, centres: FloatArray) -> float:
    """Return the mean over rows of (b - a) / b, with a and b the distances to the two nearest centres; 0 without."""
    if len(centres) < 2 or not len(rows):
        return 0.0
    distance = np.maximum(1.0 - rows @ centres.T, 1e-9)
    two = np.partition(distance, 1, axis=1)[:, :2]
    return float(np.mean((two[:, 1] - two[:, 0]) / two[:, 1]))
