"""A head over hashed n-grams and a sentence embedding, as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_WORDS, _LETTERS = 2**15, 2**16


@cache
def _vectorisers() -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import HashingVectorizer

    common: dict[str, Any] = {"alternate_sign": False, "norm": None}
    words: dict[str, Any] = {"ngram_range": (1, 2), "n_features": _WORDS, "token_pattern": r"(?u)\b\w+\b"}
    return (
        HashingVectorizer(**words, **common),
        HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), n_features=_LETTERS, **common),
    )


def hashed_counts(texts: Sequence[str]) -> Any:
    """Return the (n, 98304) sparse counts of hashed words, word pairs and runs of 3 to 5 letters."""
    from scipy import sparse

    return sparse.hstack([vectoriser.transform(texts) for vectoriser in _vectorisers()]).tocsr()


@dataclass(frozen=True)
class TextHead:
    """Log odds from n-grams, from meaning and from rules, added up and calibrated.

    Attributes
    ----------
    idf, weights
        (98304,) inverse document frequency of a bucket, and its weight over unit vectors of (1 + log count) * idf.
    direction
        (d,) weights over the unit embedding.
    intercept
        Of n-grams and embedding together.
    bonus
        Log odds that a rule adds when one fires.
    slope, shift
        Platt scaling of the sum (Platt 1999).
    threshold
        Probability from which a text counts as found.
    model
        Name of the embedder whose vectors the head reads.
    digest
        Of all numbers; part of the version.
    """

    idf: Floats
    weights: Floats
    direction: Floats
    intercept: float
    bonus: float
    slope: float
    shift: float
    threshold: float
    model: str
    digest: str = ""

    def ngrams(self, texts: Sequence[str]) -> Floats:
        """Return the (n,) log odds from hashed n-grams."""
        return self.of_counts(hashed_counts(texts))

    def of_counts(self, counts: Any) -> Floats:
        """Return the (n,) log odds from what `hashed_counts` gives."""
        values = counts.astype(np.float64)
        values.data = (1 + np.log(values.data)) * np.asarray(self.idf, np.float64)[values.indices]
        norms = np.sqrt(np.asarray(values.multiply(values).sum(axis=1)).ravel())
        logits: Floats = (values @ np.asarray(self.weights, np.float64)) / np.maximum(norms, 1e-12)
        return logits

    def probability(self, ngrams: Floats, vectors: NDArray[np.floating[Any]], ruled: NDArray[np.bool_]) -> Floats:
        """Return (n,) calibrated probabilities from n-gram log odds, (n, d) unit vectors, and whether a rule fired."""
        logit = ngrams + vectors @ self.direction + self.intercept + self.bonus * ruled
        found: Floats = 0.5 * (1 + np.tanh((self.slope * logit + self.shift) / 2))
        return found

    def save(self, path: Path) -> None:
        """Write an npz without pickles, weights in half precision."""
        np.savez_compressed(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, body: Mapping[str, Any]) -> TextHead:
        """Read what `save` wrote."""
        idf, weights, direction = (np.asarray(body[key], np.float64) for key in ("idf", "weights", "direction"))
        intercept, bonus, slope, shift, threshold = (
            float(body[key]) for key in ("intercept", "bonus", "slope", "shift", "threshold")
        )
        return cls(
            *(idf, weights, direction),
            *(intercept, bonus, slope, shift, threshold),
            model=str(body["model"]),
            digest=str(body["digest"]),
        )
