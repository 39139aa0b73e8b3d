"""Words of a text as hashes: a head over them needs no vocabulary, and gives none away."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import murmurhash3_32

Floats = NDArray[np.float64]
WORD = re.compile(r"\b\w\w+\b")


def hash_word(word: str) -> int:
    """Return the 32-bit MurmurHash3 of a word."""
    return int(murmurhash3_32(word, seed=0, positive=True))


class HashedWords:
    """Weights of words that are known by their hash alone.

    Parameters
    ----------
    hashes
        (n,) uint32, ascending.
    idf, weights
        (n,) inverse document frequency, and weight of a word in a linear head over unit TF-IDF vectors.
    """

    def __init__(self, hashes: NDArray[np.uint32], idf: Floats, weights: Floats) -> None:
        self._index = {int(value): row for row, value in enumerate(hashes)}
        self._idf, self._weights = idf.astype(np.float64), weights.astype(np.float64)
        self._row_of: dict[str, int] = {}

    def logit(self, words: Sequence[str]) -> float:
        """Return the sum of the weights of a text's unit TF-IDF vector; 0 where no word is known."""
        rows, counts = self._rows(words)
        if not len(rows):
            return 0.0
        values = counts * self._idf[rows]
        return float(values @ self._weights[rows] / np.linalg.norm(values))

    def weight(self, word: str) -> float:
        """Return the weight of one word, 0 where it is unknown."""
        row = self._row(word)
        return 0.0 if row < 0 else float(self._weights[row])

    def _rows(self, words: Sequence[str]) -> tuple[NDArray[np.intp], Floats]:
        pairs = [(row, count) for word, count in Counter(words).items() if (row := self._row(word)) >= 0]
        return np.array([row for row, _ in pairs], np.intp), np.array([count for _, count in pairs], np.float64)

    def _row(self, word: str) -> int:
        row = self._row_of.get(word)
        if row is None:
            row = self._index.get(hash_word(word), -1)
            if len(self._row_of) < _REMEMBERED:
                self._row_of[word] = row
        return row


_REMEMBERED = 100_000
