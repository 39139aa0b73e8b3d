"""Whether answers and documents are about the question, and how much of the documents an answer uses."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analysis.analyzer import Batch, Context
from analysis.evaluation import evaluation
from analysis.metrics import relevance, utilisation
from analysis.vectors import vectors_by_hash
from undertow.store import answer_reads

_BATCH = 2000
_EVALUATOR = "embedding-relevance"
_OVERLAP = "word-overlap"
Row = dict[str, Any]
Parsed = dict[str, tuple[utilisation.Sentence, ...]]


class Retrieval:
    """`answer_relevance`, `context_relevance` and `context_utilisation` of each answer and each of its documents."""

    name = "retrieval"
    version = "1"
    requires = ("embed",)

    def run(self, context: Context) -> Iterator[Batch]:
        """Judge the new answers."""
        answers = context.store.query(answer_reads.RETRIEVALS, context.scope)
        if answers.num_rows == 0:
            return
        parsed: Parsed = {}
        for start in range(0, answers.num_rows, _BATCH):
            context.report(start, answers.num_rows, "answers")
            part = answers.slice(start, _BATCH).to_pylist()
            rows = [*_relevance_rows(context, part), *_utilisation_rows(context, part, parsed)]
            yield Batch({"evaluations": pa.Table.from_pylist(rows)}, rows=len(part))


def _relevance_rows(context: Context, calls: list[Row]) -> Iterator[Row]:
    model = context.embedder.name
    questions = vectors_by_hash(context, "prompt", (call["prompt_text_hash"] for call in calls))
    responses = vectors_by_hash(context, "response", (call["response_text_hash"] for call in calls))
    documents = vectors_by_hash(context, "document", (key for call in calls for key in call["content_hashes"] or ()))
    for call in calls:
        judged = partial(
            evaluation,
            context,
            evaluator=_EVALUATOR,
            version=relevance.VERSION,
            calibration_set=relevance.CALIBRATION_SET,
        )
        reason = relevance.why_not(model, call["language"])
        question = questions.get(call["prompt_text_hash"])
        if reason or question is None:
            for name in ("answer_relevance", "context_relevance"):
                yield judged(
                    call["interaction_id"],
                    name,
                    value=None,
                    label="not_evaluated",
                    explanation=reason or "the call has no question",
                )
            continue
        value = _one("answer", question, responses.get(call["response_text_hash"]))
        said = "not_evaluated" if value is None else relevance.answer_label(value, call["response"])
        yield judged(call["interaction_id"], "answer_relevance", value=value, label=said)
        given = [_one("context", question, documents.get(key)) for key in call["content_hashes"] or ()]
        yield _context(call, given, judged)
        for row_id, share in zip(call["document_row_ids"] or (), given, strict=True):
            yield judged(row_id, "context_relevance", value=share, label=_label(share), target_kind="document")


def _context(call: Row, given: list[float | None], judged: Any) -> Row:
    known = [value for value in given if value is not None]
    if not known:
        why = "no documents were given"
        row: Row = judged(
            call["interaction_id"], "context_relevance", value=None, label="not_evaluated", explanation=why
        )
        return row
    relevant = sum(value >= relevance.RELEVANT for value in known)
    said = (
        f"{relevant} of {len(known)} documents are about the question; the closest with probability {max(known):.2f}."
    )
    row = judged(
        call["interaction_id"],
        "context_relevance",
        value=float(np.mean(known)),
        label=relevance.label(max(known)),
        explanation=said,
    )
    return row


def _one(kind: str, question: npt.NDArray[np.float32], text: npt.NDArray[np.float32] | None) -> float | None:
    return None if text is None else float(relevance.relevance(kind, question[None], text[None])[0])


def _label(value: float | None) -> str:
    return "not_evaluated" if value is None else relevance.label(value)


def _utilisation_rows(context: Context, calls: list[Row], parsed: Parsed) -> Iterator[Row]:
    judged = partial(evaluation, context, name="context_utilisation", evaluator=_OVERLAP, version=utilisation.VERSION)
    shares: dict[tuple[str, str], tuple[int, int]] = {}
    for call in calls:
        texts = dict(zip(call["content_hashes"] or (), call["contents"] or (), strict=True))
        if not texts:
            why = "no documents were given"
            yield judged(call["interaction_id"], value=None, label="not_evaluated", explanation=why)
            continue
        said = call["response_text_hash"]
        for key, text in ((said, call["response"]), *texts.items()):
            if key not in parsed:
                parsed[key] = utilisation.read(text)
        for key in texts:
            if (key, said) not in shares:
                shares[key, said] = utilisation.used_share(parsed[key], parsed[said])
        found = [shares[key, said] for key in call["content_hashes"]]
        for row_id, (used, whole) in zip(call["document_row_ids"], found, strict=True):
            yield judged(
                row_id, value=used / whole if whole else 0.0, label="used" if used else "unused", target_kind="document"
            )
        yield _whole_context(call, found, judged)


def _whole_context(call: Row, found: list[tuple[int, int]], judged: Any) -> Row:
    used, whole = sum(part[0] for part in found), sum(part[1] for part in found)
    documents = sum(1 for part in found if part[0])
    row: Row = judged(
        call["interaction_id"],
        value=used / whole if whole else 0.0,
        label="used" if used else "unused",
        explanation=f"Words of {documents} of {len(found)} documents are in the answer.",
    )
    return row
