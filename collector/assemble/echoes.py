"""What later steps of a trace repeat of a retrieval or of a call, and their own spans leave out.

A step that was handed documents or a model's answer tells of ids and counts that the spans of the retriever and
of the model may lack.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from collector.assemble.calls import Call
from collector.assemble.tree import Tree
from collector.records import Document, Facts, Record
from undertow import semconv as names

_SLACK_NS = 2_000_000
_MOST_CALLS = 256
_MARKS = frozenset({"response_id", "response_model"})
_FILLED = (
    "response_id",
    "response_model",
    "finish_reason",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)


def add_echoes(tree: Tree, calls: Sequence[Call]) -> None:
    """Add what a later or an outer step tells of a call and the call itself does not.

    A step speaks of the last call that ended before it with the same response id; where the call names none, with
    the same answer.

    Parameters
    ----------
    tree : one trace.
    calls : its calls, in order of time.
    """
    for step in _steps(tree, _MARKS):
        told = cast("dict[str, Any]", step["facts"])
        meant = _meant(step, calls)
        if meant is not None:
            known = cast("dict[str, Any]", meant.facts)
            for field in _FILLED:
                if field in told and field not in known:
                    known[field] = told[field]


def _meant(step: Record, calls: Sequence[Call]) -> Call | None:
    """Return the latest call that ended before a step and that the step speaks of; of very many, one of the latest."""
    end = step["end_ns"] + _SLACK_NS
    begun = bisect_right(calls, end, key=lambda call: call.record["start_ns"])
    for call in reversed(calls[max(0, begun - _MOST_CALLS) : begun]):
        if call.record["end_ns"] <= end and _is_same(call.facts, step["facts"]):
            return call
    return None


def _is_same(call: Facts, told: Facts) -> bool:
    if "response_id" in call and "response_id" in told:
        return call["response_id"] == told["response_id"]
    said = call.get("response"), call.get("tool_calls")
    return said != (None, None) and said == (told.get("response"), told.get("tool_calls"))


def passed_documents(tree: Tree) -> list[Record]:
    """Return the steps that were handed documents and did not retrieve them, in order of time."""
    return _steps(tree, frozenset({"documents"}))


def known_documents(steps: Sequence[Record]) -> dict[str, Document]:
    """Return the documents with an id that steps were handed, by their text."""
    known: dict[str, Document] = {}
    for step in steps:
        for other in step["facts"]["documents"]:
            if other.get("content") and other.get("document_id"):
                known.setdefault(str(other["content"]), other)
    return known


def with_ids(documents: Iterable[Document], known: Mapping[str, Document]) -> list[Document]:
    """Return documents with the ids and metadata under which later steps know the same text."""
    return [_with_id(document, known.get(document.get("content") or "")) for document in documents]


def _with_id(document: Document, other: Document | None) -> Document:
    if other is None or document.get("document_id") is not None:
        return document
    told = {key: value for key, value in document.items() if value is not None}
    return cast(Document, {**other, **told})


def _steps(tree: Tree, fields: frozenset[str]) -> list[Record]:
    found = [
        span
        for span in tree.spans.values()
        if fields & span.get("facts", cast(Facts, {})).keys()
        and span.get("operation") not in names.MODEL_CALLS
        and span.get("operation") != names.RETRIEVAL
    ]
    return sorted(found, key=lambda span: (span["start_ns"], span["record_id"]))
