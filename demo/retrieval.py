"""Retrieval over a knowledge base: TF-IDF of words and of letter groups, so that typos do no harm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion

from demo.knowledge import Passage
from undertow.text import sentences

_WEIGHTS = {"words": 1.0, "letters": 0.6}
_NORM = sum(weight**2 for weight in _WEIGHTS.values())


@dataclass(frozen=True)
class Hit:
    """One retrieved passage.

    Attributes
    ----------
    relevance : cosine similarity of question and passage, in [0, 1].
    sentences : its sentences with their similarity to the question, in order.
    """

    passage: Passage
    relevance: float
    sentences: tuple[tuple[str, float], ...]


class Retriever:
    """Ranks the passages of one knowledge base.

    Parameters
    ----------
    passages : what can be found.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = tuple(passages)
        self._sentences = [[p.text[start:end] for start, end in sentences(p.text)] for p in self.passages]
        self._vectorizer = FeatureUnion(
            [
                ("words", TfidfVectorizer(sublinear_tf=True, stop_words="english")),
                ("letters", TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)),
            ],
            transformer_weights=_WEIGHTS,
        )
        self._matrix = self._vectorizer.fit_transform([f"{p.title}. {p.keywords}. {p.text}" for p in self.passages])
        flat = [sentence for group in self._sentences for sentence in group]
        self._sentence_matrix = self._vectorizer.transform(flat)
        self._offsets = np.cumsum([0, *map(len, self._sentences)])

    def search(self, queries: Sequence[str], k: int = 3) -> list[tuple[Hit, ...]]:
        """Return the `k` best passages for each query, best first."""
        asked = self._vectorizer.transform(queries)
        similarity = (asked @ self._matrix.T).toarray() / _NORM
        by_sentence = (asked @ self._sentence_matrix.T).toarray() / _NORM
        best = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        return [
            tuple(self._hit(i, similarity[row, i], by_sentence[row]) for i in best[row]) for row in range(len(queries))
        ]

    def _hit(self, index: int, relevance: float, by_sentence: np.ndarray) -> Hit:
        scores = by_sentence[self._offsets[index] : self._offsets[index + 1]]
        rated = tuple((text, float(score)) for text, score in zip(self._sentences[index], scores, strict=True))
        return Hit(self.passages[index], round(float(relevance), 4), rated)
