"""How badly one interaction needs a human's eye, and why, in sentences.

Pure rules: each judgement that fires gives a weight and a sentence. Weights combine as independent chances of being
worth a look, ``1 - prod(1 - weight)``, so a second reason always raises severity and it never passes 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

OPEN_AT = 0.3
"""Severity from which an interaction belongs into the queue: any rule alone that is more than a hint."""


@dataclass(frozen=True, slots=True)
class Judgements:
    """What is known about one interaction; None or 0 where nothing is.

    Attributes
    ----------
    risk, risk_threshold
        Groundedness risk in [0, 1] and the threshold of its scorer.
    unsupported_claims, claims
        Counts of claims.
    feedback_value
        Mean of the users' signals in [-1, 1].
    feedback_n
        Number of signals.
    comment
        Whether a user wrote a comment with a negative signal.
    error
        Type or message of an error.
    truncated, refused
        Whether the answer was cut off by the token limit; whether it refuses.
    repeated_tool_calls
        Most times that the trace makes one tool call, by name and arguments.
    unsafe
        What the safety detectors found: name, label that begins with the place, and a sentence with rule, value and
        threshold.
    """

    risk: float | None = None
    risk_threshold: float | None = None
    unsupported_claims: int = 0
    claims: int = 0
    feedback_value: float | None = None
    feedback_n: int = 0
    comment: bool = False
    error: str = ""
    truncated: bool = False
    refused: bool = False
    repeated_tool_calls: int = 0
    unsafe: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Severity:
    """The verdict of the rules.

    Attributes
    ----------
    value
        In [0, 1]; 0 when nothing fired.
    reasons
        One sentence per rule that fired, the heaviest first.
    """

    value: float
    reasons: tuple[str, ...]

    @property
    def opens(self) -> bool:
        """Whether it is enough for the review queue."""
        return self.value >= OPEN_AT


Finding = tuple[float, str]


def judge(judgements: Judgements) -> Severity:
    """Return severity and reasons of one interaction."""
    found = [finding for rule in RULES if (finding := rule(judgements)) is not None]
    found += [_unsafe(name, label, sentence) for name, label, sentence in judgements.unsafe]
    found = list({sentence: (weight, sentence) for weight, sentence in sorted(found)}.values())
    found.sort(key=lambda finding: -finding[0])
    calm = 1.0
    for weight, _ in found:
        calm *= 1 - weight
    return Severity(round(1 - calm, 4), tuple(sentence for _, sentence in found))


def _ungrounded(j: Judgements) -> Finding | None:
    if j.risk is None or j.risk_threshold is None or j.risk < j.risk_threshold:
        return None
    beyond = (j.risk - j.risk_threshold) / max(1 - j.risk_threshold, 1e-9)
    claims = f"{j.unsupported_claims} of {j.claims} claims are in no document; " if j.unsupported_claims else ""
    return (
        0.4 + 0.4 * beyond,
        f"Possibly ungrounded: {claims}risk {j.risk:.2f}, threshold {j.risk_threshold:.2f}.",
    )


def _unsupported_claim(j: Judgements) -> Finding | None:
    """Name single claims where the response as a whole stays below its threshold: a hint, not a flag."""
    below = j.risk is None or j.risk_threshold is None or j.risk < j.risk_threshold
    if not below or not j.unsupported_claims:
        return None
    return 0.15, f"{j.unsupported_claims} of {j.claims} claims are in no document, though the overall risk is low."


def _negative_feedback(j: Judgements) -> Finding | None:
    if j.feedback_value is None or j.feedback_value >= 0 or j.feedback_n < 1:
        return None
    signals = "1 signal" if j.feedback_n == 1 else f"{j.feedback_n} signals"
    comment = ", with a comment" if j.comment else ""
    return 0.35 - 0.2 * max(j.feedback_value, -1.0) + 0.1 * j.comment, (
        f"Negative user feedback: {signals}{comment}; mean {j.feedback_value:+.2f}, flagged below 0."
    )


def _failed(j: Judgements) -> Finding | None:
    return (0.4, f"The call failed: {j.error.strip()[:200]}.") if j.error.strip() else None


def _truncated(j: Judgements) -> Finding | None:
    return (0.2, "The answer was cut off by the token limit.") if j.truncated else None


def _refused(j: Judgements) -> Finding | None:
    return (0.15, "The answer refuses or says that it does not know.") if j.refused else None


def _looping(j: Judgements) -> Finding | None:
    if j.repeated_tool_calls < _LOOP:
        return None
    weight = min(0.35 + 0.05 * (j.repeated_tool_calls - _LOOP), 0.7)
    return weight, (f"The agent made the same tool call {j.repeated_tool_calls} times; flagged from {_LOOP} on.")


def _unsafe(name: str, label: str, sentence: str) -> Finding:
    """What somebody asks weighs less than what the model says: people may write their own address and swear."""
    weight = SAFETY_WEIGHTS.get(name, _USUAL_WEIGHT)
    return (_HINT if name in _OWN_WORDS and label.startswith("prompt:") else weight), sentence


SAFETY_WEIGHTS: Mapping[str, float] = {
    "system_prompt_leakage": 0.8,
    "unsafe_tool_call": 0.8,
    "context_access": 0.8,
    "document_injection": 0.7,
    "personal_data": 0.5,
    "prompt_injection": 0.5,
    "policy": 0.5,
    "offensive_language": 0.5,
}
_USUAL_WEIGHT, _HINT = 0.5, 0.15
_OWN_WORDS = ("personal_data", "offensive_language")
_LOOP = 3
RULES: Sequence[Callable[[Judgements], Finding | None]] = (
    _ungrounded,
    _unsupported_claim,
    _negative_feedback,
    _failed,
    _truncated,
    _refused,
    _looping,
)
