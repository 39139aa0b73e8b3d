"""Nested cells: pieces of both windows in a tree of ever larger neighbourhoods, drawn without knowing the window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from analysis.topics.geometry import FloatArray, IntArray, mean_directions, nearest, spherical_kmeans

MOST_CELLS = 1500
LEARNING_ROWS = 20_000
COARSE_STEPS, FINE_STEPS = 5, 4


@dataclass(frozen=True)
class Nested:
    """A tree over cells; its nodes are the cells 0…k-1 and then the joins, children before parents.

    Attributes
    ----------
    cell
        Smallest cell of every row (n,).
    children
        The two children of every join (k-1, 2).
    start, end
        Every node holds a run of cells in the order of the tree: [start, end), each (2k-1,).
    """

    cell: IntArray
    children: IntArray
    start: IntArray
    end: IntArray

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return len(self.children) + 1

    def inside(self) -> sparse.csr_matrix:
        """Return which cells (k) lie in which nodes (2k-1), as ones."""
        parent = np.full(2 * self.cells - 1, -1, dtype=np.int64)
        joins = self.cells + np.arange(len(self.children))
        parent[self.children[:, 0]], parent[self.children[:, 1]] = joins, joins
        cell = node = np.arange(self.cells, dtype=np.int64)
        steps = []
        while len(cell):
            steps.append((cell, node))
            up = parent[node]
            cell, node = cell[up >= 0], up[up >= 0]
        cells, nodes = (np.concatenate(part) for part in zip(*steps, strict=True))
        ones = np.ones(len(cells), dtype=np.float32)
        return sparse.csr_matrix((ones, (cells, nodes)), shape=(self.cells, len(parent)))


def nest(X: FloatArray, rng: np.random.Generator) -> Nested:
    """Join rows by average linkage of cosine distance.

    More than 1,500 rows are first gathered in as many cells by Lloyd steps in two stages.

    Parameters
    ----------
    X
        Unit rows (n, d), n at least 2.
    rng
        Draws the start of the Lloyd steps.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage

    centres, cell = (X, np.arange(len(X))) if len(X) <= MOST_CELLS else _cells(X, rng)
    k = len(centres)
    apart = np.maximum(1.0 - centres @ centres.T, 0.0)[np.triu_indices(k, 1)]
    joins = linkage(apart.astype(np.float64), "average")
    children = joins[:, :2].astype(np.int64)
    start = np.empty(2 * k - 1, dtype=np.int64)
    start[leaves_list(joins)] = np.arange(k)
    end = start + 1
    for row, (left, right) in enumerate(children):
        start[k + row], end[k + row] = min(start[left], start[right]), max(end[left], end[right])
    return Nested(cell.astype(np.int64), children, start, end)


def _cells(X: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """Divide rows into coarse cells and each of those into fine ones; return the means and every row's cell."""
    sample = X if len(X) <= LEARNING_ROWS else X[rng.choice(len(X), LEARNING_ROWS, replace=False)]
    coarse = nearest(sample, spherical_kmeans(sample, int(np.sqrt(MOST_CELLS)), rng, COARSE_STEPS))[0]
    fine = []
    for number in np.unique(coarse):
        part = sample[coarse == number]
        k = int(np.clip(round(MOST_CELLS * len(part) / len(sample)), 1, len(part)))
        fine.append(spherical_kmeans(part, k, rng, FINE_STEPS))
    used, cell = np.unique(nearest(X, np.concatenate(fine))[0], return_inverse=True)
    return mean_directions(X, cell.astype(np.int64), len(used)), cell.astype(np.int64)
