"""Checked and normalised inputs: rows of vectors and integer groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Groups: TypeAlias = npt.ArrayLike | Sequence[Any] | None


def as_rows(vectors: npt.ArrayLike, name: str) -> Floats:
    """Return finite vectors as a float32 array of shape (n, d).

    Raises
    ------
    ValueError
        If the array is not two-dimensional, or holds NaN or infinity.
    """
    rows = np.asarray(vectors, dtype=np.float32)
    if rows.size == 0:
        return rows.reshape(0, rows.shape[1] if rows.ndim == 2 else 0)
    if rows.ndim != 2:
        raise ValueError(f"{name}: expected an array of shape (n, d), got shape {rows.shape}")
    if not np.isfinite(rows).all():
        bad = int((~np.isfinite(rows)).any(axis=1).sum())
        raise ValueError(f"{name}: {bad} of {len(rows)} rows hold NaN or infinity; leave them out")
    return rows


def as_groups(groups: Groups, n: int, name: str) -> Ints:
    """Return integer groups 0..g-1 of ``n`` rows in the order in which they begin; ``None``: every row its own group.

    So is a row whose group is missing: None or NaN among the others.

    Raises
    ------
    ValueError
        If there are not exactly ``n`` groups.
    """
    if groups is None:
        return np.arange(n, dtype=np.int64)
    # In an array of strings NaN would be a name like others.
    given = np.asarray(groups, dtype=None if hasattr(groups, "dtype") else object)
    if given.shape != (n,):
        raise ValueError(f"{name}: expected {n} groups, one a row, got shape {given.shape}")
    if given.dtype.kind in "Of":
        import pandas as pd

        lone = pd.isna(given)
        given = np.array([f"\0{row}" if lone[row] else str(group) for row, group in enumerate(given.tolist())])
    _names, first, inverse = np.unique(given, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def check_same_width(first: Floats, second: Floats) -> None:
    """Raise ValueError when two non-empty windows hold vectors of different width."""
    if len(first) and len(second) and first.shape[1] != second.shape[1]:
        raise ValueError(
            f"vectors of {first.shape[1]} and of {second.shape[1]} dimensions cannot be compared; "
            "embed both windows with the same model"
        )


def nearest(rows: Floats, centres: Floats) -> tuple[Ints, Floats]:
    """Return the nearest centre of each row and the squared distance to it, in blocks of rows.

    ``rows`` (n, d) and ``centres`` (k, d) give (n,) and (n,).
    """
    index = np.empty(len(rows), dtype=np.int64)
    squared = np.empty(len(rows), dtype=np.float32)
    norms = np.einsum("ij,ij->i", centres, centres)
    for start in range(0, len(rows), 8192):
        block = rows[start : start + 8192]
        partial = block @ centres.T
        partial *= -2.0
        partial += norms
        found = partial.argmin(axis=1)
        index[start : start + 8192] = found
        least = partial[np.arange(len(block)), found] + np.einsum("ij,ij->i", block, block)
        squared[start : start + 8192] = np.maximum(least, 0.0)
    return index, squared
