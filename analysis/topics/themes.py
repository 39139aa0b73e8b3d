"""The level above: topics that lie close together form a theme.

Themes come from Ward's linkage of the topics' centroids, weighted by size. Their number is the one with the best
silhouette of the centroids. In a refit a topic keeps its theme, and a new one joins the closest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.topics.clusterers.ward import agglomerate, cut
from analysis.topics.geometry import FloatArray, IntArray, mean_directions, mean_silhouette, nearest, unit_rows
from analysis.topics.records import Topic

FEWEST_TOPICS = 12
FEWEST_THEMES = 3
TOPICS_PER_THEME = 3


def find_themes(centroids: FloatArray, sizes: IntArray) -> IntArray:
    """Return the theme of every topic as a label 0…t-1 (k,), or -1 everywhere where there are too few topics.

    Parameters
    ----------
    centroids
        Unit rows (k, d).
    sizes
        Rows of every topic (k,).
    """
    k = len(centroids)
    if k < FEWEST_TOPICS:
        return np.full(k, -1, dtype=np.int64)
    counts = list(range(k // TOPICS_PER_THEME, FEWEST_THEMES - 1, -1))
    weights = np.sqrt(np.maximum(sizes, 1))
    cuts = cut(agglomerate(centroids.astype(np.float64), weights), k, counts)
    return max((_without_singles(centroids, labels) for labels in cuts), key=lambda found: _clearness(centroids, found))


def continue_themes(centroids: FloatArray, sizes: IntArray, known: IntArray) -> IntArray:
    """Return theme ids (k,) with every topic that has none, -1 in ``known`` (k,), in the theme closest to it."""
    names, labels = np.unique(known[known >= 0], return_inverse=True)
    if not len(names):
        return known
    numbers = np.full(len(known), -1, dtype=np.int64)
    numbers[known >= 0] = labels
    return np.asarray(names[np.where(numbers >= 0, numbers, nearest(centroids, centres(centroids, sizes, numbers))[0])])


def centres(centroids: FloatArray, sizes: IntArray, labels: IntArray) -> FloatArray:
    """Return the mean direction (t, d) of the topics of each theme 0…t-1, weighted by size."""
    weighted = centroids * np.maximum(sizes, 1)[:, None]
    total = np.zeros((int(labels.max()) + 1, centroids.shape[1]))
    np.add.at(total, labels[labels >= 0], weighted[labels >= 0])
    return unit_rows(total)


def theme_centres(topics: Sequence[Topic], themes: Sequence[Topic], centroids: FloatArray) -> FloatArray:
    """Return the centre (t, d) of every theme from its topics' ``centroids`` (k, d)."""
    if not themes:
        return np.empty((0, centroids.shape[1]), dtype=np.float32)
    places: dict[int | None, int] = {theme.topic_id: place for place, theme in enumerate(themes)}
    labels = np.array([places.get(topic.parent_id, -1) for topic in topics], dtype=np.int64)
    return centres(centroids, np.array([topic.size for topic in topics]), labels)


def _without_singles(centroids: FloatArray, labels: IntArray) -> IntArray:
    """Return ``labels`` (k,) with lone topics in the theme closest to them, renumbered."""
    counts = np.bincount(labels)
    lone = counts[labels] == 1
    if lone.all():
        return np.zeros(len(labels), dtype=np.int64)
    kept = np.unique(labels[~lone], return_inverse=True)[1]
    result = np.full(len(labels), -1, dtype=np.int64)
    result[~lone] = kept
    result[lone] = nearest(centroids[lone], mean_directions(centroids, result, int(kept.max()) + 1))[0]
    return result


def _clearness(centroids: FloatArray, labels: IntArray) -> float:
    return mean_silhouette(centroids, labels) if 2 <= len(np.unique(labels)) < len(labels) else -1.0
