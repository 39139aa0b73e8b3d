"""Whether each answer is supported by the documents it was given."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pyarrow as pa

from analysis.analyzer import Batch, Context
from analysis.groundedness.base import Claim, Groundedness, Scorer, score_all
from analysis.scoring import configured_scorer
from undertow.store import answer_reads

_BATCH = 2000


class GroundednessAnalyzer:
    """One judgement and its claims per answer; equal answers to equal documents are judged once."""

    name = "groundedness"
    version = "1"
    requires: tuple[str, ...] = ()

    def run(self, context: Context) -> Iterator[Batch]:
        """Score the new answers."""
        answers = context.store.query(answer_reads.ANSWERS_WITH_DOCUMENTS, context.scope)
        if answers.num_rows == 0:
            return
        scorer = configured_scorer(context.store, context.settings)
        judged: dict[tuple[str, tuple[str, ...]], Groundedness] = {}
        for start in range(0, answers.num_rows, _BATCH):
            context.report(start, answers.num_rows, "answers")
            part = answers.slice(start, _BATCH)
            yield _batch(part, scorer, judged, context)


def _batch(
    answers: pa.Table, scorer: Scorer, judged: dict[tuple[str, tuple[str, ...]], Groundedness], context: Context
) -> Batch:
    evaluations: list[dict[str, Any]] = []
    claims: list[dict[str, Any]] = []
    rows = {_key(row): row for row in answers.to_pylist()}
    new = {
        key: (row["response"], row["contents"] or (), row["prompt"]) for key, row in rows.items() if key not in judged
    }
    judged.update(zip(new, score_all(scorer, list(new.values())), strict=True))
    for row in answers.to_pylist():
        result = judged[_key(row)]
        evaluations.append(_evaluation(row, result, context))
        claims += _claims(row, result, context.run_id)
    tables = {"evaluations": pa.Table.from_pylist(evaluations)}
    if claims:
        tables["claims"] = pa.Table.from_pylist(claims)
    return Batch(tables, delete={"claims": answers.select(["interaction_id"])}, rows=answers.num_rows)


def _key(row: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    return row["response_text_hash"], tuple(row["content_hashes"] or ())


def _evaluation(row: dict[str, Any], result: Groundedness, context: Context) -> dict[str, Any]:
    return {
        "evaluation_id": hashlib.sha256(f"{row['interaction_id']}:groundedness".encode()).hexdigest()[:32],
        "target_kind": "interaction",
        "target_id": row["interaction_id"],
        "name": "groundedness",
        "value": None if result.risk is None else 1 - result.risk,
        "label": _label(result),
        "explanation": _explanation(result),
        "direction": "higher_is_better",
        "evaluator": result.scorer,
        "evaluator_version": result.version,
        "run_id": context.run_id,
        "created_at": context.now,
        "uncalibrated": None if result.uncalibrated is None else 1 - result.uncalibrated,
        "calibration_set": result.calibrated_on or None,
    }


def _label(result: Groundedness) -> str:
    if result.status == "not_evaluated":
        return "not_evaluated"
    return "ungrounded" if result.ungrounded else "grounded"


def _explanation(result: Groundedness) -> str:
    if result.status == "not_evaluated":
        return result.reason
    claims = [claim for claim in result.claims if claim.verdict != "not_a_claim"]
    without = sum(claim.verdict != "supported" for claim in claims)
    if not claims:
        return "The answer makes no claim."
    return (
        f"{without} of {len(claims)} claims without support in the documents;"
        f" probability of a hallucination {result.risk:.2f}, threshold {result.threshold:.2f}."
    )


def _claims(row: dict[str, Any], result: Groundedness, run_id: str) -> list[dict[str, Any]]:
    ids: Sequence[str] = row["document_row_ids"] or ()
    return [
        {
            "claim_id": f"{row['interaction_id']}:{number}",
            "interaction_id": row["interaction_id"],
            "start_char": claim.start,
            "end_char": claim.end,
            "text": claim.text,
            "support": claim.support,
            "verdict": claim.verdict,
            "document_row_id": None if claim.document is None else ids[claim.document],
            "evidence": _evidence(claim),
            "scorer": result.scorer,
            "scorer_version": result.version,
            "run_id": run_id,
        }
        for number, claim in enumerate(result.claims)
    ]


def _evidence(claim: Claim) -> str | None:
    if claim.evidence is None:
        return None
    passage = claim.evidence
    return orjson.dumps({"text": passage.text, "start": passage.start, "end": passage.end}).decode()
