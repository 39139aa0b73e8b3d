"""Evaluations, human feedback and changes, and what they are about."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from collector.assemble.calls import Call
from collector.assemble.rows import Row
from collector.assemble.tree import Tree
from collector.records import Judgement, Record
from collector.signals import names_a_thumb, told

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
        self._generating = {call.id: call for call in calls if call.generates}
        self._seen_by_trace: dict[str, dict[str | None, Call]] = {}
        for call in self._generating.values():
            if call.duplicate_of is None:
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
        calls = self._by_trace.get(trace_id or "", [])
        tree = self._trees.get(trace_id or "")
        if not calls or tree is None:
            return None
        span = tree.spans.get(span_id or "")
        seen = self._seen(tree, calls).get(span_id)
        if seen is not None:
            return seen
        if span is None:
            return None
        first = bisect_left(calls, span["start_ns"], key=lambda call: call.record["start_ns"])
        found = tree.nearest(str(span_id), "judged", lambda above: self._generating.get(above["record_id"]))
        return found or (calls[first] if first < len(calls) else self._answer_above(tree, str(span_id), calls))

    def _answer_above(self, tree: Tree, span_id: str, calls: list[Call]) -> Call:
        """Return what was answered below the nearest ancestor that has any call below it."""
        seen = self._seen(tree, calls)
        return tree.nearest(span_id, "answered", lambda above: seen.get(str(above["span_id"]))) or calls[-1]

    def _seen(self, tree: Tree, calls: list[Call]) -> dict[str | None, Call]:
        """Return for each span, and for the trace, the call below it whose answer the user saw.

        It is what the topmost of them said last, so that a span passes its own on to every span above it which
        has no better one.
        """
        known = self._seen_by_trace.get(tree.trace_id)
        if known is None:
            known = self._seen_by_trace[tree.trace_id] = {}
            for call in sorted(calls, key=lambda c: (tree.depth(c.span_id), -c.record["start_ns"], c.id)):
                known.setdefault(None, call)
                for above in tree.ancestor_ids(call.span_id):
                    if above in known:
                        break
                    known[above] = call
        return known


def told_judgements(records: Sequence[Record], targets: Targets) -> tuple[list[Row], list[Row]]:
    """Return the rows of ``evaluations`` and ``feedback`` that travelled inside telemetry."""
    evaluations, feedback = [], []
    for record in records:
        for index, judged in enumerate(record.get("facts", {}).get("judgements", ())):
            kind, target = _target(record, judged, targets)
            row_id = hashlib.sha256(f"{record['record_id']}:{index}:{judged.get('name')}".encode()).hexdigest()[:32]
            # An evaluator may be called after thumbs; a thumb itself is what only people give.
            if judged.get("human") or names_a_thumb(None, judged.get("label")):
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
    kind_of_signal, value = told(judged.get("name"), judged.get("value"), judged.get("label"))
    return {
        "feedback_id": row_id,
        "target_kind": kind,
        "target_id": target,
        "kind": kind_of_signal,
        "value": value,
        "label": judged.get("label") or judged.get("name"),
        "comment": judged.get("explanation"),
        "author": judged.get("evaluator"),
        "source": record.get("dialect"),
        "created_at": record["end_ns"] // 1000,
    }


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
