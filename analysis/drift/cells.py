"""Cells: a partition of the pooled rows by a few Lloyd iterations."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from analysis.drift.arrays import Floats, Ints, nearest

FIT_ROWS = 20_000
ITERATIONS = 4
CANDIDATES = 1_000
NEARLY_ZERO = 1e-5


def lloyd(rows: Floats, k: int, rng: np.random.Generator) -> Floats:
    """Return ``k`` centres (k, d) fitted to at most ``FIT_ROWS`` of the rows (n, d).

    Lloyd's algorithm (Lloyd, 1982, doi:10.1109/TIT.1982.1056489). Only a partition is wanted, not an
    optimum, so the number of iterations is small and fixed. There are fewer centres than ``k`` when
    there are fewer distinct rows.
    """
    if len(rows) > FIT_ROWS:
        rows = rows[np.sort(rng.choice(len(rows), FIT_ROWS, replace=False))]
    centres = _spread_out(rows, k, rng)
    for _ in range(ITERATIONS):
        cell, _distance = nearest(rows, centres)
        centres = _means(rows, cell, centres)
    return centres


def _spread_out(rows: Floats, k: int, rng: np.random.Generator) -> Floats:
    """Return first centres, each drawn in proportion to its squared distance from those before it.

    Arthur & Vassilvitskii, 2007, "k-means++", on a sample of the rows: a burst of near-duplicates then
    gets one cell and not as many as its share of the rows.
    """
    n = min(len(rows), max(CANDIDATES, 4 * k))
    candidates = rows[np.sort(rng.choice(len(rows), n, replace=False))]
    norms = np.einsum("ij,ij->i", candidates, candidates)
    chosen = [int(rng.integers(n))]
    squared = np.full(n, np.inf)
    while len(chosen) < min(k, n):
        last = chosen[-1]
        distance = norms + norms[last] - 2.0 * (candidates @ candidates[last])
        squared = np.minimum(squared, np.where(distance > NEARLY_ZERO * norms[last], distance, 0.0))
        squared[last] = 0.0
        reach = np.cumsum(squared)
        if reach[-1] <= 0.0:
            break
        chosen.append(min(n - 1, int(np.searchsorted(reach, rng.random() * reach[-1], side="right"))))
    return np.array(candidates[chosen])


def _means(rows: Floats, cell: Ints, centres: Floats) -> Floats:
    """Return the mean row of each cell; an empty cell keeps its centre."""
    k = len(centres)
    count = np.bincount(cell, minlength=k)
    member = sparse.csr_matrix(
        (np.ones(len(rows), dtype=rows.dtype), (cell, np.arange(len(rows)))), shape=(k, len(rows))
    )
    means = (member @ rows) / np.maximum(count, 1)[:, None].astype(rows.dtype)
    return np.where(count[:, None] > 0, means, centres)
