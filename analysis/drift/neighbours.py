"""Neighbourhoods of two sizes around anchor rows, as counts of groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from analysis.drift.arrays import Floats, Ints

SMALLEST = 12
SMALLEST_SHARE = 1 / 400
ANCHORS = 2_048
FEW_ROWS, MANY_ROWS = 4_000, 50_000
LEARN_ROWS = 20_000
BLOCK_CELLS = 4_000_000
BLOCK_ANCHORS = 256  # a block of distances that stays in the processor's cache


@dataclass(frozen=True, eq=False)
class Balls:
    """Neighbourhoods of two sizes around a anchors.

    ``rings``: one sparse matrix (a, g) a size, the rows of each group that are in the neighbourhood of
    this size but not in that of the next smaller one.
    """

    rings: tuple[sparse.csr_matrix, ...]


def ball_sizes(n: int) -> tuple[int, int]:
    """Return the sizes of small and wide neighbourhoods of ``n`` rows: 12 and 24, for many rows n/400 and n/200.

    With so many anchors at most, a smaller topic has none; wider ones add a doubled domain, which others see.
    """
    smallest = max(SMALLEST, round(SMALLEST_SHARE * n))
    return smallest, 2 * smallest


def fit_balls(rows: Floats, groups: Ints, n_groups: int, rng: np.random.Generator) -> Balls:
    """Return the neighbourhoods of random rows (n, d) in groups (n,) 0..n_groups-1.

    A neighbourhood reaches to the k-th nearest row; with very many rows, to the same quantile of the
    distances to a sample of them. Rows at equal distance are all in or all out.
    """
    n = len(rows)
    # Few rows are covered many times over; with very many, every anchor is dear.
    most = ANCHORS if FEW_ROWS < n <= MANY_ROWS else ANCHORS // 2
    anchors = np.sort(rng.choice(n, most, replace=False)) if n > most else np.arange(n)
    learn = np.sort(rng.choice(n, LEARN_ROWS, replace=False)) if n > LEARN_ROWS else np.arange(n)
    ranks = np.array([min(len(learn), max(1, round(k * len(learn) / n))) for k in ball_sizes(n)]) - 1
    squares = np.einsum("ij,ij->i", rows, rows)
    pieces: list[list[sparse.csr_matrix]] = [[] for _ in ranks]
    step = max(1, min(BLOCK_CELLS // n, BLOCK_ANCHORS, len(anchors)))
    buffer = np.empty((step, n), dtype=rows.dtype)
    for start in range(0, len(anchors), step):
        # The squared norm of the anchor is left out: it changes no order.
        mine = rows[anchors[start : start + step]]
        distance = np.matmul(mine, rows.T, out=buffer[: len(mine)])
        distance *= -2.0
        distance += squares
        seen = distance if len(learn) == n else distance[:, learn]
        nearest_first = np.sort(np.partition(seen, ranks[-1], axis=1)[:, : ranks[-1] + 1], axis=1)
        limits = nearest_first[:, ranks]
        for ring, piece in zip(pieces, _rings(distance, limits, groups, n_groups), strict=True):
            ring.append(piece)
    return Balls(tuple(sparse.csr_matrix(sparse.vstack(ring)) for ring in pieces))


def _rings(distance: Floats, limits: Floats, groups: Ints, n_groups: int) -> list[sparse.csr_matrix]:
    """Count the rows of each group between consecutive limits (a, s) of the distances (a, n)."""
    # Much faster than the two-dimensional search.
    flat = np.flatnonzero((distance <= limits[:, -1:]).ravel())
    anchor, row = np.divmod(flat, distance.shape[1])
    found = distance.ravel()[flat]
    ring = (found[:, None] > limits[anchor, :-1]).sum(axis=1)
    shape = (len(distance), n_groups)
    rings = []
    for i in range(limits.shape[1]):
        mine = ring == i
        entries = (np.ones(int(mine.sum()), dtype=np.float32), (anchor[mine], groups[row[mine]]))
        rings.append(sparse.csr_matrix(sparse.coo_matrix(entries, shape=shape)))
    return rings
