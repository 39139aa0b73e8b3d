"""Evaluations, human feedback and changes, and what they are about."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from collector.assemble.calls import Call
from collector.assemble.rows import Row
from collector.assemble.tree import Tree
from collector.records import Judgement, Record

Target = tuple[str, str]


class Targets:
    """Finds the call that a judgement is about.

    Parameters
    ----------
    trees : by trace id.
    calls : all calls, in order of time.
    """

    def __init__(self, trees: Mapping[str, Tree], calls: Sequence[Call]) -> None:
        self._trees = trees
        self._by_id = {call.id: call for call in calls}
        self._by_trace: dict[str, list[Call]] = {}
        self._by_response: dict[str, list[Call]] = {}
        for call in calls:
            if call.generates:
                self._by_trace.setdefault(call.tree.trace_id, []).append(call)
                if call.facts.get("response_id"):
                    self._by_response.setdefault(call.facts["response_id"], []).append(call)

    def of(self, trace_id: str | None, span_id: str | None, response_id: str | None, time_ns: int) -> Target | None:
        """Return kind and id of what is judged, or None while no such call is known.

        The span itself, else the call with the response id, else the call nearest below the span, else the
        call that the span stands below, else the next call of the trace after it, else the answer of what is above.
        """
        call = self._by_id.get(f"{trace_id}:{span_id}")
        call = call or self._answering(trace_id, response_id, time_ns)
        call = call or self._near(trace_id, span_id)
        return ("interaction", call.duplicate_of or call.id) if call else None

    def _answering(self, trace_id: str | None, response_id: str | None, time_ns: int) -> Call | None:
        found = self._by_response.get(response_id or "", [])
        same_trace = [call for call in found if call.tree.trace_id == trace_id]
        before = [call for call in same_trace or found if call.record["start_ns"] <= time_ns]
        return max(before or same_trace or found, key=lambda call: call.record["end_ns"], default=None)

    def _near(self, trace_id: str | None, span_id: str | None) -> Call | None:
        calls = [call for call in self._by_trace.get(trace_id or "", []) if call.duplicate_of is None]
        tree = self._trees.get(trace_id or "")
        if not calls or tree is None:
            return None
        span = tree.spans.get(span_id or "")
        below = [call for call in calls if span_id is None or tree.is_below(call.span_id, span_id)]
        if below:
            return _seen(tree, below)
        if span is None:
            return None
        above = [self._by_id.get(ancestor["record_id"]) for ancestor in tree.ancestors(str(span_id))]
        after = [call for call in calls if call.record["start_ns"] >= span["start_ns"]]
        found = next((call for call in above if call is not None and call.generates), None)
        return found or (after[0] if after else self._answer_above(tree, str(span_id), calls))

    def _answer_above(self, tree: Tree, span_id: str, calls: list[Call]) -> Call:
        """Return what was answered below the nearest ancestor that has any call below it."""
        for ancestor in tree.ancestors(span_id):
            below = [call for call in calls if tree.is_below(call.span_id, str(ancestor["span_id"]))]
            if below:
                return _seen(tree, below)
        return calls[-1]


def _seen(tree: Tree, calls: list[Call]) -> Call:
    """Return the call whose answer the user saw: what the topmost of them said last."""
    return min(calls, key=lambda call: (len(tree.path(call.span_id)), -call.record["start_ns"], call.id))


def told_judgements(records: Sequence[Record], targets: Targets) -> tuple[list[Row], list[Row]]:
    """Return the rows of ``evaluations`` and ``feedback`` that travelled inside telemetry."""
    evaluations, feedback = [], []
    for record in records:
        for index, judged in enumerate(record.get("facts", {}).get("judgements", ())):
            kind, target = _target(record, judged, targets)
            row_id = hashlib.sha256(f"{record['record_id']}:{index}:{judged.get('name')}".encode()).hexdigest()[:32]
            if judged.get("human"):
                feedback.append(_human_row(record, judged, row_id, kind, target))
            else:
                evaluations.append(_machine_row(record, judged, row_id, kind, target))
    return evaluations, feedback


def _target(record: Record, judged: Judgement, targets: Targets) -> Target:
    session = record.get("facts", {}).get("session_id")
    if judged.get("scope") == "session" and session:
        return "session", session
    trace_id, span_id = record.get("trace_id"), record.get("span_id")
    of_span = None if judged.get("scope") == "trace" else span_id
    found = targets.of(trace_id, of_span, judged.get("response_id"), record["end_ns"])
    return found or ("interaction", _as_given(trace_id, span_id, judged.get("response_id")))


def _as_given(trace_id: str | None, span_id: str | None, response_id: str | None) -> str:
    if trace_id is None:
        return response_id or ""
    return f"{trace_id}:{span_id}" if span_id else trace_id


def _machine_row(record: Record, judged: Judgement, row_id: str, kind: str, target: str) -> Row:
    return {
        "evaluation_id": row_id,
        "target_kind": kind,
        "target_id": target,
        "name": judged.get("name"),
        "value": judged.get("value"),
        "label": judged.get("label"),
        "explanation": judged.get("explanation"),
        "direction": None,
        "evaluator": judged.get("evaluator") or record.get("scope_name") or None,
        "evaluator_version": None,
        "run_id": None,
        "created_at": record["end_ns"] // 1000,
    }


def _human_row(record: Record, judged: Judgement, row_id: str, kind: str, target: str) -> Row:
    return {
        "feedback_id": row_id,
        "target_kind": kind,
        "target_id": target,
        "kind": _kind_of_feedback(judged),
        "value": judged.get("value"),
        "label": judged.get("label") or judged.get("name"),
        "comment": judged.get("explanation"),
        "author": judged.get("evaluator"),
        "source": record.get("dialect"),
        "created_at": record["end_ns"] // 1000,
    }


def _kind_of_feedback(judged: Judgement) -> str:
    words = f"{judged.get('name')} {judged.get('label')}".lower()
    if "thumb" in words:
        return "thumb"
    if judged.get("value") is not None:
        return "rating"
    return "verdict" if judged.get("label") else "comment"


def sent_feedback(records: Sequence[Record], targets: Targets) -> Iterator[Row]:
    """Yield the rows of ``feedback`` that came through the feedback door."""
    for record in records:
        body = record["feedback"]
        kind, target = _sent_target(body.get("target", {}), record["start_ns"], targets)
        yield {
            "feedback_id": body.get("id") or record["record_id"],
            "target_kind": kind,
            "target_id": target,
            "kind": body.get("kind"),
            "value": body.get("value"),
            "label": body.get("label"),
            "comment": body.get("comment"),
            "author": body.get("author"),
            "source": body.get("source") or "api",
            "created_at": body.get("created_ns", record["start_ns"]) // 1000,
        }


def _sent_target(target: Mapping[str, Any], time_ns: int, targets: Targets) -> Target:
    trace_id, span_id, response_id = (target.get(key) for key in ("trace_id", "span_id", "response_id"))
    found = targets.of(trace_id, span_id, response_id, time_ns)
    if found:
        return found
    if trace_id is None and response_id is None and target.get("session_id"):
        return "session", str(target["session_id"])
    return "interaction", _as_given(trace_id, span_id, response_id)


def change_rows(records: Sequence[Record]) -> Iterator[Row]:
    """Yield the rows of ``changes``."""
    for record in records:
        body = record["change"]
        yield {
            "change_id": body.get("id") or record["record_id"],
            "at": body.get("at_ns", record["start_ns"]) // 1000,
            "kind": body.get("kind"),
            "name": body.get("name"),
            "before": body.get("before"),
            "after": body.get("after"),
            "source": body.get("source") or "api",
        }
