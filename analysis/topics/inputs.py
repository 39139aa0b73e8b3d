"""What a topic model is given, as arrays and texts that fit each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from analysis.topics.geometry import FloatArray, unit_rows
from undertow.text import checked_texts


def checked_rows(X: ArrayLike, dimensions: int | None = None) -> FloatArray:
    """Return unit rows (n, d); no rows have any number of columns.

    Raises
    ------
    ValueError
        As `unit_rows`, and when there are not ``dimensions`` columns.
    """
    rows = unit_rows(X)
    if dimensions is None or rows.shape[1] == dimensions:
        return rows
    if not len(rows):
        return np.zeros((0, dimensions), dtype=np.float32)
    raise ValueError(f"X has {rows.shape[1]} columns, but the model was fitted on {dimensions}")


def checked_pair(X: ArrayLike, texts: Sequence[str], dimensions: int | None = None) -> tuple[FloatArray, list[str]]:
    """Return unit rows (n, d) and their n texts.

    Raises
    ------
    ValueError
        As `checked_rows`, and when the lengths differ.
    TypeError
        When a text is no string.
    """
    rows, said = checked_rows(X, dimensions), checked_texts(texts)
    if len(said) != len(rows):
        raise ValueError(f"X has {len(rows)} rows, but there are {len(said)} texts")
    return rows, said
