"""Which current messages show a change: those that stand where only the current window is dense."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from analysis.drift.arrays import Bools, Floats, Ints
from analysis.drift.pooled import Windows

NEIGHBOURS = np.array([6, 12, 25, 50])
LEAST_WIDEST = 25
WITNESSES = 8
FARNESS = 2.0
SEARCH_ROWS = 4_000
BLOCK_ROWS = 256  # a block of distances that stays in the processor's cache
DEALS = 19
TIES = 1e-6


@dataclass(frozen=True, eq=False)
class Telling:
    """How telling each current row is (n,), minus infinity where it was not looked at.

    ``least``: what the most telling row of one in twenty exchangeable pairs of windows exceeds.
    """

    values: Floats
    least: float


def tellingness(given: Windows, seed: int, *, changed: float = np.inf, novel: bool = False) -> Telling:
    """Return how telling each current row is: the standardised share of current rows around it.

    Of the nearest pooled rows from *other* groups (a session of near-duplicates would otherwise vouch for
    itself), at the size of neighbourhood that shows most, averaged over the row and its nearest eight current
    rows: one row that stands well by chance has no witnesses. The groups are then dealt again ``DEALS`` times; the
    most telling row of all deals is what chance brings. Large windows are sampled to ``SEARCH_ROWS`` rows each.

    ``changed``: about how many rows changed; much wider neighbourhoods than that would only hold others.
    ``novel``: whether it is their distance from the reference that makes them stand out; then that counts too.
    """
    rng = np.random.default_rng([seed, 21])
    mine, other = (_sample(len(rows), rng) for rows in (given.current, given.reference))
    rows = np.concatenate([given.reference[other], given.current[mine]])
    names = np.concatenate([given.reference_groups[other], given.current_groups[mine] + len(given.reference)])
    groups = np.unique(names, return_inverse=True)[1]
    is_current: Bools = np.zeros(int(groups.max()) + 1, dtype=bool)
    is_current[groups[len(other) :]] = True
    sizes = np.minimum(NEIGHBOURS[max(LEAST_WIDEST, changed) >= NEIGHBOURS], len(rows) - 1)
    around = _Around.of(rows, groups, int(sizes[-1]))
    values = np.full(len(given.current), -np.inf)
    # Without novelty the distance only breaks ties.
    values[mine] = around.telling(is_current[groups], sizes, FARNESS if novel else TIES)
    dealt = (rng.permutation(is_current)[groups] for _ in range(DEALS))
    return Telling(values, max(float(around.telling(now, sizes, FARNESS if novel else 0.0).max()) for now in dealt))


@dataclass(frozen=True, eq=False)
class _Around:
    """The nearest rows of other groups of each row (n, k), nearest first, and the squared distances to them."""

    found: Ints
    squared: Floats

    @classmethod
    def of(cls, rows: Floats, groups: Ints, k: int) -> _Around:
        squares = np.einsum("ij,ij->i", rows, rows)
        members = np.argsort(groups, kind="stable")
        sizes = np.bincount(groups)
        index, squared = np.empty((len(rows), k), dtype=np.int64), np.empty((len(rows), k), dtype=np.float32)
        buffer = np.empty((2, min(BLOCK_ROWS, len(rows)), len(rows)), dtype=rows.dtype)
        for start in range(0, len(rows), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            distance = np.matmul(rows[block], rows.T, out=buffer[0, : len(rows[block])])
            distance *= -2.0
            distance += squares
            distance[_same_group(groups[block], members, sizes)] = np.inf
            nearest = _smallest(distance, k, buffer[1, : len(distance)])
            nearby = np.take_along_axis(distance, nearest, axis=1)
            order = np.argsort(nearby, axis=1)
            index[block] = np.take_along_axis(nearest, order, axis=1)
            squared[block] = np.take_along_axis(nearby, order, axis=1) + squares[block, None]
        return cls(index, squared)

    def telling(self, is_current: Bools, sizes: Ints, farness: float) -> Floats:
        """Return how telling the rows called current (n,) are, in their order.

        ``farness``: what the rank of a row's distance from the rows not called current adds at most.
        """
        mine = np.flatnonzero(is_current)
        found = self.found[mine]
        current = is_current[found]
        counted = np.cumsum(current, axis=1, dtype=np.uint8)
        usual = float(is_current.mean())
        scale = np.sqrt(sizes / max(1e-9, usual * (1.0 - usual)))
        share = np.zeros(len(is_current))
        share[mine] = ((counted[:, sizes - 1] / sizes - usual) * scale).max(axis=1)
        witness = current & (counted <= WITNESSES)
        vouched = np.einsum("ij,ij->i", share[found], witness)
        value = (share[mine] + vouched) / (1 + np.count_nonzero(witness, axis=1))
        if farness == 0.0:
            return np.asarray(value)
        # A row with no reference near it is farther than all others.
        distance = np.where(current, np.inf, self.squared[mine]).min(axis=1)
        return np.asarray(value + farness * rankdata(distance, method="max") / len(distance))


def _smallest(distance: Floats, k: int, buffer: Floats) -> Ints:
    """Return the positions of the ``k`` smallest of each row (b, n), (b, k) in any order.

    Partitioning values is several times faster than partitioning positions, which is left to ties.
    """
    buffer[:] = distance
    buffer.partition(k - 1, axis=1)
    inside = distance <= buffer[:, k - 1 : k]
    if np.count_nonzero(inside) > k * len(inside):
        return np.argpartition(distance, k - 1, axis=1)[:, :k]
    return np.asarray(np.flatnonzero(inside.ravel()).reshape(-1, k) % distance.shape[1])


def _sample(n: int, rng: np.random.Generator) -> Ints:
    return np.arange(n) if n <= SEARCH_ROWS else np.sort(rng.choice(n, SEARCH_ROWS, replace=False))


def _same_group(own: Ints, members: Ints, sizes: Ints) -> tuple[Ints, Ints]:
    """Return row of a block, whose groups are ``own``, and position of every member of the row's group."""
    starts = np.cumsum(sizes) - sizes
    row = np.repeat(np.arange(len(own)), sizes[own])
    within = np.arange(len(row)) - np.repeat(np.cumsum(sizes[own]) - sizes[own], sizes[own])
    return row, members[np.repeat(starts[own], sizes[own]) + within]
