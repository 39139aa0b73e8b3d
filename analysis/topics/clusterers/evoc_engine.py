"""EVoC: density clustering on a node embedding of the neighbour graph, with all granularities in one pass."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from analysis.topics.clusterers.base import tidy
from analysis.topics.geometry import FloatArray, IntArray, principal_rows

# At the library's own .2 only three or four widely spaced layers remain, and the right one is often absent.
LAYER_SIMILARITY = 0.5


class EvocClusterer:
    """Clusters with EVoC; its layers come from one hierarchy.

    Parameters
    ----------
    min_cluster_size
        Rows below which a group is noise, in the finest layer.
    seed
        Seed of every random choice.
    """

    name: ClassVar[str] = "evoc"
    layers_: tuple[IntArray, ...]

    def __init__(self, min_cluster_size: int = 5, seed: int = 0) -> None:
        self.min_cluster_size = min_cluster_size
        self.seed = seed

    def fit_predict(self, X: FloatArray) -> IntArray:
        """Cluster ``X`` (n, d); return the layer that persists longest, as labels (n,)."""
        from evoc import EVoC

        model = EVoC(
            base_min_cluster_size=self.min_cluster_size,
            n_neighbors=min(15, len(X) - 1),
            min_similarity_threshold=LAYER_SIMILARITY,
            random_state=self.seed,
        )
        model.fit(np.ascontiguousarray(principal_rows(X), dtype=np.float32))
        self.layers_ = tuple(tidy(layer, self.min_cluster_size) for layer in model.cluster_layers_)
        return self.layers_[int(np.argmax(model.persistence_scores_))]
