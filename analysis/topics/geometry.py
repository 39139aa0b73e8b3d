"""Unit vectors, centroids and radii: the arithmetic that every topic method shares."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
DoubleArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

BLOCK_ROWS = 8192
PRINCIPAL_AXES = 96
FEWEST_REDUCED = 4000
SHORTEST = 1e-12
RADIUS_QUANTILE = 0.95
SHRINKAGE_ROWS = 10


def unit_rows(X: ArrayLike) -> FloatArray:
    """Return ``X`` (n, d) as float32 rows of length one; rows shorter than 1e-12 become zero.

    Arrow and pandas hand over a column of vectors as an array of arrays; an empty list is no rows.

    Raises
    ------
    ValueError
        When ``X`` is not two-dimensional or holds NaN or infinity.
    """
    given = np.asarray(X)
    if given.ndim == 1 and given.dtype == object and len(given):
        given = np.stack([np.asarray(row) for row in given])
    rows = given.astype(np.float32, copy=False)
    if rows.shape == (0,):
        return np.zeros((0, 0), dtype=np.float32)
    if rows.ndim != 2:
        raise ValueError(f"expected an array of shape (n, d), got shape {rows.shape}")
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    if not np.isfinite(lengths).all():
        raise ValueError(f"{int((~np.isfinite(lengths)).sum())} of {len(rows)} rows hold NaN or infinity")
    if np.allclose(lengths, 1.0, atol=1e-6):
        return rows
    scale = np.where(lengths > SHORTEST, 1.0 / np.maximum(lengths, SHORTEST), 0.0).astype(np.float32)
    return rows * scale[:, None]


def principal_rows(X: FloatArray) -> FloatArray:
    """Return unit rows (n, 96) of ``X`` (n, d) on its leading principal axes, uncentred; ``X`` if it is small.

    The leading axes of sentence embeddings hold nearly all that tells subjects apart, at a quarter of the cost.
    """
    if X.shape[1] <= PRINCIPAL_AXES or len(X) <= FEWEST_REDUCED:
        return X
    _, axes = np.linalg.eigh((X.T @ X).astype(np.float64))
    return unit_rows(X @ axes[:, ::-1][:, :PRINCIPAL_AXES].astype(np.float32))


def distinct_rows(X: FloatArray) -> tuple[IntArray, IntArray]:
    """Return the first row of each distinct vector (m,), and which of them every row is (n,).

    Vectors that agree to four decimals are one; they are numbered in an order that depends on their content.
    """
    rounded = np.ascontiguousarray(np.round(X, 4) + np.float32(0.0))
    keys = rounded.view(np.dtype((np.void, rounded.dtype.itemsize * rounded.shape[1]))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first.astype(np.int64), inverse.astype(np.int64)


def blocks(n: int, size: int = BLOCK_ROWS) -> Iterator[slice]:
    """Yield slices that cover ``range(n)`` in blocks, so that distance matrices stay small."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def nearest(X: FloatArray, centroids: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the nearest centroid of every row and its cosine distance.

    Parameters
    ----------
    X
        Unit rows (n, d).
    centroids
        Unit rows (k, d), k at least 1.

    Returns
    -------
    tuple
        Index (n,) into ``centroids`` and cosine distance (n,) in [0, 2].
    """
    index = np.empty(len(X), dtype=np.int64)
    distance = np.empty(len(X), dtype=np.float32)
    for part in blocks(len(X)):
        similarity = X[part] @ centroids.T
        index[part] = similarity.argmax(axis=1)
        distance[part] = 1.0 - similarity[np.arange(similarity.shape[0]), index[part]]
    return index, np.maximum(distance, 0.0)


def mean_directions(X: FloatArray, labels: IntArray, k: int) -> FloatArray:
    """Return the unit mean (k, d) of the rows of each label 0…k-1; an empty label gives a zero row."""
    return unit_rows(label_sums(X, labels, k))


def label_sums(X: FloatArray, labels: IntArray, k: int) -> DoubleArray:
    """Return the sum (k, d) of the rows of each label 0…k-1; rows labelled -1 are left out."""
    from scipy.sparse import csr_matrix

    sums = np.zeros((k, X.shape[1]), dtype=np.float64)
    for part in blocks(len(X)):
        rows = np.flatnonzero(labels[part] >= 0)
        one = np.ones(len(rows), dtype=np.float32)
        sums += csr_matrix((one, (labels[part][rows], rows)), shape=(k, len(labels[part]))) @ X[part]
    return sums


def fitted_radii(distance: FloatArray, index: IntArray, k: int) -> FloatArray:
    """Return the radius (k,) of each topic, so that together they hold 95 % of rows that shaped no centroid.

    The radius is the mean distance of the topic's rows plus a multiple of their standard deviation that is the same
    for all topics: a quantile of the few rows of one topic is unreliable. Mean and deviation are shrunk towards the
    median of all topics with the weight of ten rows; a topic without rows takes these medians.

    Parameters
    ----------
    distance
        Cosine distance (n,) of core rows to their nearest centroid.
    index
        That centroid (n,).
    k
        Number of topics.
    """
    counts = np.bincount(index, minlength=k)
    if not counts.any():
        return np.zeros(k, dtype=np.float32)
    apart = _left_out(distance.astype(np.float64), index, counts)
    mean = np.bincount(index, weights=apart, minlength=k) / np.maximum(counts, 1)
    variance = np.bincount(index, weights=(apart - mean[index]) ** 2, minlength=k) / np.maximum(counts, 1)
    weight = counts / (counts + SHRINKAGE_ROWS)
    centre, spread = (weight * own + (1.0 - weight) * np.median(own[counts > 0]) for own in (mean, np.sqrt(variance)))
    spread = np.maximum(spread, SHORTEST)
    multiple = np.quantile((apart - centre[index]) / spread[index], RADIUS_QUANTILE)
    radii: FloatArray = np.maximum(centre + multiple * spread, 0.0).astype(np.float32)
    return radii


def _left_out(distance: DoubleArray, index: IntArray, counts: IntArray) -> DoubleArray:
    """Return the distance (n,) of each row to its centroid as it were without that row.

    Rows of length one with sum s have the cosine x·s / |s| with their centroid, and |s| is the sum of these cosines;
    without x it is (x·s - 1) / |s - x|.
    """
    cosine = 1.0 - distance
    length = np.bincount(index, weights=cosine, minlength=len(counts))[index]
    rest = np.sqrt(np.maximum(length**2 - 2.0 * cosine * length + 1.0, SHORTEST))
    left_out = 1.0 - (cosine * length - 1.0) / rest
    return np.where(counts[index] > 1, np.maximum(left_out, distance), distance)


def fill_noise(X: FloatArray, labels: IntArray) -> IntArray:
    """Return ``labels`` (n,) with every noise row given to the nearest cluster mean."""
    k = int(labels.max(initial=-1)) + 1
    filled = labels.copy()
    noise = labels < 0
    if k == 0 or not noise.any():
        return filled
    filled[noise] = nearest(X[noise], mean_directions(X, labels, k))[0]
    return filled


def scattered_centres(X: FloatArray, k: int, rng: np.random.Generator, steps: int) -> FloatArray:
    """Return ``k`` centroids (k, d) after Lloyd steps on the sphere from ``k`` rows drawn at random.

    A cell that loses every row keeps its place.
    """
    centres = X[rng.choice(len(X), k, replace=False)]
    for _ in range(steps):
        index = nearest(X, centres)[0]
        filled = np.bincount(index, minlength=k)[:, None] > 0
        centres = np.where(filled, mean_directions(X, index, k), centres)
    return centres


def spacing(centroids: FloatArray) -> float:
    """Return the median cosine distance of centroids (k, d) from their nearest other; 0 where there is none."""
    if len(centroids) < 2:
        return 0.0
    similar = centroids @ centroids.T
    np.fill_diagonal(similar, -1.0)
    return float(np.median(1.0 - similar.max(axis=1)))


def mean_silhouette(X: FloatArray, labels: IntArray) -> float:
    """Return the mean silhouette (Rousseeuw, 1987) of unit rows by cosine distance.

    The cosines of a row with all rows of a cluster add up to its product with their sum, so one product of matrices
    replaces the distances of all pairs.

    Parameters
    ----------
    X
        Unit rows (n, d).
    labels
        Clusters (n,) with at least two values, fewer than rows; a row that is alone in its cluster counts 0.
    """
    inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)[1:]
    alike = X @ label_sums(X, inverse, len(counts)).T.astype(np.float32)
    rows, own = np.arange(len(X)), counts[inverse]
    # A row of zeros is unlike every row, itself too, yet lies at no distance from itself.
    itself = 1.0 - np.einsum("ij,ij->i", X, X)
    within = (own - alike[rows, inverse] - itself) / np.maximum(own - 1, 1)
    apart = 1.0 - alike / counts
    apart[rows, inverse] = np.inf
    other = apart.min(axis=1)
    return float(np.where(own > 1, (other - within) / np.maximum(np.maximum(other, within), SHORTEST), 0.0).mean())
