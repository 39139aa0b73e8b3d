"""What later steps of a trace repeat of a retrieval or of a call, and their own spans leave out.

A step that was handed documents or a model's answer tells of ids and counts that the spans of the retriever and
of the model may lack.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from collector.assemble.calls import Call
from collector.assemble.tree import Tree
from collector.records import Document, Facts, Record
from undertow import semconv as names

_SLACK_NS = 2_000_000
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
        before = [call for call in calls if call.record["end_ns"] <= step["end_ns"] + _SLACK_NS]
        meant = next((call for call in reversed(before) if _is_same(call.facts, step["facts"])), None)
        if meant is not None:
            known = cast("dict[str, Any]", meant.facts)
            for field in _FILLED:
                if field in told and field not in known:
                    known[field] = told[field]


def _is_same(call: Facts, told: Facts) -> bool:
    if "response_id" in call and "response_id" in told:
        return call["response_id"] == told["response_id"]
    said = call.get("response"), call.get("tool_calls")
    return said != (None, None) and said == (told.get("response"), told.get("tool_calls"))


def passed_documents(tree: Tree) -> list[Record]:
    """Return the steps that were handed documents and did not retrieve them, in order of time."""
    return _steps(tree, frozenset({"documents"}))


def with_ids(documents: Iterable[Document], steps: Sequence[Record]) -> list[Document]:
    """Return documents with the ids and metadata under which later steps know the same text."""
    known: dict[str, Document] = {}
    for step in steps:
        for other in step["facts"]["documents"]:
            if other.get("content") and other.get("document_id"):
                known.setdefault(str(other["content"]), other)
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
