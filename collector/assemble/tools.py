"""Executions of tools, and the calls that asked for them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from collector.assemble.calls import Call
from collector.assemble.rows import Row, as_string, duration_ms
from collector.assemble.tree import Tree
from collector.records import Record
from undertow import semconv as names

_SLACK_NS = 2_000_000
# Of the calls before a run of a tool, only the latest are looked at.
_MOST_CALLS = 256


def tool_rows(tree: Tree, calls: Sequence[Call]) -> list[Row]:
    """Return the rows of ``tool_runs`` of one trace.

    Parameters
    ----------
    tree : the trace.
    calls : its generating calls without duplicates, in order of time.
    """
    runs = [span for span in tree.spans.values() if span.get("operation") == names.EXECUTE_TOOL]
    runs.sort(key=lambda span: (span["start_ns"], span["record_id"]))
    by_id = {str(run["span_id"]): run for run in runs}
    return [_row(tree, run, calls) for run in runs if not _is_repeated(tree, run, by_id)]


def _is_repeated(tree: Tree, run: Record, runs: dict[str, Record]) -> bool:
    """Tell whether a second instrumentation wraps this same execution."""
    key = run["facts"].get("tool_call_id") or run["facts"].get("tool_name")
    outer = tree.nearest(str(run["span_id"]), "tool run", lambda span: runs.get(str(span["span_id"])))
    if outer is None or key is None:
        return False
    return key in (outer["facts"].get("tool_call_id"), outer["facts"].get("tool_name"))


def _row(tree: Tree, run: Record, calls: Sequence[Call]) -> Row:
    facts = run["facts"]
    asker = _asker(tree, run, calls)
    return {
        "trace_id": run["trace_id"],
        "span_id": run["span_id"],
        "interaction_id": asker.id if asker else None,
        "name": facts.get("tool_name") or run.get("name"),
        "arguments": as_string(_arguments(run, asker)),
        "result": as_string(facts.get("tool_result")),
        "error_type": run.get("error_type"),
        "start_time": run["start_ns"] // 1000,
        "duration_ms": duration_ms(run),
    }


def _arguments(run: Record, asker: Call | None) -> Any:
    """Return what a tool was called with; a bare value has its name from the call that asked for it."""
    told, wanted = run["facts"].get("tool_arguments"), run["facts"].get("tool_call_id")
    if isinstance(told, dict) or asker is None or wanted is None:
        return told
    asked = next((t.get("arguments") for t in asker.facts.get("tool_calls", ()) if t.get("id") == wanted), None)
    return asked if isinstance(asked, dict) and (told is None or list(asked.values()) == [told]) else told


def _asker(tree: Tree, run: Record, calls: Sequence[Call]) -> Call | None:
    """Return the latest earlier call that asked for this run by id, else by name, else the nearest earlier one."""
    begun = run["start_ns"] + _SLACK_NS
    count = bisect_right(calls, begun, key=lambda call: call.record["start_ns"])
    before = calls[max(0, count - _MOST_CALLS) : count]
    wanted, name = run["facts"].get("tool_call_id"), run["facts"].get("tool_name")
    for key, value in (("id", wanted), ("name", name)):
        asked = [c for c in before if value and any(t.get(key) == value for t in c.facts.get("tool_calls", ()))]
        if asked:
            return asked[-1]
    done = [call for call in before if call.record["end_ns"] <= begun]
    return max(done, key=lambda call: (tree.common_depth(str(run["span_id"]), call.span_id), call.order), default=None)
