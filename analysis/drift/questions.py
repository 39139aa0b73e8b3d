"""Which questions count as the same one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from analysis.drift.arrays import Floats, Ints

BLOCK_ROWS = 1_024


@dataclass(frozen=True, eq=False)
class NearQuestions:
    """Prompts (n,) and which of them are near each other.

    ``text`` (n,): which distinct prompt each row is, numbered by first appearance; ``cosines`` (q, q): of distinct
    prompts nearer than the widest radius.
    """

    text: Ints
    cosines: sparse.csr_matrix

    @classmethod
    def of(cls, prompts: Floats, cosine: float) -> NearQuestions:
        """Find the pairs of prompts (n, d) whose cosine exceeds ``cosine``; equal prompts are one."""
        same = np.ascontiguousarray(prompts).view(np.dtype((np.void, prompts.dtype.itemsize * prompts.shape[1])))
        _, first, inverse = np.unique(same.ravel(), return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        distinct = prompts[first[order]]
        unit = distinct / np.maximum(np.linalg.norm(distinct, axis=1, keepdims=True), 1e-12)
        blocks = []
        for start in range(0, max(1, len(unit)), BLOCK_ROWS):  # one block of nothing where there is no prompt
            near = unit[start : start + BLOCK_ROWS] @ unit.T
            near[near <= cosine] = 0.0
            blocks.append(sparse.csr_matrix(near))
        return cls(rank[inverse], sparse.csr_matrix(sparse.vstack(blocks)))

    def clusters(self, cosine: float) -> Ints:
        """Return clusters (n,) of prompts whose cosine to the cluster's first one exceeds ``cosine``."""
        starts, columns, values = self.cosines.indptr, self.cosines.indices, self.cosines.data
        cluster = np.full(len(starts) - 1, -1, dtype=np.int64)
        for text in range(len(cluster)):
            if cluster[text] < 0:
                span = slice(starts[text], starts[text + 1])
                mine = columns[span][values[span] > cosine]
                cluster[mine[cluster[mine] < 0]] = text
                cluster[text] = text
        return cluster[self.text]
