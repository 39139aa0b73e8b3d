"""Which layer of a hierarchy becomes the topics, without labels to judge by.

A number of topics is good when two clusterings of different texts agree on it: rows are given to the nearest centre of
either, and the adjusted mutual information of the two (Vinh, Epps and Bailey, 2010) is the agreement (Lange et al.,
2004). Up to 2,000 texts these are clusterings of two halves; of more texts one is that of half of them, the other that
of all, and the rows compared lie outside the half (Tibshirani and Walther, 2005). Agreement alone prefers a handful of
coarse subjects, which every half finds. So a layer is also held against what labelled sets of questions have, about .3
times the number of distinct texts to the power of 2/3: being coarser by a factor e costs .1 of agreement, being finer
.05.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from analysis.topics.geometry import FloatArray, IntArray, fill_noise, mean_directions, mean_silhouette, nearest

SAMPLE_ROWS = 3000
# Four parameters, chosen on subsets of Banking77 and HWU64 by intents, rows and skew, and on made-up sets.
USUAL_TOPICS, USUAL_GROWTH = 0.3, 2 / 3
COST_OF_COARSE = 0.1
COST_OF_FINE = 0.05
MOST_TOPICS_PER_ROOT = 3.0
LARGEST_HALF = 4000
# Up to so many rows a layer of the whole hangs too much on its rows to be compared with.
BOTH_HALVES = 2000
# Draws while there are at most that many rows; of more rows one chooses the same.
REPEATS = ((BOTH_HALVES, 4), (8000, 2))
SAME_NUMBER = 1.5
COST_PER_ROOT = 0.045

Layers = tuple[IntArray, ...]


def choose_labels(
    X: FloatArray, layers: Sequence[IntArray], cluster: Callable[[FloatArray], Layers], seed: int = 0
) -> tuple[IntArray, float]:
    """Return the labels that become topics and their silhouette.

    Parameters
    ----------
    X
        Unit rows (n, d).
    layers
        Label vectors (n,) of the engine, -1 for noise.
    cluster
        The engine: from rows (m, d) to layers (m,).
    seed
        Seed of the halves and of the sample on which the silhouette is computed.

    Returns
    -------
    tuple
        Labels (n,), and their silhouette in [-1, 1] (NaN where no layer has a usable number of clusters).
    """
    root = np.sqrt(len(X))
    usable = [layer for layer in layers if 2 <= _clusters(layer) <= MOST_TOPICS_PER_ROOT * root]
    if not usable:
        return layers[_coarsest(layers)], float("nan")
    chosen = usable[0]
    if len(usable) > 1:
        counts = np.array([_clusters(layer) for layer in usable])
        beyond = np.log(counts / (USUAL_TOPICS * len(X) ** USUAL_GROWTH))
        cost = np.where(beyond < 0, COST_OF_COARSE, COST_OF_FINE) * beyond**2
        chosen = usable[int(np.argmax(agreement(X, usable, cluster, seed) - cost))]
    return chosen, silhouette(X, fill_noise(X, chosen), seed)


def agreement(
    X: FloatArray, layers: Sequence[IntArray], cluster: Callable[[FloatArray], Layers], seed: int = 0
) -> np.ndarray:
    """Return for every layer (l,) of ``X`` (n, d) how well clusterings of parts of the rows agree on it, at most 1.

    Where the engine offers no layer of about that number of clusters in a half, the agreement is 0.
    """
    rng = np.random.default_rng(seed)
    rounds = next((draws for most, draws in REPEATS if len(X) <= most), 1)
    counts = [_clusters(layer) for layer in layers]
    whole = [mean_directions(X, layer, count) for layer, count in zip(layers, counts, strict=True)]
    total = np.zeros(len(layers))
    for _ in range(rounds):
        rows = rng.permutation(len(X))
        size = min(len(X) // 2, LARGEST_HALF)
        half, others = X[rows[:size]], X[rows[size:]]
        sides = _centres(half, counts, cluster), whole if len(X) > BOTH_HALVES else _centres(others, counts, cluster)
        total += [_alike(others[:SAMPLE_ROWS], one, other) for one, other in zip(*sides, strict=True)]
    return np.asarray(total / rounds)


def _centres(
    X: FloatArray, counts: Sequence[int], cluster: Callable[[FloatArray], Layers]
) -> Sequence[FloatArray | None]:
    """Return for every number of clusters the centres of the layer of ``X`` that has about so many, or None."""
    layers = cluster(X)
    found = [_of_number(layers, count) for count in counts]
    return [None if layer is None else mean_directions(X, layer, _clusters(layer)) for layer in found]


def _alike(X: FloatArray, one: FloatArray | None, other: FloatArray | None) -> float:
    from sklearn.metrics import adjusted_mutual_info_score

    if one is None or other is None:
        return 0.0
    return float(adjusted_mutual_info_score(nearest(X, one)[0], nearest(X, other)[0]))


def _of_number(layers: Layers, count: int) -> IntArray | None:
    """Return the layer whose number of clusters is closest to ``count``, or None where none is close."""
    several = [layer for layer in layers if _clusters(layer) >= 2]
    if not several:
        return None
    best = min(several, key=lambda layer: abs(np.log(_clusters(layer) / count)))
    return best if abs(np.log(_clusters(best) / count)) <= np.log(SAME_NUMBER) else None


def _clusters(layer: IntArray) -> int:
    return int(layer.max(initial=-1)) + 1


def _coarsest(layers: Sequence[IntArray]) -> int:
    """Return the index of the layer with the fewest clusters above one, else of the one with most."""
    counts = [_clusters(layer) for layer in layers]
    several = [i for i, k in enumerate(counts) if k >= 2]
    return min(several, key=lambda i: counts[i]) if several else int(np.argmax(counts))


def worth(X: FloatArray, labels: IntArray, seed: int = 0) -> float:
    """Return the silhouette of the filled labels less a cost of their number: what a refit compares."""
    return silhouette(X, fill_noise(X, labels), seed) - COST_PER_ROOT / float(np.sqrt(len(X))) * _clusters(labels)


def silhouette(X: FloatArray, labels: IntArray, seed: int = 0) -> float:
    """Return the mean silhouette of at most 3,000 rows, or NaN where fewer than two clusters are sampled."""
    rows = np.arange(len(X))
    if len(X) > SAMPLE_ROWS:
        rows = np.random.default_rng(seed).choice(len(X), SAMPLE_ROWS, replace=False)
    present = len(np.unique(labels[rows]))
    if not 2 <= present < len(rows):
        return float("nan")
    return mean_silhouette(X[rows], labels[rows])


def closest_layer(layers: Sequence[IntArray], previous: IntArray) -> int:
    """Return the layer that agrees best with ``previous`` (n,), by adjusted Rand index where both have a topic.

    A refit keeps the granularity that people have got used to, instead of choosing anew.
    """
    from sklearn.metrics import adjusted_rand_score

    def alike(layer: IntArray) -> float:
        both = (layer >= 0) & (previous >= 0)
        return float(adjusted_rand_score(previous[both], layer[both])) * float(both.sum()) / max(len(both), 1)

    return int(np.argmax([alike(layer) for layer in layers]))
