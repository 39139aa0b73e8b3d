"""UMAP to five dimensions, then HDBSCAN: the engine that most topic tools use."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from analysis.topics.clusterers.base import tidy
from analysis.topics.geometry import FloatArray, IntArray

COMPONENTS = 5
NEIGHBOURS = 15
SIZE_FACTORS = (1, 2, 4, 8)


class UmapHdbscanClusterer:
    """Reduces with UMAP and clusters with HDBSCAN at four minimum sizes, each twice the one before.

    Parameters
    ----------
    min_cluster_size
        Rows below which a group is noise, in the finest layer.
    seed
        Seed of the reduction; HDBSCAN itself is deterministic.
    """

    name: ClassVar[str] = "umap-hdbscan"
    layers_: tuple[IntArray, ...]

    def __init__(self, min_cluster_size: int = 5, seed: int = 0) -> None:
        self.min_cluster_size = min_cluster_size
        self.seed = seed

    def fit_predict(self, X: FloatArray) -> IntArray:
        """Cluster ``X`` (n, d); return the finest layer, as labels (n,)."""
        from hdbscan import HDBSCAN

        reduced = self._reduce(X)
        layers: list[IntArray] = []
        for factor in SIZE_FACTORS:
            size = self.min_cluster_size * factor
            if layers and 2 * size > len(X):
                break
            model = HDBSCAN(min_cluster_size=size, min_samples=min(5, size), core_dist_n_jobs=1)
            layers.append(tidy(model.fit_predict(reduced), size))
        self.layers_ = tuple(layers)
        return self.layers_[0]

    def _reduce(self, X: FloatArray) -> np.ndarray:
        from umap import UMAP

        neighbours = min(NEIGHBOURS, len(X) - 1)
        reducer = UMAP(
            n_components=COMPONENTS,
            n_neighbors=neighbours,
            min_dist=0.0,
            metric="cosine",
            random_state=self.seed,
            n_jobs=1,
        )
        return np.asarray(reducer.fit_transform(X), dtype=np.float64)
