"""Offensive wording: insults, obscenities, slurs. It judges words, not what is meant by them.

A linear head over words, learned by others from comments and short messages that people had labelled; the names of
groups of people were taken out of it, so that naming a group weighs nothing. `docs/models/safety.md` has its source,
its figures and its bias on identity sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import numpy as np

from analysis.safety.base import CLEAR, NOT_EVALUATED, NOTHING, Field, Finding, Given, Span, merged
from analysis.safety.hashed import WORD, HashedWords
from undertow.text import detect_language

_WINDOW = 100
"""Words judged at a time: an insult in a long answer would drown in the rest."""


class OffensiveLanguage:
    """Offensive words in English texts; elsewhere `not_evaluated`."""

    name = "offensive_language"
    fields: tuple[Field, ...] = ("response", "prompt")

    def __init__(self) -> None:
        body = _weights()
        self.version = f"1-{body['digest']}"
        self.threshold = float(body["threshold"])
        self._words = HashedWords(body["hashes"], body["idf"], body["weights"])
        self._intercept, self._slope, self._shift = (float(body[key]) for key in ("intercept", "slope", "shift"))

    def score(self, text: str, given: Given = NOTHING) -> Finding:
        """Judge the worst 100 words of a text."""
        language = given.language or detect_language(text)
        if language not in (None, "en"):
            reason = f"The detector was made for English; this is {language}."
            return Finding(self._probability(0.0), NOT_EVALUATED, (), self.threshold, reason)
        best, spans = max(((self._value(part), part) for part in _windows(text)), default=(0.0, []))
        if best < self.threshold:
            return Finding(best, CLEAR, (), self.threshold)
        heavy = [(start, end) for word, (start, end) in spans if self._words.weight(word) > 0]
        return Finding(best, "offensive wording", merged(heavy), self.threshold)

    def _value(self, part: list[tuple[str, Span]]) -> float:
        """Return a value below the threshold where no word is offensive by itself: many mild ones are no insult."""
        words = [word for word, _ in part]
        value = self._probability(self._words.logit(words))
        if max((self._words.weight(word) for word in words), default=0.0) < _STRONG:
            return min(value, 0.99 * self.threshold)
        return value

    def _probability(self, logit: float) -> float:
        return float(1 / (1 + np.exp(-(self._slope * (logit + self._intercept) + self._shift))))


_STRONG = 2.5
"""Weight of a word from which it is offensive by itself: 63 in 10,000 words of the vocabulary."""


def _windows(text: str) -> Iterator[list[tuple[str, Span]]]:
    words = [(match.group().lower(), match.span()) for match in WORD.finditer(text)]
    for start in range(0, len(words), _WINDOW):
        yield words[start : start + _WINDOW]


@cache
def _weights() -> dict[str, np.ndarray]:
    with (files("analysis.safety") / "weights" / "offensive.npz").open("rb") as file:
        return dict(np.load(file, allow_pickle=False))
