"""What every scorer of groundedness takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

Verdict = Literal["supported", "unsupported", "contradicted", "not_a_claim"]
Status = Literal["evaluated", "not_evaluated"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A passage of a document.

    Attributes
    ----------
    start, end
        Character offsets into the document.
    text
        ``document[start:end]``.
    """

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence of a response and what the documents say to it.

    Attributes
    ----------
    start, end
        Character offsets; ``response[start:end] == text``.
    text
        The sentence, without the list marker before it.
    support
        Probability in [0, 1] that the documents support it; None where it is no claim.
    verdict
        `supported`, `unsupported`, `contradicted` or `not_a_claim`.
    document
        Index of the document with the closest passage, or None where no document shares a word with it.
    evidence
        The closest passage, or None. Closest does not mean that it supports the claim.
    """

    start: int
    end: int
    text: str
    support: float | None
    verdict: Verdict
    document: int | None
    evidence: Evidence | None


@dataclass(frozen=True, slots=True)
class Groundedness:
    """One judgement of one response.

    Attributes
    ----------
    risk
        Calibrated probability in [0, 1] that the response holds something that its documents do not support;
        None when not evaluated.
    threshold
        The response counts as ungrounded at ``risk >= threshold``; it belongs to the prior in use.
    claims
        Its sentences in order.
    scorer, version
        Who judged.
    status, reason
        `evaluated`, or `not_evaluated` and why.
    calibrated_on
        The judgements that probability and threshold were learned from; empty where they were not learned.
    uncalibrated
        The risk as the scorer gave it, where human verdicts have recalibrated `risk`; else None.
    """

    risk: float | None
    threshold: float
    claims: tuple[Claim, ...]
    scorer: str
    version: str
    status: Status = "evaluated"
    reason: str = ""
    calibrated_on: str = ""
    uncalibrated: float | None = None

    @property
    def ungrounded(self) -> bool:
        """Whether the risk reaches the threshold; False when not evaluated."""
        return self.risk is not None and self.risk >= self.threshold


@runtime_checkable
class Scorer(Protocol):
    """Compares a response with the documents that it was given."""

    @property
    def name(self) -> str:
        """Name of the scorer."""
        ...

    @property
    def version(self) -> str:
        """Version of its weights; changes whenever results may change."""
        ...

    def score(self, response: str, documents: Sequence[str], query: str | None = None) -> Groundedness:
        """Judge one response; never raises for what a text contains."""
        ...


Answer = tuple[str, Sequence[str], str | None]
"""A response, its documents and its question."""


@runtime_checkable
class ManyScorer(Protocol):
    """A scorer that can work on several responses at the same time."""

    def score_many(self, answers: Sequence[Answer]) -> list[Groundedness]:
        """Judge responses; the results are in their order and the same as one by one."""
        ...


def score_all(scorer: Scorer, answers: Sequence[Answer]) -> list[Groundedness]:
    """Judge responses, together where the scorer can."""
    if isinstance(scorer, ManyScorer):
        return scorer.score_many(answers)
    return [scorer.score(*answer) for answer in answers]
