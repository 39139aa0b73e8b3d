"""Where the current window has more sessions than chance gives it.

Pieces of both windows are divided into cells many times over, into few large ones and into many small ones, each time
from another random start and without knowing the window. A pile that one division happens to cut out is cut otherwise
by the next; a subject is not. So a piece is as strong as its cells are on average over the divisions (a consensus of
clusterings, as in Strehl and Ghosh, 2002), each cell tested by the conditional binomial test (the comparison of two
Poisson rates of Przyborowski and Wilenski, 1940) against three times its part in the reference. What chance gives the
strongest piece is learnt by dealing whole sessions to the two windows at random (Westfall and Young, 1993).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from analysis.topics.geometry import (
    BoolArray,
    DoubleArray,
    FloatArray,
    IntArray,
    nearest,
    principal_rows,
    scattered_centres,
)
from analysis.topics.pieces import Window

LEAST_SESSIONS = 4
LEAST_SHARE = 0.003
LEAST_LIFT = 3.0
CELLS = (64, 128, 256, 512)
STARTS = 6
STEPS = 3
# Cells of fewer pieces than this on average hold nothing that could be tested.
LEAST_PIECES = 3
LEARNING_PIECES = 4000
DEALS = 499
# Where less than this part of the deals is as strong as the window, more are dealt, so that small levels are resolved.
RARE = 0.05
DEALS_OF_RARE = 1999
AT_ONCE = 100
# Beyond the strongest so many deals the tail is continued as an exponential one, where enough of them are stronger.
TAIL = 50
LEAST_TAIL = 10


@dataclass(frozen=True)
class Scan:
    """The pieces of both windows as scanned, the reference's first.

    Attributes
    ----------
    cell
        Cell of every piece in every division (r, n).
    strength
        Mean over the divisions of -log10 of the p-value of a piece's cell (n,).
    chance
        Strength of the strongest piece in every deal, sorted.
    ways
        In how many ways the sessions can be dealt.
    """

    cell: IntArray
    strength: DoubleArray
    chance: DoubleArray
    ways: float

    def corrected(self, strength: DoubleArray) -> DoubleArray:
        """Return the probability that chance gives any piece of the window this strength (m,) or more.

        Above the strongest fifty deals it is the tail of an exponential distribution fitted to them, as their count
        would not resolve it (Knijnenburg, Wessels, Reinders and Shmulevich, 2009, with the shape of no extremes), but
        no less than the part of the deals that reached it. Where hardly any deal has a strong piece there is nothing
        to fit: the p-values of a piece are merged by e times their geometric mean (Vovk and Wang, 2020) and multiplied
        by the number of pieces, where that says more than the count. The true deal is one of all ways to deal, so
        nothing is less likely than that.
        """
        deals = len(self.chance)
        reached = deals - np.searchsorted(self.chance, strength, side="left")
        counted = (reached + 1.0) / (deals + 1.0)
        edge = self.chance[-TAIL - 1]
        tail = self.chance[self.chance > edge] - edge
        if len(tail) < LEAST_TAIL:
            found = np.minimum(counted, np.e * len(self.strength) * 10.0**-strength)
        else:
            beyond = len(tail) / deals * np.exp(-np.maximum(strength - edge, 0.0) / tail.mean())
            found = np.where(strength > edge, np.maximum(beyond, reached / deals), counted)
        return np.asarray(np.maximum(found, 1.0 / self.ways))


def scan(old: Window, new: Window, rng: np.random.Generator) -> Scan:
    """Scan the pieces of ``old`` and ``new`` for more sessions of ``new`` than chance gives them."""
    from scipy.special import comb

    pieces = principal_rows(np.concatenate([old.pieces, new.pieces]))
    session = np.concatenate([old.session, old.sessions + new.session])
    current = np.arange(old.sessions + new.sessions) >= old.sessions
    divisions = [
        _divided(pieces, min(k, max(len(pieces) // LEAST_PIECES, 1)), rng) for k in CELLS for _ in range(STARTS)
    ]
    sessions = _Sessions(session, len(current))
    counts = [sessions.counted(cell) for cell in divisions]
    strength = sessions.strength(divisions, counts, current[:, None])[:, 0].astype(np.float64)

    def dealt(number: int) -> DoubleArray:
        parts = []
        for done in range(0, number, AT_ONCE):
            deals = np.stack([rng.permutation(current) for _ in range(min(AT_ONCE, number - done))], axis=1)
            parts.append(sessions.strength(divisions, counts, deals).max(axis=0))
        return np.concatenate(parts).astype(np.float64)

    chance = dealt(DEALS)
    if (chance >= strength.max()).mean() < RARE:
        chance = np.concatenate([chance, dealt(DEALS_OF_RARE - DEALS)])
    ways = float(comb(len(current), new.sessions))
    return Scan(np.stack(divisions), strength, np.sort(chance), ways)


@dataclass(frozen=True)
class _Sessions:
    """Session of every piece (n,), 0…s-1."""

    of: IntArray
    number: int

    def counted(self, cell: IntArray) -> sparse.csr_matrix:
        """Return which sessions touch which cells (k, s), as ones."""
        ones = np.ones(len(cell), dtype=np.float32)
        touches = sparse.csr_matrix((ones, (cell, self.of)), shape=(int(cell.max()) + 1, self.number))
        touches.sum_duplicates()
        touches.data[:] = 1.0
        return touches

    def strength(self, divisions: list[IntArray], counts: list[sparse.csr_matrix], current: BoolArray) -> FloatArray:
        """Return the strength of every piece (n, b) for every column of ``current`` (s, b)."""
        # Longer sessions touch more cells; where one window has more of them, that is not growth.
        weight = np.bincount(self.of, minlength=self.number).astype(np.float64)
        exposed = weight @ current
        total = np.zeros((len(self.of), current.shape[1]), dtype=np.float32)
        for cell, touches in zip(divisions, counts, strict=True):
            excess = _excess(touches, current, exposed, weight.sum() - exposed)
            # By chance alone most cells of a large window have none.
            rows = np.flatnonzero(np.asarray(excess.any(axis=1))[cell])
            total[rows] += excess[cell[rows]]
        return np.divide(total, len(divisions), out=total)


def _excess(touches: sparse.csr_matrix, current: BoolArray, exposed: DoubleArray, rest: DoubleArray) -> FloatArray:
    """Return -log10 of the p-value of every cell (k, b), 0 for those with too few current sessions."""
    from scipy.special import bdtrc

    after = np.asarray(touches @ current.astype(np.float32), dtype=np.float64)
    total = np.asarray(touches.sum(axis=1)).ravel()
    least = np.maximum(LEAST_SESSIONS, LEAST_SHARE * current.sum(axis=0))
    chance = LEAST_LIFT * exposed / np.maximum(LEAST_LIFT * exposed + rest, 1.0)
    row, column = np.nonzero((after >= least) & (after > chance * total[:, None]))
    p_value = bdtrc(after[row, column] - 1.0, total[row].astype(np.int64), chance[column])
    strength = np.zeros(after.shape, dtype=np.float32)
    strength[row, column] = -np.log10(np.maximum(p_value, np.finfo(np.float32).tiny))
    return strength


def _divided(pieces: FloatArray, k: int, rng: np.random.Generator) -> IntArray:
    """Return the cell of every piece (n,) after a few Lloyd steps from ``k`` pieces drawn at random."""
    return nearest(pieces, scattered_centres(_sample(pieces, rng), k, rng, STEPS))[0]


def _sample(pieces: FloatArray, rng: np.random.Generator) -> FloatArray:
    return pieces if len(pieces) <= LEARNING_PIECES else pieces[rng.choice(len(pieces), LEARNING_PIECES, replace=False)]
