"""Stored vectors of the configured model, by content hash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from analysis.analyzer import Context
from undertow.search import load_vectors

Vectors = Mapping[str, npt.NDArray[np.float32]]


def vectors_by_hash(
    context: Context, field: Literal["prompt", "response", "document"], hashes: Iterable[str | None]
) -> Vectors:
    """Return the vectors of texts, each (d,); texts without one are absent."""
    wanted = {key for key in hashes if key}
    found, matrix = load_vectors(context.store, field, context.embedder.name, among=wanted)
    return dict(zip(found.tolist(), matrix.astype(np.float32), strict=True))


def stacked(vectors: Vectors, hashes: Iterable[str]) -> npt.NDArray[np.float32]:
    """Return the (n, d) vectors of n texts, NaN where there is none."""
    nowhere = np.full(next(iter(vectors.values())).shape if vectors else (1,), np.nan, np.float32)
    return np.stack([vectors.get(key, nowhere) for key in hashes])
