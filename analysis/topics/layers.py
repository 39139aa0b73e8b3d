"""From distinct rows to the layers of an engine, whatever their number."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from analysis.topics.clusterers import Clusterer, load_clusterer
from analysis.topics.clusterers.base import tidy
from analysis.topics.clusterers.evoc_engine import EvocClusterer
from analysis.topics.clusterers.ward import WardClusterer
from analysis.topics.geometry import FloatArray, IntArray, distinct_rows, principal_rows

# A density estimate over fewer rows than this is a guess; average linkage needs none.
FEWEST_ROWS_FOR_DENSITY = 50
USUAL_ENGINE = WardClusterer.name
# Engines that look at the leading axes of many rows only.
REDUCING = (WardClusterer.name, EvocClusterer.name)
SMALLEST_TOPIC = 5
ROWS_PER_SMALLEST_TOPIC = 400
# Structure is learnt on this many distinct texts at most; all others are assigned.
MOST_ROWS = 20_000


@dataclass(frozen=True)
class Layering:
    """An engine with its parameters.

    Attributes
    ----------
    clusterer
        Name of an engine or an engine, as `TopicModel` takes it.
    min_topic_size
        Distinct texts below which a group is no topic; None: the larger of 5 and n / 400.
    seed
        Seed of the engine.
    """

    clusterer: str | Clusterer
    min_topic_size: int | None
    seed: int

    def prepared(self, X: FloatArray) -> FloatArray:
        """Return ``X`` (n, d) as this engine sees it, so that whole and halves are reduced once."""
        return principal_rows(X) if self.clusterer in REDUCING else X

    def __call__(self, X: FloatArray) -> tuple[IntArray, ...]:
        """Return label vectors (n,) of every granularity, found on the distinct vectors among ``X`` (n, d)."""
        first, inverse = distinct_rows(X)
        size = self.min_topic_size or max(SMALLEST_TOPIC, len(first) // ROWS_PER_SMALLEST_TOPIC)
        engine = self._engine(len(first), size)
        if len(first) < max(size, 2):
            return (np.full(len(X), -1, dtype=np.int64),)
        order = np.sort(first)
        labels = np.asarray(engine.fit_predict(X[order]))
        layers = getattr(engine, "layers_", (labels,))
        back = np.searchsorted(order, first)[inverse]
        return tuple(tidy(np.asarray(layer), size)[back] for layer in layers)

    def _engine(self, n: int, size: int) -> Clusterer:
        if not isinstance(self.clusterer, str):
            return deepcopy(self.clusterer)
        engine = load_clusterer(self.clusterer, size, self.seed)
        return engine if n >= FEWEST_ROWS_FOR_DENSITY else load_clusterer("linkage", size, self.seed)


def learning_rows(n: int, seed: int) -> IntArray:
    """Return which of ``n`` distinct rows structure is learnt on: all, or 20,000 at random in their order."""
    if n <= MOST_ROWS:
        return np.arange(n, dtype=np.int64)
    return np.sort(np.random.default_rng(seed).choice(n, MOST_ROWS, replace=False)).astype(np.int64)
