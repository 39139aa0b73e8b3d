"""Which topics a refit has: the earlier ones with the changes that rows prove, or those of another granularity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.topics.dedup import KeyArray
from analysis.topics.evidence import Evidence
from analysis.topics.geometry import BoolArray, FloatArray, IntArray, nearest
from analysis.topics.granularity import choose_labels, closest_layer, worth
from analysis.topics.identity import match, reconcile
from analysis.topics.layers import FEWEST_ROWS_FOR_DENSITY, Layering
from analysis.topics.memory import Origin
from analysis.topics.partition import Partition, moved_partition, partition_from_labels

CHOSEN_AGAIN = 2.0
CLEARLY_BETTER = 0.05
FINER_PROPOSALS = 3


@dataclass(frozen=True)
class Succession:
    """The earlier topics, from which those of a refit come.

    Attributes
    ----------
    old
        The earlier partition.
    memory
        Unit rows (m, d) that stand for the earlier fit.
    origin
        The fit that chose the granularity.
    next_id
        The first id that was never used.
    """

    old: Partition
    memory: FloatArray
    origin: Origin
    next_id: int

    def continued(self, X: FloatArray, layers: Sequence[IntArray], known: IntArray, unseen: BoolArray) -> Partition:
        """Return the earlier topics moved to later rows, with the changes that rows of new texts prove.

        Parameters
        ----------
        X
            Unit rows (n, d) of distinct texts.
        layers
            The engine's clusterings (n,) of all granularities.
        known
            The earlier topic of every row (n,), -1 for none.
        unseen
            Which rows (n,) have a text that the earlier fit did not have.
        """
        labels = layers[closest_layer(layers, known)]
        most = labels.max(initial=-1)
        finer = [layer for layer in layers if most < layer.max(initial=-1) <= FINER_PROPOSALS * most]
        ids = self.old.assign(self.memory)[0], self.old.assign(X[unseen])[0]
        evidence = Evidence(self.memory, X[unseen], *ids, self.origin)
        joined = reconcile(X, self.old, known, [labels, *finer[-1:]], evidence, self.next_id)
        if not len(joined.ids):
            return joined
        return moved_partition(X, labels, joined, self.old, self.memory, unseen)

    def chosen_anew(
        self, X: FloatArray, layers: Sequence[IntArray], known: IntArray, engine: Layering
    ) -> Partition | None:
        """Return topics of the granularity that ``engine`` chooses now, None where they are not clearly better.

        ``X``, ``layers`` and ``known`` are as in `continued`.
        """
        labels, _ = choose_labels(engine.prepared(X), layers, engine, engine.seed)
        index = nearest(X, self.old.centroids)[0]
        # One topic has no silhouette; that of rows which belong as much to another one is 0.
        now = np.nan_to_num(worth(X, index, engine.seed))
        if not worth(X, labels, engine.seed) >= now + CLEARLY_BETTER:
            return None
        number = int(labels.max()) + 1
        matched, fresh = match(known, labels), iter(range(self.next_id, self.next_id + number))
        ids = [matched[i] if i in matched else next(fresh) for i in range(number)]
        order = np.argsort(ids)
        place = np.argsort(order)
        return partition_from_labels(X, np.where(labels >= 0, place[labels], -1), np.array(ids)[order])


def outgrown(chosen_on: int, n: int) -> bool:
    """Say whether ``n`` distinct texts are reason to choose again what was chosen on ``chosen_on``."""
    return n >= CHOSEN_AGAIN * max(chosen_on, FEWEST_ROWS_FOR_DENSITY)


def remembered(keys: KeyArray, member_keys: KeyArray, member_ids: IntArray, assigned: IntArray) -> IntArray:
    """Return the earlier topic of distinct texts (n,): of known ones as it was, of the others as ``assigned`` (n,).

    Parameters
    ----------
    keys
        Keys of the texts (n,).
    member_keys, member_ids
        Keys of the texts of the earlier fit and their topics (m,).
    assigned
        The earlier topic to which each row is assigned (n,).
    """
    order = np.argsort(member_keys)
    place = np.minimum(np.searchsorted(member_keys[order], keys), len(order) - 1)
    return np.where(member_keys[order][place] == keys, member_ids[order][place], assigned)
