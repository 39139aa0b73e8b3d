"""What every safety detector takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int]
Field = Literal["prompt", "response", "tool_calls", "document"]

CLEAR = "clear"
NOT_EVALUATED = "not_evaluated"


@dataclass(frozen=True, slots=True)
class Given:
    """What is known beside the text; everything may be missing.

    Attributes
    ----------
    vector, model
        Embedding of the whole text, shape (d,), and the name of the embedder that made it.
    language
        ISO 639-1 code of the text, where somebody has detected it already.
    system_prompt
        Instructions that the model had when it wrote the text.
    allowed
        Texts that an answer may repeat: its documents and its question.
    """

    vector: NDArray[np.float32] | None = None
    model: str = ""
    language: str | None = None
    system_prompt: str = ""
    allowed: Sequence[str] = ()


NOTHING = Given()


@dataclass(frozen=True, slots=True)
class Finding:
    """One judgement of one text. It never holds the text.

    Attributes
    ----------
    value
        In [0, 1]; the higher, the more certain.
    label
        `clear`, the kinds that were found, or `not_evaluated`: the value then says nothing about the text.
    spans
        Half-open character ranges of what was found, in order; empty where a model judged the text as a whole.
    threshold
        The text counts as found at ``value >= threshold``.
    reason
        Why a text was not evaluated.
    """

    value: float
    label: str
    spans: tuple[Span, ...]
    threshold: float
    reason: str = ""

    @property
    def found(self) -> bool:
        """Whether the value reaches the threshold in a text that was evaluated."""
        return self.label != NOT_EVALUATED and self.value >= self.threshold


@runtime_checkable
class Detector(Protocol):
    """Looks for one thing in one text."""

    @property
    def name(self) -> str:
        """Name of the detector, and of its evaluations."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever results may change."""
        ...

    @property
    def fields(self) -> tuple[Field, ...]:
        """Texts of an interaction that it is meant for."""
        ...

    def score(self, text: str, given: Given = NOTHING) -> Finding:
        """Judge one text; never raises for what a text contains."""
        ...


def merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Return ranges in order, those that overlap joined."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


def encodable(text: str) -> str:
    """Return a text of the same length that UTF-8 can hold: RE2 takes no lone surrogate."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
