"""Attempts to take over the assistant: n-grams, meaning and rules, calibrated together."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np

from analysis.safety.base import CLEAR, NOT_EVALUATED, NOTHING, Field, Finding, Given, encodable, merged
from analysis.safety.injection_rules import InjectionRules, undisguised
from analysis.safety.text_head import TextHead
from undertow.embedding import Embedder, load_embedder
from undertow.text import detect_language

HEAD_CHARS, TAIL_CHARS = 3000, 1000
"""What the heads read of a long text: its beginning and its end. The rules read all of it."""


class PromptInjection:
    """The head of `scripts/train_prompt_injection.py` with the rules.

    Made for English. In another language a text is found where a rule fires; where none does, the label is
    `not_evaluated`, because the learned part then says nothing.

    Parameters
    ----------
    embedder
        Makes vectors of texts that come without one; by default the kernel's default model, at the first need.
    """

    name = "prompt_injection"
    fields: tuple[Field, ...] = ("prompt",)

    def __init__(self, embedder: Embedder | None = None) -> None:
        self._head = _weights()
        self.version = f"1-{self._head.digest}"
        self.threshold = self._head.threshold
        self.model = self._head.model
        self._rules = InjectionRules()
        self._embedder = embedder if embedder is not None and embedder.name == self.model else None

    def score(self, text: str, given: Given = NOTHING) -> Finding:
        """Judge one text. A given vector of the head's own model saves the embedding."""
        if not text.strip():
            return Finding(0.0, CLEAR, (), self.threshold)
        text = encodable(text)
        plain = undisguised(text)
        names, spans = self._rules.find(text, plain)
        ngrams = self._head.ngrams([_ends(plain)])
        value = float(self._head.probability(ngrams, self._vector(text, given), np.array([bool(names)]))[0])
        if value >= self.threshold and names:
            return Finding(value, ", ".join(names), merged(spans), self.threshold)
        language = given.language or detect_language(plain)
        if language not in (None, "en"):
            reason = f"The detector was made for English; this is {language}."
            return Finding(value, NOT_EVALUATED, (), self.threshold, reason)
        label = "learned pattern" if value >= self.threshold else CLEAR
        return Finding(value, label, (), self.threshold)

    def _vector(self, text: str, given: Given) -> np.ndarray:
        if given.vector is not None and given.model == self.model and len(text) <= HEAD_CHARS + TAIL_CHARS:
            return given.vector[None, :]
        if self._embedder is None:
            self._embedder = load_embedder(self.model)
        return self._embedder.encode([_ends(text)])


def _ends(text: str) -> str:
    whole = len(text) <= HEAD_CHARS + TAIL_CHARS
    return text if whole else f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"


@cache
def _weights() -> TextHead:
    with (files("analysis.safety") / "weights" / "prompt_injection.npz").open("rb") as file:
        return TextHead.load(np.load(file, allow_pickle=False))
