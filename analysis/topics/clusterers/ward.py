"""Ward's linkage of neighbourhoods: one hierarchy from which every number of topics can be cut.

A single embedding of a short text is noisy; the mean over its nearest neighbours is much less so, and texts of one
subject share their neighbours. So each row is replaced by the mean direction of its neighbourhood, the rows are
gathered in many small cells, and the cells are merged by the least growth of the sum of squares (Ward, 1963).
Nothing is random but the start of the cells, small subjects beside large ones survive, and a few hundred texts
suffice, where a density estimate finds either nothing or fragments.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from analysis.topics.clusterers.base import tidy
from analysis.topics.geometry import (
    DoubleArray,
    FloatArray,
    IntArray,
    blocks,
    label_sums,
    nearest,
    principal_rows,
    scattered_centres,
    unit_rows,
)

NEIGHBOURS = 15
FEWEST_NEIGHBOURS = 3
ROWS_PER_NEIGHBOUR = 20
CELLS = 1200
CELL_STEPS = 4
BLOCK_ROWS = 1024
GROUPED = 16
# Each layer has about one eighth fewer clusters than the one before it; below 25 every number is offered.
LAYER_STEP = 1.14
ALL_BELOW = 25
MOST_CLUSTERS_PER_ROOT = 6.0
# A row is noise where it is less like its neighbours than nearly all rows and than their spread explains.
NOISE_SHARE = 0.05
NOISE_SPREADS = 2.0
SPREAD_OF_MAD = 1.4826

Merge = tuple[int, int, float]


class WardClusterer:
    """Clusters neighbourhood means by Ward's linkage; its layers are cuts of one tree.

    Parameters
    ----------
    min_cluster_size
        Rows below which a group is noise.
    seed
        Seed of the start of the cells, which only more than 1,200 rows need.
    """

    name: ClassVar[str] = "ward"
    layers_: tuple[IntArray, ...]

    def __init__(self, min_cluster_size: int = 5, seed: int = 0) -> None:
        self.min_cluster_size = min_cluster_size
        self.seed = seed

    def fit_predict(self, X: FloatArray) -> IntArray:
        """Cluster ``X`` (n, d); return the layer below which merging becomes dearest, as labels (n,)."""
        reduced = principal_rows(X)
        means, typical = neighbourhood_means(reduced)
        lone = typical < _limit_of_lone(typical)
        cell = self._cells(means)
        sizes = np.bincount(cell)
        sums = label_sums(means, cell, len(sizes))
        merges = agglomerate(sums / sizes[:, None], sizes)
        counts = _counts(len(X), len(sizes), self.min_cluster_size)
        cuts = cut(merges, len(sizes), counts)
        layers = [tidy(np.where(lone, -1, labels[cell]), self.min_cluster_size) for labels in cuts]
        kept = _falling(layers)
        self.layers_ = tuple(layers[place] for place in kept)
        return layers[max(kept, key=lambda place: _dearness(merges, len(sizes), counts[place]))]

    def _cells(self, means: FloatArray) -> IntArray:
        if len(means) <= CELLS:
            return np.arange(len(means), dtype=np.int64)
        centres = scattered_centres(means, CELLS, np.random.default_rng(self.seed), CELL_STEPS)
        index = nearest(means, centres)[0]
        return np.unique(index, return_inverse=True)[1].astype(np.int64)


def neighbourhood_means(X: FloatArray) -> tuple[FloatArray, DoubleArray]:
    """Return the mean direction (n, d) of every row's neighbourhood, itself included, and their cosine (n,)."""
    k = int(np.clip(len(X) // ROWS_PER_NEIGHBOUR + 2, FEWEST_NEIGHBOURS, NEIGHBOURS))
    k = min(k, len(X))
    means = np.empty_like(X)
    for part in blocks(len(X), BLOCK_ROWS):
        means[part] = X[_largest(X[part] @ X.T, k)].mean(axis=1)
    means = unit_rows(means)
    return means, np.einsum("ij,ij->i", means, X).astype(np.float64)


def _largest(values: FloatArray, k: int) -> IntArray:
    """Return the columns of the ``k`` largest values of every row (m, k), in any order.

    They lie in the k groups of columns whose largest values are largest: a sixteenth of the rows' length to partition.
    """
    step = values.shape[1] // GROUPED
    if step <= k:
        return np.argpartition(values, -k, axis=1)[:, -k:]
    groups = values[:, : step * GROUPED].reshape(len(values), GROUPED, step).max(axis=1)
    best = np.argpartition(groups, -k, axis=1)[:, -k:]
    inside = (best[:, :, None] + step * np.arange(GROUPED)).reshape(len(values), -1)
    rest = np.broadcast_to(np.arange(step * GROUPED, values.shape[1]), (len(values), values.shape[1] % GROUPED))
    columns = np.concatenate([inside, rest], axis=1)
    place = np.argpartition(np.take_along_axis(values, columns, axis=1), -k, axis=1)[:, -k:]
    return np.take_along_axis(columns, place, axis=1)


def _limit_of_lone(typical: DoubleArray) -> float:
    middle = float(np.median(typical))
    spread = SPREAD_OF_MAD * float(np.median(np.abs(typical - middle)))
    return min(float(np.quantile(typical, NOISE_SHARE)), middle - NOISE_SPREADS * spread)


def agglomerate(centres: DoubleArray, sizes: IntArray) -> list[Merge]:
    """Return the merges of Ward's linkage over weighted points, cheapest first.

    Parameters
    ----------
    centres
        Points (m, d).
    sizes
        How many rows each stands for (m,).

    Returns
    -------
    list
        m - 1 triples: the point that absorbs, the one that is absorbed, the growth of the sum of squares.
    """
    weight = sizes.astype(np.float64)
    square = np.einsum("ij,ij->i", centres, centres)
    cost = square[:, None] + square[None, :] - 2.0 * centres @ centres.T
    cost *= weight[:, None] * weight[None, :] / (weight[:, None] + weight[None, :])
    np.fill_diagonal(cost, np.inf)
    partner = cost.argmin(axis=1)
    least = cost[np.arange(len(cost)), partner]
    alive = np.ones(len(cost), dtype=bool)
    merges: list[Merge] = []
    for _ in range(len(cost) - 1):
        keep = int(least.argmin())
        gone = int(partner[keep])
        merges.append((keep, gone, float(least[keep])))
        _absorb(cost, weight, alive, keep, gone)
        least[gone] = np.inf
        stale = np.append(np.flatnonzero(alive & ((partner == keep) | (partner == gone))), keep)
        partner[stale] = cost[stale].argmin(axis=1)
        least[stale] = cost[stale, partner[stale]]
        closer = alive & (cost[keep] < least)
        partner[closer], least[closer] = keep, cost[keep][closer]
    return merges


def _absorb(cost: DoubleArray, weight: DoubleArray, alive: np.ndarray, keep: int, gone: int) -> None:
    """Update the costs in place after a merge, by the formula of Lance and Williams (1967)."""
    total = weight[keep] + weight[gone]
    row = (weight + weight[keep]) * cost[keep] + (weight + weight[gone]) * cost[gone] - weight * cost[keep, gone]
    alive[gone] = False
    row = np.where(alive, row / (weight + total), np.inf)
    row[keep] = np.inf
    weight[keep] = total
    cost[keep], cost[:, keep] = row, row
    cost[gone], cost[:, gone] = np.inf, np.inf


def cut(merges: list[Merge], points: int, counts: list[int]) -> list[IntArray]:
    """Return labels (points,) of the tree cut at each of ``counts``, which fall."""
    owner, layers, wanted = np.arange(points), [], iter(counts)
    number = next(wanted, 0)
    for clusters, merge in zip(range(points, 0, -1), [*merges, (0, 0, 0.0)], strict=True):
        if clusters == number:
            layers.append(np.unique(owner, return_inverse=True)[1].astype(np.int64))
            number = next(wanted, 0)
        owner[owner == merge[1]] = merge[0]
    return layers


def _counts(n: int, cells: int, min_cluster_size: int) -> list[int]:
    """Return the numbers of clusters of the layers, the largest first."""
    most = min(cells, n // max(min_cluster_size, 1), int(MOST_CLUSTERS_PER_ROOT * np.sqrt(n)))
    counts, count = [], max(most, 1)
    while count >= 2:
        counts.append(count)
        count = count - 1 if count <= ALL_BELOW else max(ALL_BELOW, round(count / LAYER_STEP))
    return counts or [1]


def _falling(layers: list[IntArray]) -> list[int]:
    """Return the layers, finest first, that have more clusters left than every coarser one."""
    kept: list[int] = []
    most = -1
    for place in range(len(layers) - 1, -1, -1):
        number = int(layers[place].max(initial=-1))
        if number > most:
            kept.append(place)
            most = number
    return kept[::-1] or [len(layers) - 1]


def _dearness(merges: list[Merge], points: int, count: int) -> float:
    """Return how much more the merge after a cut costs than the one before it."""
    growth = [0.0, *(merge[2] for merge in merges), 0.0]
    return growth[points - count + 1] / max(growth[points - count], 1e-9)
