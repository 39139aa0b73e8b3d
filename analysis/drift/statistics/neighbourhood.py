"""The neighbourhoods that hold more current messages than chance allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from analysis.drift.arrays import Bools, Floats
from analysis.drift.neighbours import Balls
from analysis.drift.permutation import Draw
from analysis.drift.pooled import Pooled

LOUDEST = 0.01
LOUDEST_ROWS = 20
FEWEST_LOUDEST = 4


@dataclass(frozen=True)
class NeighbourhoodExcess:
    r"""Mean standardised excess of current rows in the fullest neighbourhoods, summed over two sizes.

    .. math:: T = \sum_k \frac{1}{|A|} \sum_{a \in A_k} z_{ak}, \quad
              z_{ak} = \frac{\sum_{g \in \mathrm{current}} (c_{gak} - p_{ak} n_g)}{\mathrm{sd}_{ak}}

    A neighbourhood is the k rows nearest to an anchor row among the pooled rows, whatever their window;
    :math:`A_k` are the 1 % of anchors with the largest z under the labelling at hand, but no more than 20 rows
    hold, since among very many rows 1 % would dilute a topic of a few dozen. Unlike cells,
    neighbourhoods have no borders that cut a small topic in two, and a new topic of m messages fills about m
    of them. Sources: the scan statistic, Kulldorff, 1997, doi:10.1080/03610929708831995; nearest-neighbour
    two-sample tests, Schilling, 1986, doi:10.2307/2289012; sd as in ``excess.Excess``. Sees small topics
    that appear or grow; misses broad shifts and topics that vanish.
    """

    name: str = "neighbourhood_excess"
    title: str = "Excess in the fullest neighbourhoods"
    higher_is_more_drift: bool = True
    symmetric: bool = False

    def bind(self, pooled: Pooled) -> BoundNeighbourhoodExcess:
        """Reduce the pooled rows to the number of rows of each group in each neighbourhood."""
        return BoundNeighbourhoodExcess.of(pooled.balls, pooled.sizes, pooled.is_current)


@dataclass(frozen=True, eq=False)
class BoundNeighbourhoodExcess:
    """Rows of each group (g,) in the neighbourhoods (a,), one sparse (a, g) matrix a size.

    ``rings`` hold the counts beyond the next smaller size, ``balls`` all; ``expected`` is the share of all
    rows in each neighbourhood, ``deviation`` that of dealing the groups again.
    """

    rings: tuple[sparse.csr_matrix, ...]
    balls: tuple[sparse.csr_matrix, ...]
    expected: tuple[Floats, ...]
    deviation: tuple[Floats, ...]
    sizes: Floats

    @classmethod
    def of(cls, balls: Balls, sizes: Floats, is_current: Bools) -> BoundNeighbourhoodExcess:
        """Prepare the counts of groups of the given sizes."""
        total, g, n1 = float(sizes.sum()), len(sizes), float(is_current.sum())
        factor = n1 * (g - n1) / max(1.0, g * (g - 1.0))
        within, expected, deviation = [], [], []
        inside = None
        for ring in balls.rings:
            inside = ring if inside is None else inside + ring
            share = np.asarray(inside.sum(axis=1)).ravel() / total
            squares = np.asarray(inside.multiply(inside).sum(axis=1)).ravel() - 2.0 * share * (inside @ sizes)
            within.append(inside)
            expected.append(share)
            deviation.append(np.sqrt(factor * np.maximum(squares + share**2 * float(sizes @ sizes), 0.0)))
        return cls(balls.rings, tuple(within), tuple(expected), tuple(deviation), sizes)

    def values(self, draw: Draw) -> Floats:
        """Return the statistic under each labelling, (b,)."""
        n_rows = float(self.sizes.sum())
        return np.asarray(sum(_mean_of_largest(z, n_rows) for z in self._standardised(draw)), dtype=np.float64)

    def effect(self, before: Floats, after: Floats) -> Floats:
        """Return by how much the share of the rows in the strongest neighbourhood rose, (b,)."""
        size, anchor = self._strongest(after[:1])
        counts = np.asarray(self.balls[size][[anchor]].todense()).ravel()
        shares = [(w @ counts) / np.maximum(w @ self.sizes, 1.0) for w in (before, after)]
        return np.asarray(np.maximum(0.0, shares[1] - shares[0]))

    def _standardised(self, draw: Draw) -> list[Floats]:
        """Return z of every neighbourhood under each labelling, one (a, b) array a size."""
        labels = np.ascontiguousarray(draw.labels().T)
        current = self.sizes.astype(np.float32) @ labels
        found: list[Floats] = []
        inside: Floats | None = None
        for ring, share, deviation in zip(self.rings, self.expected, self.deviation, strict=True):
            inside = ring @ labels if inside is None else inside + ring @ labels
            scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-9)
            z = share[:, None].astype(np.float32) * current
            np.subtract(inside, z, out=z)
            z *= scale[:, None].astype(np.float32)
            found.append(z)
        return found

    def _strongest(self, after: Floats) -> tuple[int, int]:
        """Return size and anchor of the neighbourhood with the most telling excess, the widest of near ties."""
        tables = self._standardised(_Given(after.astype(np.float32)))
        peak = [float(z.max()) for z in tables]
        size = max(i for i, value in enumerate(peak) if value >= NEAR_TIE * max(peak))
        return size, int(tables[size][:, 0].argmax())


NEAR_TIE = 0.9


@dataclass(frozen=True, eq=False)
class _Given:
    given: Floats

    def labels(self, eligible: Bools | None = None) -> Floats:
        """Return the given labels."""
        return self.given if eligible is None else self.given * eligible


def _mean_of_largest(z: Floats, n_rows: float) -> Floats:
    """Return the mean of the largest rows of each column of ``z`` (a, b), (b,); ``n_rows``: of the windows."""
    share = min(LOUDEST, LOUDEST_ROWS / max(n_rows, 1.0))
    m = min(len(z), max(FEWEST_LOUDEST, round(share * len(z))))
    by_column = np.ascontiguousarray(z.T)
    by_column.partition(len(z) - m, axis=1)
    return np.asarray(by_column[:, -m:].mean(axis=1))
