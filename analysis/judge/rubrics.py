"""Grades of answers by rubrics that the user writes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.judge.client import Judge, Question
from undertow.settings.analysis import Rubric

PROMPT_VERSION = "1"
_REASON_CHARS = 400

INSTRUCTIONS: Mapping[str, str] = {
    "relevance": (
        "How well does the answer address the question? The highest grade: it answers exactly what was asked. The"
        " lowest: it is about something else, or evades a question that it could answer."
    ),
    "coherence": (
        "Is the answer clear, well ordered and free of contradictions with itself? The highest grade: easy to follow"
        " and consistent. The lowest: it cannot be understood or contradicts itself."
    ),
}
"""Rubrics that need no instruction of the user's."""

_TASK = """\
You grade an answer that an assistant gave, by one rubric and by nothing else. "question" is what was asked, "answer" is
what is graded, "instructions" is what the assistant was told to do, "documents" is what it could read.

Rubric: {instruction}

Grades run from {low} to {high}; {high} means most of what the rubric asks about."""
_FORM = '{{"grade": number from {low} to {high}, "reason": "one sentence"}}'


@dataclass(frozen=True, slots=True)
class Grade:
    """One grade on the rubric's scale, and why."""

    value: float
    reason: str


def instruction_of(name: str, rubric: Rubric) -> str:
    """Return the user's instruction, or the one that comes with the name."""
    return rubric.instruction.strip() or INSTRUCTIONS[name]


def rubric_version(name: str, rubric: Rubric) -> str:
    """Return the version of wording and scale; thresholds and samples do not change a grade."""
    parts = json.dumps([instruction_of(name, rubric), list(rubric.scale)])
    return f"{PROMPT_VERSION}-{hashlib.sha256(parts.encode()).hexdigest()[:8]}"


def passes(rubric: Rubric, value: float) -> bool:
    """Whether a grade is good enough."""
    return value >= rubric.threshold if rubric.direction == "higher_is_better" else value <= rubric.threshold


def drawn(name: str, rubric: Rubric, interaction_id: str) -> bool:
    """Whether an interaction belongs to the rubric's sample: the same ones each time."""
    digest = hashlib.sha256(f"{name}:{interaction_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < rubric.sample * 2**64


def grade(  # noqa: PLR0913, PLR0917 - one argument a part of the material
    judge: Judge,
    name: str,
    rubric: Rubric,
    question: str,
    answer: str,
    instructions: str = "",
    documents: Sequence[str] = (),
) -> Grade:
    """Ask for one grade.

    Raises
    ------
    NotJudged
        As in `Judge.ask`.
    """
    low, high = rubric.scale
    schema = {
        "type": "object",
        "properties": {"grade": {"type": "number"}, "reason": {"type": "string"}},
        "required": ["grade", "reason"],
        "additionalProperties": False,
    }
    task = _TASK.format(instruction=instruction_of(name, rubric), low=low, high=high)
    material = {
        "question": question,
        "instructions": instructions,
        "documents": list(documents),
        "answer": answer,
    }
    asked = Question(
        name,
        rubric_version(name, rubric),
        task,
        _FORM.format(low=low, high=high),
        schema,
        material,
        lambda value: checked(value, low, high),
    )
    return judge.ask(asked)


def checked(value: Any, low: float, high: float) -> Grade:
    """Return the grade that was given.

    Raises
    ------
    ValueError
        It lies outside the scale or is no number; the message quotes no text.
    """
    given = value.get("grade") if isinstance(value, dict) else None
    if isinstance(given, bool) or not isinstance(given, int | float) or not low <= given <= high:
        raise ValueError(f"'grade' must be a number from {low} to {high}")
    return Grade(float(given), str(value.get("reason") or "")[:_REASON_CHARS])
