"""Which layer of a hierarchy becomes the topics, without labels to judge by.

Each layer's noise is filled from the nearest cluster mean and the mean silhouette (Rousseeuw, 1987; cosine
distance) of a sample is compared. The silhouette alone prefers very many small clusters on real questions,
so a layer may hold at most ``1.25 * sqrt(n)`` topics, and among layers within .01 of the best the coarsest
wins: fewer topics are easier to read, and a difference that small is noise of the sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.topics.geometry import FloatArray, IntArray, fill_noise

SAMPLE_ROWS = 3000
TOLERANCE = 0.01
MOST_TOPICS_PER_ROOT = 1.25


def choose_layer(X: FloatArray, layers: Sequence[IntArray], seed: int = 0) -> tuple[int, float]:
    """Return the index of the chosen layer and its silhouette.

    Parameters
    ----------
    X
        Unit rows (n, d).
    layers
        Label vectors (n,), -1 for noise.
    seed
        Seed of the sample on which silhouettes are computed.

    Returns
    -------
    tuple
        The layer's index, and its silhouette in [-1, 1] (NaN where the layer has fewer than two clusters).
    """
    counts = [int(layer.max(initial=-1)) + 1 for layer in layers]
    allowed = [i for i, k in enumerate(counts) if 2 <= k <= MOST_TOPICS_PER_ROOT * np.sqrt(len(X))]
    if not allowed:
        return _fallback(counts), float("nan")
    scores = {i: float(np.nan_to_num(silhouette(X, fill_noise(X, layers[i]), seed), nan=-1.0)) for i in allowed}
    best = max(scores.values())
    close = [i for i in allowed if scores[i] >= best - TOLERANCE]
    chosen = min(close, key=lambda i: counts[i])
    return chosen, scores[chosen]


def _fallback(counts: Sequence[int]) -> int:
    several = [i for i, k in enumerate(counts) if k >= 2]
    return min(several, key=lambda i: counts[i]) if several else int(np.argmax(counts))


def silhouette(X: FloatArray, labels: IntArray, seed: int = 0) -> float:
    """Return the mean silhouette of at most 3,000 rows, or NaN where fewer than two clusters are sampled."""
    from sklearn.metrics import silhouette_score

    rows = np.arange(len(X))
    if len(X) > SAMPLE_ROWS:
        rows = np.random.default_rng(seed).choice(len(X), SAMPLE_ROWS, replace=False)
    present = len(np.unique(labels[rows]))
    if not 2 <= present < len(rows):
        return float("nan")
    return float(silhouette_score(X[rows], labels[rows], metric="cosine"))


def closest_layer(layers: Sequence[IntArray], previous: IntArray) -> int:
    """Return the layer that agrees best with ``previous`` (n,), by adjusted Rand index where both have a topic.

    A refit keeps the granularity that people have got used to, instead of choosing anew.
    """
    from sklearn.metrics import adjusted_rand_score

    def agreement(layer: IntArray) -> float:
        both = (layer >= 0) & (previous >= 0)
        return float(adjusted_rand_score(previous[both], layer[both])) * float(both.mean())

    return int(np.argmax([agreement(layer) for layer in layers]))
