"""Average linkage cut at fixed cosine similarities: for inputs too small for a density estimate."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from analysis.topics.clusterers.base import tidy
from analysis.topics.geometry import FloatArray, IntArray

# Sentence embeddings of one subject lie closer than a mean cosine distance of about one half.
CUTS = (0.4, 0.5, 0.6)


class LinkageClusterer:
    """Agglomerates by mean cosine distance; quadratic in rows, so meant for at most a few thousand.

    Parameters
    ----------
    min_cluster_size
        Rows below which a group is noise.
    seed
        Accepted for the protocol; the method is deterministic.
    """

    name: ClassVar[str] = "linkage"
    layers_: tuple[IntArray, ...]

    def __init__(self, min_cluster_size: int = 5, seed: int = 0) -> None:
        self.min_cluster_size = min_cluster_size
        self.seed = seed

    def fit_predict(self, X: FloatArray) -> IntArray:
        """Cluster ``X`` (n, d); return the middle cut, as labels (n,)."""
        from scipy.cluster.hierarchy import fcluster, linkage

        rows, columns = np.triu_indices(len(X), k=1)
        similarity = X @ X.T
        tree = linkage(np.maximum(1.0 - similarity[rows, columns].astype(np.float64), 0.0), method="average")
        self.layers_ = tuple(tidy(fcluster(tree, cut, criterion="distance"), self.min_cluster_size) for cut in CUTS)
        return self.layers_[1]
