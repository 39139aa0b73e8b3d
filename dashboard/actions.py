"""What people decide on the screen, written in one commit each, with who did it."""

from __future__ import annotations

import getpass
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

from undertow.clock import utc_now
from undertow.errors import StoreError
from undertow.store import Store

Verdict = Literal["confirmed", "dismissed", "escalated"]
STATES: Mapping[Verdict, str] = {"confirmed": "resolved", "dismissed": "archived", "escalated": "escalated"}
SOURCE = "dashboard"


@dataclass(frozen=True)
class Decision:
    """A verdict that was written, with what is needed to take it back."""

    interaction_id: str
    verdict: Verdict
    feedback_id: str
    author: str
    decided_at: datetime
    former: Mapping[str, Any]


def author_name() -> str:
    """Who acts: the account under which the dashboard runs."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return SOURCE


def decide(store: Store, interaction_id: str, verdict: Verdict, *, author: str) -> Decision:
    """Write a human verdict: review, feedback and audit log.

    Raises
    ------
    StoreError
        The interaction is not in review, or the store failed; nothing was written.
    """
    former = _review(store, interaction_id)
    decision = Decision(interaction_id, verdict, str(uuid.uuid4()), author, utc_now(), former)
    review = {**former, "state": STATES[verdict], "decided_by": author, "decided_at": decision.decided_at}
    tables = {
        "reviews": _rows(review),
        "feedback": _rows(_feedback(decision, verdict)),
        "audit_log": _rows(
            _audit(author, f"review.{verdict}", interaction_id, {"from": former["state"], "to": review["state"]})
        ),
    }
    store.commit(tables, key=f"verdict:{decision.feedback_id}")
    return decision


def undo(store: Store, decision: Decision, *, author: str) -> None:
    """Take a verdict back: the review is as before, the feedback is withdrawn.

    A row without ``decided_by`` never replaces a human's, so the restored row names the author.
    """
    review = {**decision.former, "decided_by": author, "decided_at": utc_now()}
    tables = {
        "reviews": _rows(review),
        "feedback": _rows(_feedback(decision, "withdrawn")),
        "audit_log": _rows(
            _audit(author, "review.undo", decision.interaction_id, {"verdict": decision.verdict, "to": review["state"]})
        ),
    }
    store.commit(tables, key=f"undo:{decision.feedback_id}")


def rename_topic(store: Store, topic_id: int, label: str, *, author: str) -> None:
    """Give a topic a name that analysis keeps.

    Raises
    ------
    StoreError
        The name is empty or too long, there is no such topic, or the store failed.
    """
    name = " ".join(label.split())
    if not 1 <= len(name) <= 80:
        raise StoreError(f"a topic's name has 1 to 80 characters, got {len(name)}")
    table = store.query("SELECT * FROM topics WHERE topic_id = ?", [topic_id])
    if table.num_rows == 0:
        raise StoreError(f"there is no topic {topic_id}")
    old = table["label"][0].as_py()
    row = table.set_column(table.schema.get_field_index("label"), "label", pa.array([name]))
    row = row.set_column(row.schema.get_field_index("label_source"), "label_source", pa.array(["human"]))
    event = str(uuid.uuid4())
    history = {
        "event_id": event,
        "topic_id": topic_id,
        "event": "renamed",
        "happened_at": utc_now(),
        "related": "[]",
        "sentence": f"{author} renamed {old} to {name}",
    }
    audit = _audit(author, "topic.rename", str(topic_id), {"from": old, "to": name})
    store.commit({"topics": row, "topic_history": _rows(history), "audit_log": _rows(audit)}, key=f"rename:{event}")


def ask_compare(store: Store, reference: str, current: str, field: str, service: str | None, *, author: str) -> str:
    """Ask the analysis to compare two windows, versions or models; return the id of the request."""
    chosen = {"reference": reference, "current": current, "field": field, "service": service}
    return _request(store, "compare", "asked", chosen, author)


def pin_reference(store: Store, service: str, start: datetime | None, end: datetime | None, *, author: str) -> str:
    """Compare the later days of a service with this window from now on; without one, with the weeks before again."""
    window = {"start": start.isoformat(), "end": end.isoformat()} if start and end else {"start": None, "end": None}
    return _request(store, "pin", "done", {"service": service, **window}, author)


def acknowledge(store: Store, service: str, field: str, drift_id: str, *, author: str) -> str:
    """Accept what a monitor alarmed at as the new usual: the monitor begins anew."""
    chosen = {"service": service, "field": field, "drift_id": drift_id}
    return _request(store, "acknowledge", "done", chosen, author)


def _request(store: Store, kind: str, state: str, chosen: Mapping[str, Any], author: str) -> str:
    id_, now = uuid.uuid4().hex, utc_now()
    row = {
        "request_id": id_,
        "kind": kind,
        "arguments": json.dumps(dict(chosen)),
        "state": state,
        "requested_by": author,
        "requested_at": now,
        "finished_at": now if state == "done" else None,
    }
    audit = _audit(author, f"drift.{kind}", id_, chosen)
    store.commit({"requests": _rows(row), "audit_log": _rows(audit)}, key=f"request:{id_}")
    return id_


def _review(store: Store, interaction_id: str) -> dict[str, Any]:
    found = store.query(
        "SELECT interaction_id, state, severity, reasons, assignee, decided_by, decided_at FROM reviews"
        " WHERE interaction_id = ?",
        [interaction_id],
    ).to_pylist()
    if not found:
        raise StoreError(f"interaction {interaction_id} is not in review")
    return dict(found[0])


def _feedback(decision: Decision, label: str) -> dict[str, Any]:
    return {
        "feedback_id": decision.feedback_id,
        "target_kind": "interaction",
        "target_id": decision.interaction_id,
        "kind": "verdict",
        "label": label,
        "author": decision.author,
        "source": SOURCE,
        "created_at": decision.decided_at,
    }


def _audit(actor: str, action: str, target: str, detail: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "audit_id": str(uuid.uuid4()),
        "done_at": utc_now(),
        "actor": actor,
        "action": action,
        "target": target,
        "detail": json.dumps(dict(detail)),
    }


def _rows(row: Mapping[str, Any]) -> pa.Table:
    """One row as a table; empty cells are left out, which writes NULL."""
    return pa.Table.from_pylist([{name: value for name, value in row.items() if value is not None}])
