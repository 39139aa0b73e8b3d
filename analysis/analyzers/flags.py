"""Which answers need a person: severity and reasons, into the review queue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa

from analysis.analyzer import Batch, Context
from analysis.metrics.severity import Judgements, judge
from analysis.scoring import configured_scorer
from undertow.store import answer_reads


class Flags:
    """Opens reviews, and escalates those that got worse since a person decided."""

    name = "flags"
    version = "2"
    requires = ("groundedness", "refusals", "safety")

    def run(self, context: Context) -> Iterator[Batch]:
        """Judge what is new; the store's rule keeps every decision of a person.

        A review that a machine opened, that nobody took up and that nothing speaks for any more is closed.
        """
        judged = context.store.query(answer_reads.JUDGED, context.scope)
        if judged.num_rows == 0:
            return
        known = {row["interaction_id"]: row for row in context.store.query(answer_reads.REVIEW_STATES).to_pylist()}
        threshold = configured_scorer(context.store, context.settings).score("", ()).threshold
        calls = judged.to_pylist()
        reviews = (_review(row, threshold, known.get(row["interaction_id"])) for row in calls)
        rows = [review for review in reviews if review is not None]
        wanted = {row["interaction_id"] for row in rows}
        gone = [id_ for row in calls if (id_ := row["interaction_id"]) not in wanted and _untouched(known.get(id_))]
        # Matched by the empty decision too: a person may decide while this runs.
        closed = pa.table({"interaction_id": gone, "decided_by": pa.nulls(len(gone), pa.string())})
        tables = {"reviews": pa.Table.from_pylist(rows)} if rows else {}
        yield Batch(tables, delete={"reviews": closed} if gone else None, rows=judged.num_rows)


def _untouched(known: dict[str, Any] | None) -> bool:
    return known is not None and known["decided_by"] is None and known["assignee"] is None


def _review(row: dict[str, Any], threshold: float, known: dict[str, Any] | None) -> dict[str, Any] | None:
    severity = judge(_judgements(row, threshold))
    if not severity.opens:
        return None
    decided = known is not None and known["decided_by"] is not None
    return {
        "interaction_id": row["interaction_id"],
        "state": "escalated" if decided else "open",
        "severity": severity.value,
        "reasons": orjson.dumps(severity.reasons).decode(),
    }


def _judgements(row: dict[str, Any], threshold: float) -> Judgements:
    failed = row["status"] == "ERROR" or row["error_type"]
    return Judgements(
        risk=row["risk"],
        risk_threshold=threshold,
        unsupported_claims=row["unsupported"],
        claims=row["claims"],
        feedback_value=row["feedback_value"],
        feedback_n=row["feedback_n"],
        comment=row["has_comment"],
        error=(row["error_message"] or row["error_type"] or "error") if failed else "",
        truncated=row["finish_reason"] == "length",
        refused=row["refused"],
        repeated_tool_calls=row["repeated_tool_calls"],
        unsafe=tuple((item["name"], item["label"], item["explanation"]) for item in row["unsafe"] or ()),
    )
