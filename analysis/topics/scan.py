"""Which nested cells have more current sessions than chance gives them.

Every node of the tree is tested by the conditional binomial test (the comparison of two Poisson rates of Przyborowski
and Wilenski, 1940) with a least share and a least lift. What chance gives the best of so many overlapping nodes is
learnt by dealing whole sessions to the two windows at random, as in the tree scan of Kulldorff, Fang and Walsh
(2003).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from analysis.topics.geometry import BoolArray, DoubleArray, FloatArray, IntArray
from analysis.topics.nested import Nested
from analysis.topics.pieces import Window

LEAST_SESSIONS = 4
LEAST_SHARE = 0.003
LEAST_LIFT = 3.0
DEALS = 199
# Chance is counted up to this p-value; nothing weaker is ever found.
WEAKEST = 0.02
# Below the tenth strongest chance finding of all deals (or the weakest p-value, where chance finds fewer) the count is
# continued in proportion to the p-value.
RESOLVED = 10


@dataclass(frozen=True)
class Tested:
    """The nodes of a tree as tested.

    Attributes
    ----------
    p_value, lift
        Of every node (m,); the p-value is 1 where share or lift are too small.
    touched
        Current sessions in every node (m,).
    chance
        p-values of what chance finds in ``deals`` deals, sorted.
    deals
        How many times sessions were dealt.
    """

    p_value: DoubleArray
    lift: DoubleArray
    touched: DoubleArray
    chance: DoubleArray
    deals: int

    def corrected(self, p_values: DoubleArray) -> DoubleArray:
        """Return how many subjects chance finds at these p-values (n,) or below, at most 1.

        That bounds the probability that it finds any: a p-value corrected for all nodes.
        """
        counts = np.searchsorted(self.chance, p_values, side="right").astype(np.float64)
        resolved = len(self.chance) >= RESOLVED
        edge = float(self.chance[RESOLVED - 1]) if resolved else WEAKEST
        least = (min(len(self.chance), RESOLVED) + 1.0) * p_values / max(edge, np.finfo(float).tiny)
        found = np.where(p_values < edge, np.maximum(counts, least), counts + 1.0)
        return np.asarray(np.minimum(found / (self.deals + 1.0), 1.0))


def test_nodes(tree: Nested, old: Window, new: Window, rng: np.random.Generator) -> Tested:
    """Test every node of ``tree`` over the pieces of ``old`` and then of ``new``."""
    session = np.concatenate([old.session, old.sessions + new.session])
    sessions = old.sessions + new.sessions
    told = sparse.csr_matrix((np.ones(len(session), np.float32), (session, tree.cell)), shape=(sessions, tree.cells))
    touches = (told @ tree.inside()).T.tocsr()
    touches.data[:] = 1.0
    # Longer sessions touch more nodes; where one window has more of them, that is not growth.
    weight = np.bincount(session, minlength=sessions).astype(np.float64)
    current = np.arange(sessions) >= old.sessions
    counts = _Counts(touches, np.asarray(touches.sum(axis=1)).ravel(), weight)
    p_value, lift, touched = (part[:, 0] for part in counts.test(current[:, None]))
    dealt = np.stack([rng.permutation(current) for _ in range(DEALS)], axis=1)
    chance = counts.test(dealt)[0]
    found = [chance[leaders(tree, chance[:, deal]), deal] for deal in range(DEALS)]
    return Tested(p_value, lift, touched, np.sort(np.concatenate(found)), DEALS)


def leaders(tree: Nested, p_values: DoubleArray) -> IntArray:
    """Return nodes that share no cell, strongest first: the strongest of all, then of the rest, and so on."""
    strong = np.flatnonzero(p_values <= WEAKEST)
    size = tree.end[strong] - tree.start[strong]
    free = np.ones(tree.cells, dtype=bool)
    chosen = []
    for node in strong[np.lexsort((size, p_values[strong]))].tolist():
        part = slice(tree.start[node], tree.end[node])
        if free[part].all():
            free[part] = False
            chosen.append(node)
    return np.array(chosen, dtype=np.int64)


@dataclass(frozen=True)
class _Counts:
    """Which sessions touch which nodes (m, s), how many do (m,), and how many pieces every session has (s,)."""

    touches: sparse.csr_matrix
    total: FloatArray
    weight: DoubleArray

    def test(self, current: BoolArray) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
        """Return p-values, lifts and current sessions of all nodes (m, b) for every column of ``current`` (s, b)."""
        from scipy.special import bdtrc

        after = np.asarray(self.touches @ current.astype(np.float32), dtype=np.float64)
        before = self.total[:, None] - after
        exposed = (self.weight @ current)[None, :]
        rest = np.maximum(self.weight.sum() - exposed, 1.0)
        lift = (after / np.maximum(exposed, 1.0)) / ((before + 0.5) / rest)
        least = np.maximum(LEAST_SESSIONS, LEAST_SHARE * current.sum(axis=0))[None, :]
        p_value = np.ones_like(after)
        row, column = np.nonzero((after >= least) & (lift >= LEAST_LIFT))
        chance = np.broadcast_to(exposed / self.weight.sum(), after.shape)[row, column]
        p_value[row, column] = bdtrc(after[row, column] - 1.0, self.total[row].astype(np.int64), chance)
        return p_value, lift, after
