"""Whether the same question, with the same documents, is answered the same way each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.analyzer import Batch, Context
from analysis.evaluation import evaluation
from analysis.metrics import consistency
from analysis.vectors import Vectors, stacked, vectors_by_hash
from undertow.store import answer_reads

_SAME_QUESTION = 0.98
_MOST_ANSWERS = 200
_EVALUATOR = "answer-consistency"
Row = dict[str, Any]


class Consistency:
    """One row per answer: the share of the other answers to its question that say the same.

    The same question has the same text, or one at a cosine of at least 0.98 with the same documents; service, prompt
    version and documents are the same. Who was answered once is not evaluated.
    """

    name = "consistency"
    version = "1"
    requires = ("embed",)

    def run(self, context: Context) -> Iterator[Batch]:
        """Compare every group that a new answer joined."""
        answers = context.store.query(answer_reads.REPEATED_ANSWERS, context.scope)
        if answers.num_rows == 0:
            return
        calls = answers.to_pylist()
        questions = vectors_by_hash(context, "prompt", {call["prompt_text_hash"] for call in calls})
        responses = vectors_by_hash(context, "response", {call["response_text_hash"] for call in calls})
        figures: dict[str, consistency.Figures] = {}
        rows: list[Row] = []
        for _, bucket in groupby(calls, key=lambda call: call["bucket"]):
            for group in _same_question(list(bucket), questions):
                rows += _rows(context, group, responses, figures)
        yield Batch({"evaluations": pa.Table.from_pylist(rows)}, rows=len(calls))


def _same_question(calls: list[Row], vectors: Vectors) -> list[list[Row]]:
    """Split calls with the same documents into groups with the same question."""
    from scipy.sparse.csgraph import connected_components

    hashes = sorted({call["prompt_text_hash"] for call in calls})
    if len(hashes) == 1:
        return [calls]
    matrix = stacked(vectors, hashes)
    near = np.nan_to_num(matrix @ matrix.T, nan=-1.0) >= _SAME_QUESTION
    _, member = connected_components(near | np.eye(len(hashes), dtype=bool), directed=False)
    group_of = dict(zip(hashes, member.tolist(), strict=True))
    groups: dict[int, list[Row]] = {}
    for call in calls:
        groups.setdefault(group_of[call["prompt_text_hash"]], []).append(call)
    return list(groups.values())


def _rows(context: Context, group: list[Row], vectors: Vectors, figures: dict[str, consistency.Figures]) -> list[Row]:
    if len(group) == 1:
        return [_row(context, group[0], None, "not_evaluated", "The question was answered once.")]
    counts = Counter(call["response_text_hash"] for call in group)
    texts = {call["response_text_hash"]: call["response"] for call in group}
    # The rarest of very many distinct answers are left out: the work grows with their square.
    kept = [key for key, _ in counts.most_common(_MOST_ANSWERS)]
    for key in kept:
        if key not in figures:
            figures[key] = consistency.read_figures(texts[key])
    matrix = stacked(vectors, kept)
    found = consistency.agreements(matrix, [figures[key] for key in kept], [counts[key] for key in kept])
    by_answer = dict(zip(kept, found, strict=True))
    said = f"answered {len(group)} times in {len(counts)} different ways"
    return [_judged(context, call, by_answer.get(call["response_text_hash"]), said) for call in group]


def _judged(context: Context, call: Row, agreement: consistency.Agreement | None, said: str) -> Row:
    if agreement is None:
        return _row(context, call, None, "not_evaluated", f"The question was {said}, too many to compare.")
    clash = f"; it says {agreement.against[0]} where another says {agreement.against[1]}" if agreement.against else ""
    label = "consistent" if agreement.consistent else "inconsistent"
    return _row(context, call, agreement.value, label, f"The question was {said}{clash}.")


def _row(context: Context, call: Row, value: float | None, label: str, explanation: str) -> Row:
    return evaluation(
        context,
        call["interaction_id"],
        "consistency",
        value=value,
        label=label,
        explanation=explanation,
        evaluator=_EVALUATOR,
        version=consistency.VERSION,
        calibration_set=consistency.CALIBRATION_SET,
    )
