"""What a clustering engine must offer, and nothing more."""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np

from analysis.topics.geometry import FloatArray, IntArray


class Clusterer(Protocol):
    """An engine that groups unit vectors by density, at one or several granularities.

    An engine is built with ``min_cluster_size`` and ``seed``, holds no data before `fit_predict`, and gives
    the same answer for the same seed and input.

    Attributes
    ----------
    name
        Short name by which `analysis.topics.TopicModel` finds the engine.
    layers_
        Learned: label vectors of shape (n,), the finest first; -1 is noise; at least one layer.
    """

    name: ClassVar[str]
    layers_: tuple[IntArray, ...]

    def __init__(self, min_cluster_size: int = 5, seed: int = 0) -> None: ...

    def fit_predict(self, X: FloatArray) -> IntArray:
        """Cluster the rows of ``X`` (n, d) and return the engine's own choice of labels (n,), -1 for noise."""
        ...


def tidy(labels: IntArray, min_cluster_size: int) -> IntArray:
    """Return ``labels`` (n,) renumbered 0…k-1, with clusters below ``min_cluster_size`` turned to noise."""
    values, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    keep = (values >= 0) & (counts >= min_cluster_size)
    numbers = np.where(keep, np.cumsum(keep) - 1, -1)
    result: IntArray = numbers[inverse].astype(np.int64)
    return result
