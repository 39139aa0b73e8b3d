"""Retrievals that are traced as tools, and queries that are told by another step.

Where the model itself asks for documents, a search is a tool like any other: nothing but what it returned says that
it retrieved. A retriever that is handed a vector does not know the query either: the step that embedded it does.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, cast

from collector.assemble.tree import Tree
from collector.dialects.exchange import read_found, read_query
from collector.dialects.values import structured
from collector.records import Document, Facts, Record
from undertow import semconv as names

_SLACK_NS = 2_000_000
_MOST_DOCUMENTS = 200
_MOST_EMBEDDED = 64
_SHORTEST_PASSAGE = 20
"""Characters below which a bare text is an answer rather than a passage."""

_HOLDERS = ("documents", "results", "matches", "hits", "sources", "passages", "chunks", "value")
_INNER = ("record", "document", "node")
_TEXTS = ("content", "page_content", "text")
_ORIGINS = frozenset(
    {"id", "document_id", "doc_id", "chunk_id", "metadata", "meta", "score", "relevance_score", "similarity", "source"}
    | {"title", "url", "uri", "file", "page"}
)
_NAMED_AS_SEARCH = re.compile(r"search|retriev|look_?up|knowledge|documents|passages|\bfind\b|_find\b|\brag\b", re.I)


def searches(tree: Tree) -> list[Record]:
    """Return runs of tools that returned documents, as retrievals, in order of time.

    A tool inside or around a traced retrieval, or inside another such tool, tells nothing that is not known.
    """
    retrieving = {
        str(span["span_id"])
        for span in tree.spans.values()
        if span.get("operation") == names.RETRIEVAL and span.get("facts", {}).get("documents")
    }
    around: set[str] = set()
    for span_id in retrieving:
        for above in tree.ancestor_ids(span_id):
            if above in around:
                break
            around.add(above)
    found = {}
    for span in tree.spans.values():
        if span.get("operation") == names.EXECUTE_TOOL and span["span_id"] not in around:
            documents = _documents(span.get("facts", cast(Facts, {})))
            if documents:
                found[str(span["span_id"])] = _as_retrieval(span, documents)
    known = found.keys() | retrieving

    def inside(span: Record) -> bool | None:
        return span["span_id"] in known or None

    outermost = [run for span_id, run in found.items() if not tree.nearest(span_id, "search", inside)]
    return sorted(outermost, key=lambda run: (run["start_ns"], run["record_id"]))


def with_query(tree: Tree, retrieval: Record, embedded: Sequence[Record]) -> Record:
    """Return a retrieval with the one text that was embedded before it, where it names no query itself.

    Parameters
    ----------
    embedded : what :func:`embedded_texts` found in the same trace.
    """
    if retrieval["facts"].get("query") or retrieval["facts"].get("rerank"):
        return retrieval
    before = bisect_right(embedded, retrieval["start_ns"] + _SLACK_NS, key=lambda span: span["end_ns"])
    for span in reversed(embedded[max(0, before - _MOST_EMBEDDED) : before]):
        if tree.common_depth(str(span["span_id"]), str(retrieval["span_id"])) > 0:
            query = span["facts"]["embedding_inputs"][0]
            return {**retrieval, "facts": {**retrieval["facts"], "query": query}}
    return retrieval


def embedded_texts(tree: Tree) -> list[Record]:
    """Return the steps that embedded one text, in the order in which they ended."""
    found = [
        span
        for span in tree.spans.values()
        if span.get("operation") == names.EMBEDDINGS and len(span.get("facts", {}).get("embedding_inputs", ())) == 1
    ]
    return sorted(found, key=lambda span: (span["end_ns"], span["record_id"]))


def _as_retrieval(run: Record, documents: list[Document]) -> Record:
    query = read_query(run["facts"].get("tool_arguments"))
    return {**run, "facts": {**run["facts"], "documents": documents, **({"query": query} if query else {})}}


def _documents(facts: Facts) -> list[Document]:
    """Return what a tool returned where all of it are documents: passages with an origin, or texts of a search."""
    items = _items(facts.get("tool_result"))
    searched = _NAMED_AS_SEARCH.search(facts.get("tool_name") or "") is not None
    if 0 < len(items) <= _MOST_DOCUMENTS and all(
        _is_document(item) or (searched and _is_passage(item)) for item in items
    ):
        return read_found(items)
    return []


def _items(result: Any) -> list[Any]:
    """Return what a tool returned one by one: a list, what is in its holder, lines of JSON, or one scored record."""
    found = structured(result)
    if isinstance(found, str) and found.startswith("{"):
        found = found.splitlines()
    if isinstance(found, dict):
        held = next((structured(found[key]) for key in _HOLDERS if key in found), None)
        found = held if isinstance(held, list) else [found] if found.keys() & {"record", "score"} else []
    return [structured(item) for item in found] if isinstance(found, list) else []


def _is_document(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    inner: dict[str, Any] = next((item[key] for key in _INNER if isinstance(item.get(key), dict)), {})
    told = {**item, **inner}
    return any(isinstance(told.get(key), str) and told[key].strip() for key in _TEXTS) and bool(_ORIGINS & told.keys())


def _is_passage(item: Any) -> bool:
    return isinstance(item, str) and len(item) >= _SHORTEST_PASSAGE
