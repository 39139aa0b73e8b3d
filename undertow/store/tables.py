"""What the store holds about each table beyond its columns: its key, and who may overwrite whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

OnConflict = Literal["replace", "keep"]


@dataclass(frozen=True)
class Table:
    """One writable relation.

    Attributes
    ----------
    key : columns that identify a row.
    on_conflict : ``replace``: an incoming row takes the place of the stored row with the same key;
        ``keep``: the stored row stays.
    guard : SQL over ``stored`` and ``incoming`` that is true where a stored row must not be replaced.
    """

    key: tuple[str, ...]
    on_conflict: OnConflict = "replace"
    guard: str | None = None


# A human's row wins: a machine may reopen it only when severity has risen above that of the decision.
_HUMAN_WINS = (
    "stored.decided_by IS NOT NULL AND incoming.decided_by IS NULL"
    " AND NOT (incoming.state = 'escalated' AND incoming.severity > stored.severity)"
)

TABLES: Mapping[str, Table] = {
    "spans": Table(("trace_id", "span_id"), "keep"),
    "records": Table(("record_id",), "keep"),
    "interactions": Table(("interaction_id",)),
    "documents": Table(("document_row_id",)),
    "tool_runs": Table(("trace_id", "span_id")),
    "costs": Table(("interaction_id",)),
    "embeddings": Table(("content_hash", "field", "model"), "keep"),
    "artifacts": Table(("artifact_id",)),
    "topics": Table(("topic_id",)),
    "topic_assignments": Table(("interaction_id", "field")),
    "topic_history": Table(("event_id",)),
    "drift": Table(("drift_id",)),
    "drift_contributions": Table(("drift_id", "topic_id", "kind")),
    "evaluations": Table(("evaluation_id",)),
    "claims": Table(("claim_id",)),
    "feedback": Table(("feedback_id",)),
    "reviews": Table(("interaction_id",), guard=_HUMAN_WINS),
    "prompts": Table(("prompt_name", "prompt_version", "prompt_hash")),
    "changes": Table(("change_id",)),
    "rollups": Table(
        ("hour", "service_name", "environment", "request_model", "prompt_version", "topic_id", "metric"),
    ),
    "alerts": Table(("alert_id",)),
    "alert_events": Table(("event_id",)),
    "requests": Table(("request_id",)),
    "runs": Table(("run_id",)),
    "audit_log": Table(("audit_id",), "keep"),
    "judge_calls": Table(("call_id",), "keep"),
    "redactions": Table(("batch", "hour", "service_name", "environment", "kind")),
}
