"""Which answers refuse."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pyarrow as pa

from analysis.analyzer import Batch, Context
from analysis.metrics.refusal import find_refusal, is_refusal
from undertow.store import answer_reads


class Refusals:
    """A row for each answer that refuses; no row means that it does not."""

    name = "refusals"
    version = "2"
    requires: tuple[str, ...] = ()

    def run(self, context: Context) -> Iterator[Batch]:
        """Look at the new answers; one that changed and refuses no longer loses its row."""
        answers = context.store.query(answer_reads.NEW_ANSWERS, context.scope)
        if answers.num_rows == 0:
            return
        judged = {text: is_refusal(text) for text in set(answers["response"].to_pylist())}
        rows = [
            {
                "evaluation_id": _evaluation_id(row["interaction_id"]),
                "target_kind": "interaction",
                "target_id": row["interaction_id"],
                "name": "refusal",
                "value": 1.0,
                "label": "refusal",
                "explanation": _phrase(row["response"]),
                "direction": "lower_is_better",
                "evaluator": "refusal-phrases",
                "evaluator_version": self.version,
                "run_id": context.run_id,
                "created_at": context.now,
            }
            for row in answers.to_pylist()
            if judged[row["response"]]
        ]
        before = pa.table({"evaluation_id": [_evaluation_id(call) for call in answers["interaction_id"].to_pylist()]})
        tables = {"evaluations": pa.Table.from_pylist(rows)} if rows else {}
        yield Batch(tables, delete={"evaluations": before}, rows=answers.num_rows)


def _evaluation_id(interaction_id: str) -> str:
    return hashlib.sha256(f"{interaction_id}:refusal".encode()).hexdigest()[:32]


def _phrase(response: str) -> str:
    found = find_refusal(response)
    return f"It says: {response[found.start : found.end]}" if found else ""
