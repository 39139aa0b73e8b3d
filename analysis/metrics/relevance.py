"""Whether an answer, or a document, is about the question: a probability from the cosine of their embeddings.

The curves were learned on RAGTruth QA (Niu et al. 2024), training split, at even odds: what belongs to a question
against what belongs to one of its ten nearest other questions (two thirds) or to any other (one third). They hold for
one embedding model, and for English. They tell whether the subject is the same, not whether an answer is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

VERSION = "2"
MODEL = "all-MiniLM-L6-v2/onnx/int8.1"
CALIBRATION_SET = "RAGTruth QA, training split, 330 questions, against similar questions"
RELEVANT, IRRELEVANT = 0.5, 0.1
FEWEST_WORDS = 15
"""98 % of the answers that the curve was learned on are longer; a shorter one may answer without naming the subject."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A logistic curve over a cosine: ``sigmoid(slope * cosine + intercept)``."""

    slope: float
    intercept: float

    def __call__(self, cosine: Floats) -> Floats:
        """Return the (n,) probabilities of (n,) cosines."""
        return np.asarray(0.5 * (1 + np.tanh((self.slope * cosine + self.intercept) / 2)), dtype=np.float64)


CURVES: Mapping[str, Curve] = {"answer": Curve(12.67, -6.43), "context": Curve(15.78, -6.43)}


def relevance(kind: str, questions: NDArray[np.float32], texts: NDArray[np.float32]) -> Floats:
    """Return the probability that each text is about its question.

    Parameters
    ----------
    kind
        `answer` or `context`.
    questions, texts
        (n, d) unit vectors of `MODEL`, row by row; NaN where there is none.

    Returns
    -------
    numpy.ndarray
        (n,), NaN where a vector is missing.
    """
    return CURVES[kind](np.einsum("ij,ij->i", questions.astype(np.float64), texts.astype(np.float64)))


def label(probability: float) -> str:
    """Return `relevant`, `irrelevant`, or `unclear` between: an answer that repeats no word of its question is near."""
    if probability >= RELEVANT:
        return "relevant"
    return "irrelevant" if probability < IRRELEVANT else "unclear"


def answer_label(probability: float, answer: str) -> str:
    """Return `label`, but never `irrelevant` for an answer below `FEWEST_WORDS`: "Yes, until noon" repeats nothing."""
    found = label(probability)
    return "unclear" if found == "irrelevant" and len(answer.split()) < FEWEST_WORDS else found


def why_not(model: str, language: str | None) -> str:
    """Return why nothing can be said, or an empty string."""
    if model != MODEL:
        return f"relevance was calibrated for the embeddings of {MODEL}, and these are of {model}"
    if language not in (None, "en"):
        return f"the text is in another language ({language}), and relevance was calibrated for English"
    return ""
