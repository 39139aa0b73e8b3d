"""Spans and logs become interactions, documents, tool runs, evaluations, feedback and changes.

Everything here is pure: the same records give the same rows, in whatever order they come, so that a trace can be
assembled again whenever a late part of it arrives.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import orjson

from collector.assemble.calls import Call, find_calls
from collector.assemble.context import join_context, next_calls
from collector.assemble.echoes import add_echoes
from collector.assemble.judgements import Targets, change_rows, sent_feedback, told_judgements
from collector.assemble.rows import Row, document_rows, interaction_row, span_row
from collector.assemble.tools import tool_rows
from collector.assemble.tree import Tree
from collector.assemble.turns import turn_ids
from collector.records import Assembled, Record

_TEMPLATE = ("prompt_template", "prompt_variables", "prompt_name", "prompt_version")


def span_rows(records: Iterable[Record]) -> list[Row]:
    """Return the rows of table ``spans`` for the span records among the given ones.

    Times are microseconds since the epoch; JSON columns are text; ``load_seq`` is the store's.
    """
    return [span_row(record) for record in records if record["kind"] == "span"]


def response_ids(records: Iterable[Record]) -> set[str]:
    """Return every response id that ties a record to records outside its trace."""
    found = set()
    for record in records:
        facts = record.get("facts", {})
        found.add(facts.get("response_id"))
        found.update(judged.get("response_id") for judged in facts.get("judgements", ()))
        found.add(record.get("feedback", {}).get("target", {}).get("response_id"))
    return {response_id for response_id in found if response_id}


def assemble(records: Sequence[Record]) -> Assembled:
    """Work out what whole traces mean.

    Parameters
    ----------
    records : all records of the touched traces, and those outside any trace that share a response id with them.

    Returns
    -------
    Assembled
        Rows by table, each in a fixed order.
    """
    by_kind = _by_kind(records)
    spans, logs = by_kind["span"], by_kind["log"]
    by_trace: dict[str, list[Record]] = defaultdict(list)
    for span in spans:
        by_trace[str(span["trace_id"])].append(span)
    trees = {trace_id: Tree(trace_id, found) for trace_id, found in by_trace.items()}
    calls = find_calls(trees.values(), [log for log in logs if "judgements" not in log.get("facts", {})])
    result = Assembled()
    calls_by_trace: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        calls_by_trace[call.tree.trace_id].append(call)
    for trace_id, tree in trees.items():
        _add_trace(result, tree, calls_by_trace[trace_id])
    targets = Targets(trees, calls)
    evaluations, feedback = told_judgements([*spans, *logs], targets)
    result.evaluations.extend(evaluations)
    result.feedback.extend([*feedback, *sent_feedback(by_kind["feedback"], targets)])
    result.changes.extend(change_rows(by_kind["change"]))
    return result


def _by_kind(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Return the records by kind, each id once, in an order that does not depend on theirs."""
    unique: dict[str, Record] = {}
    for record in records:
        known = unique.get(record["record_id"])
        if known is None or (known is not record and _bytes(record) < _bytes(known)):
            unique[record["record_id"]] = record
    by_kind: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(unique.values(), key=lambda record: (record["start_ns"], record["record_id"])):
        by_kind[record["kind"]].append(record)
    return by_kind


def _bytes(record: Record) -> bytes:
    return orjson.dumps(record, option=orjson.OPT_SORT_KEYS)


def _add_trace(result: Assembled, tree: Tree, calls: list[Call]) -> None:
    generating = [call for call in calls if call.generates and call.duplicate_of is None]
    add_echoes(tree, generating)
    _add_templates(tree, generating)
    given = join_context(tree, generating)
    turns = turn_ids(calls)
    for call in calls:
        joined = given.get(call.id, [])
        result.interactions.append(interaction_row(tree, call, joined, turns[call.id]))
        result.documents.extend(document_rows(call, joined))
    result.tool_runs.extend(tool_rows(tree, generating))


def _add_templates(tree: Tree, calls: list[Call]) -> None:
    """Give a prompt template that was filled in by a span of its own to the call after it."""
    ids = {call.span_id for call in calls}
    for span in tree.spans.values():
        facts = span.get("facts", {})
        if "prompt_template" in facts and span["span_id"] not in ids:
            nearest = next((c for c in next_calls(tree, span, calls) if "prompt_template" not in c.facts), None)
            if nearest is not None:
                told = {key: facts[key] for key in _TEMPLATE if key in facts}  # type: ignore[literal-required]
                nearest.facts = {**told, **nearest.facts}  # type: ignore[typeddict-item]
