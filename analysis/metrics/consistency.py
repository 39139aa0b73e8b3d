"""How far answers to the same question, from the same documents, agree with one another.

Two answers disagree where they give different numbers for the same thing, else by how far their embeddings lie apart
beyond what rewording explains.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.groundedness.tokens import STOPWORDS, plain_number

Floats = NDArray[np.float64]

VERSION = "1"
REWORDING = 0.15
"""Cosine distance that three quarters of the pairs of grounded answers to one question stay below (RAGTruth QA,
training split, 684 pairs of different models)."""
CALIBRATION_SET = "RAGTruth QA, training split: 684 pairs of grounded answers to the same question"
INCONSISTENT_BELOW = 0.5
_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['’-][^\W\d_]+)*|[%€$£]")
_REACH = 4
_SHARED = 2


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers of a text with the words around each.

    Attributes
    ----------
    around
        (number, words within four tokens of it), in order; numbers in the form of `plain_number`.
    """

    around: tuple[tuple[str, frozenset[str]], ...]

    @property
    def numbers(self) -> frozenset[str]:
        """The numbers alone."""
        return frozenset(number for number, _ in self.around)


def read_figures(text: str) -> Figures:
    """Return the numbers of a text."""
    tokens = [match.group().lower() for match in _TOKEN.finditer(text)]
    words = [token if not token[0].isdigit() and token not in STOPWORDS else "" for token in tokens]
    found = []
    for i, token in enumerate(tokens):
        if token[0].isdigit():
            near = words[max(i - _REACH, 0) : i + _REACH + 1]
            found.append((plain_number(token), frozenset(word for word in near if word)))
    return Figures(tuple(found))


def contradiction(one: Figures, other: Figures) -> tuple[str, str] | None:
    """Return a number of each text that the other lacks and that stand for the same thing, or None."""
    here = [(n, near) for n, near in one.around if n not in other.numbers]
    there = [(n, near) for n, near in other.around if n not in one.numbers]
    for number, near in here:
        for counterpart, around in there:
            if len(near & around) >= _SHARED:
                return number, counterpart
    return None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How one answer agrees with the others of its group.

    Attributes
    ----------
    value
        In [0, 1]; 1 where all others say the same.
    against
        A number of this answer and the one that another has in its place, or None.
    """

    value: float
    against: tuple[str, str] | None

    @property
    def consistent(self) -> bool:
        """Whether it agrees with at least half of the others."""
        return self.value >= INCONSISTENT_BELOW


def agreements(vectors: NDArray[np.float32], figures: Sequence[Figures], counts: Sequence[int]) -> list[Agreement]:
    """Compare the distinct answers of one group.

    Parameters
    ----------
    vectors
        (k, d) unit vectors of the k distinct answers; a NaN row counts as no farther than rewording.
    figures
        Their numbers.
    counts
        How often each was given; together at least two.

    Returns
    -------
    list of Agreement
        One per distinct answer, over all other answers of the group, repetitions included.
    """
    matrix = vectors.astype(np.float64)
    distance = np.nan_to_num(1 - matrix @ matrix.T, nan=0.0)
    apart = np.clip((distance - REWORDING) / (1 - REWORDING), 0, 1)
    np.fill_diagonal(apart, 0)
    found: list[tuple[str, str] | None] = [None] * len(figures)
    for i, one in enumerate(figures):
        for j in range(i):
            clash = contradiction(one, figures[j])
            if clash:
                apart[i, j] = apart[j, i] = 1.0
                found[i], found[j] = found[i] or clash, found[j] or (clash[1], clash[0])
    weights = np.asarray(counts, dtype=np.float64)
    mean = apart @ weights / (weights.sum() - 1)
    return [Agreement(float(1 - value), clash) for value, clash in zip(mean, found, strict=True)]
