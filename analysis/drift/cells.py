"""Cells: a partition of the pooled rows by a few Lloyd iterations."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from analysis.drift.arrays import Floats, Ints, nearest

FIT_ROWS = 20_000
ITERATIONS = 4


def lloyd(rows: Floats, k: int, rng: np.random.Generator) -> Floats:
    """Return ``k`` centres (k, d) fitted to at most ``FIT_ROWS`` of the rows (n, d).

    Lloyd's algorithm (Lloyd, 1982, doi:10.1109/TIT.1982.1056489) from distinct random rows. Only a
    partition is wanted, not an optimum, so the number of iterations is small and fixed.
    """
    if len(rows) > FIT_ROWS:
        rows = rows[np.sort(rng.choice(len(rows), FIT_ROWS, replace=False))]
    k = min(k, len(rows))
    centres = rows[np.sort(rng.choice(len(rows), k, replace=False))].copy()
    for _ in range(ITERATIONS):
        cell, _distance = nearest(rows, centres)
        centres = _means(rows, cell, centres)
    return centres


def _means(rows: Floats, cell: Ints, centres: Floats) -> Floats:
    """Return the mean row of each cell; an empty cell keeps its centre."""
    k = len(centres)
    count = np.bincount(cell, minlength=k)
    member = sparse.csr_matrix(
        (np.ones(len(rows), dtype=rows.dtype), (cell, np.arange(len(rows)))), shape=(k, len(rows))
    )
    means = (member @ rows) / np.maximum(count, 1)[:, None].astype(rows.dtype)
    return np.where(count[:, None] > 0, means, centres)
