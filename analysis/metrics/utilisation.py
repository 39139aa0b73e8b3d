"""How much of the context an answer uses, and which documents, by the words that they share.

A sentence of a document is used where some sentence of the answer shares with it at least two content words and 70 % of
those of the shorter of the two (overlap coefficient, Szymkiewicz 1934). A heavy paraphrase is not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.groundedness.features import content_forms
from analysis.groundedness.tokens import tokenize
from undertow.text import sentences

VERSION = "1"
_FEWEST_SHARED = 2
_OVERLAP = 0.7


@dataclass(frozen=True, slots=True)
class Sentence:
    """Content words of a sentence, and its length in characters."""

    forms: frozenset[str]
    chars: int


def read(text: str) -> tuple[Sentence, ...]:
    """Return the sentences of a text that hold any content word."""
    found = (Sentence(frozenset(content_forms(tokenize(text[a:b]))), b - a) for a, b in sentences(text))
    return tuple(sentence for sentence in found if sentence.forms)


def used_share(document: Sequence[Sentence], answer: Sequence[Sentence]) -> tuple[int, int]:
    """Return how many characters of a document the answer uses, and how many it has.

    Parameters
    ----------
    document, answer
        As `read` gives them.
    """
    used = sum(sentence.chars for sentence in document if any(_from(sentence, said) for said in answer))
    return used, sum(sentence.chars for sentence in document)


def _from(sentence: Sentence, said: Sentence) -> bool:
    shared = len(sentence.forms & said.forms)
    return shared >= _FEWEST_SHARED and shared >= _OVERLAP * min(len(sentence.forms), len(said.forms))
