"""The map: a two-dimensional layout fitted once and frozen, on which later rows find a place."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.neighbors import NearestNeighbors

from analysis.topics.geometry import FloatArray, blocks, distinct_rows, unit_rows

SCHEMA_VERSION = 1
LARGEST_SAMPLE = 20_000
FEWEST_ROWS_FOR_UMAP = 20
NEIGHBOURS = 15
PLACED_BY = 5
SAME_POINT = 1e-6
BLOCK_ROWS = 1024


class TopicMap:
    """A frozen UMAP layout (McInnes, Healy and Melville, 2018).

    A refitted layout would move every point from one run to the next, so later rows go to the mean position of
    their five nearest fitted neighbours and nothing else moves. Fewer than 20 distinct rows are laid out by
    their principal components.

    Parameters
    ----------
    sample_rows
        Rows that the layout is fitted on, at most; a random sample of distinct rows.
    seed
        Seed of the sample and of the layout.

    Attributes
    ----------
    points_ : ndarray of shape (m, 2), float32
        Positions of the fitted rows, centred on the origin.
    vectors_ : ndarray of shape (m, d), float32
        The fitted rows.
    """

    points_: FloatArray
    vectors_: FloatArray

    def __init__(self, sample_rows: int = LARGEST_SAMPLE, seed: int = 0) -> None:
        self.sample_rows = sample_rows
        self.seed = seed

    def fit(self, X: ArrayLike) -> TopicMap:
        """Lay out the rows of ``X`` (n, d); n may be 0.

        Raises
        ------
        ValueError
            When ``X`` is not (n, d) or not finite.
        """
        rows = unit_rows(X)
        # Copies of one vector pull a layout apart into islands.
        first = np.sort(distinct_rows(rows)[0])
        if len(first) > self.sample_rows:
            chosen = np.random.default_rng(self.seed).choice(len(first), self.sample_rows, replace=False)
            first = first[np.sort(chosen)]
        # Half precision halves the stored map, and moves a cosine by less than a thousandth.
        self.vectors_ = unit_rows(rows[first].astype(np.float16))
        self.points_ = self._layout(self.vectors_)
        return self

    def place(self, X: ArrayLike) -> FloatArray:
        """Return positions (n, 2): the mean of the five nearest fitted rows, or the row's own if it was fitted.

        Raises
        ------
        ValueError
            When the map is not fitted or ``X`` does not have its number of columns.
        """
        if not hasattr(self, "points_"):
            raise ValueError("this TopicMap is not fitted; call fit(X) or TopicMap.from_arrays first")
        rows = unit_rows(X)
        if rows.shape[1] != self.vectors_.shape[1]:
            raise ValueError(f"X has {rows.shape[1]} columns, but the map was fitted on {self.vectors_.shape[1]}")
        places = np.zeros((len(rows), 2), dtype=np.float32)
        if len(self.points_):
            for part in blocks(len(rows), BLOCK_ROWS):
                places[part] = self._place_block(rows[part])
        return places

    def _place_block(self, rows: FloatArray) -> FloatArray:
        similarity = rows @ self.vectors_.T
        count = min(PLACED_BY, len(self.points_))
        near = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
        best = similarity.argmax(axis=1)
        exact = similarity[np.arange(len(rows)), best] >= 1.0 - SAME_POINT
        mean = self.points_[near].mean(axis=1)
        result: FloatArray = np.where(exact[:, None], self.points_[best], mean)
        return result

    def _layout(self, rows: FloatArray) -> FloatArray:
        if len(rows) < FEWEST_ROWS_FOR_UMAP:
            return _principal_plane(rows)
        from umap import UMAP

        k = min(NEIGHBOURS, len(rows) - 1)
        # UMAP's own search for neighbours calls Python for every pair of a small set.
        near = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(rows).kneighbors(rows)[::-1]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*transforming new data with transform will be unavailable")
            umap = UMAP(
                n_components=2,
                n_neighbors=k,
                metric="cosine",
                random_state=self.seed,
                n_jobs=1,
                precomputed_knn=near,
                force_approximation_algorithm=True,
            )
            layout = umap.fit_transform(rows)
        points: FloatArray = np.asarray(layout, dtype=np.float32)
        points -= points.mean(axis=0)
        return points

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the frozen map as arrays for `numpy.savez`."""
        return {
            "schema_version": np.array(SCHEMA_VERSION),
            "points": self.points_,
            "vectors": self.vectors_.astype(np.float16),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> TopicMap:
        """Return the map that `to_arrays` stored.

        Raises
        ------
        ValueError
            When the arrays were written by another schema version.
        """
        found = int(arrays["schema_version"])
        if found != SCHEMA_VERSION:
            raise ValueError(f"the map has schema version {found}, expected {SCHEMA_VERSION}; fit it anew")
        model = cls()
        model.points_ = np.asarray(arrays["points"], dtype=np.float32)
        model.vectors_ = unit_rows(arrays["vectors"])
        return model


def _principal_plane(rows: FloatArray) -> FloatArray:
    points = np.zeros((len(rows), 2), dtype=np.float32)
    if len(rows) > 1:
        centred = rows - rows.mean(axis=0)
        left, scale, _ = np.linalg.svd(centred, full_matrices=False)
        width = min(2, len(scale))
        points[:, :width] = left[:, :width] * scale[:width]
    return points
