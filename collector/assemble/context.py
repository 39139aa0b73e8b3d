"""Which retrieved documents a call was given.

Retrieved documents are never on the model's span. A retrieval serves a call that began after it ended, of
those the ones whose text holds its documents, else the nearest: deepest common ancestor, then earliest.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from collector.assemble.calls import Call
from collector.assemble.echoes import known_documents, passed_documents, with_ids
from collector.assemble.searches import embedded_texts, searches, with_query
from collector.assemble.tree import Tree
from collector.records import Document, Record
from undertow import semconv as names

_SLACK_NS = 2_000_000
"""Some clients cut their start times to milliseconds."""

_MOST_CALLS = 64

CONFIRMED = 1.0
RELATED = 0.7
SAME_TRACE = 0.5
CONTRADICTED = 0.3


@dataclass(slots=True)
class Joined:
    """One document that a call was given.

    Attributes
    ----------
    confidence : 1 where the call's text holds the document, .7 where only the tree speaks for it, .5 where
        nothing but the trace does, .3 where the text is known and does not hold the document.
    """

    document: Document
    retrieval: Record
    confidence: float


def join_context(tree: Tree, calls: Sequence[Call]) -> dict[str, list[Joined]]:
    """Return what each call was given, in rank order, by interaction id.

    Parameters
    ----------
    tree : one trace.
    calls : its generating calls without duplicates, in order of time.
    """
    given: dict[str, list[Joined]] = defaultdict(list)
    if calls:
        passed = passed_documents(tree)
        known = known_documents(passed)
        embedded = embedded_texts(tree)
        # Where no retriever was traced, the first step that was handed documents stands for it.
        for retrieval in _retrievals(tree) or passed[:1]:
            for call, joined in _assigned(tree, with_query(tree, retrieval, embedded), calls, known):
                given[call.id].append(joined)
        for search in searches(tree):
            for call, joined in _assigned(tree, search, calls, known):
                # A tool's answer goes to the model as it is: what no call holds was used otherwise.
                if joined.confidence == CONFIRMED and not _is_given(given[call.id], joined.document):
                    given[call.id].append(joined)
    return {call_id: _reranked(found) for call_id, found in given.items() if found}


def next_calls(tree: Tree, span: Record, calls: Sequence[Call]) -> list[Call]:
    """Return the calls that began after a span ended, the nearest first; of very many only the earliest."""
    span_id, end = str(span["span_id"]), span["end_ns"] - _SLACK_NS
    first = bisect_left(calls, end, key=lambda call: call.record["start_ns"])
    later = [call for call in calls[first : first + _MOST_CALLS] if not tree.is_below(call.span_id, span_id)]
    return sorted(later, key=lambda call: (-tree.common_depth(span_id, call.span_id), call.order))


def _retrievals(tree: Tree) -> list[Record]:
    """Return the retrievals with documents, outermost ones only: what is inside was not handed to anybody else."""
    found = [
        span
        for span in tree.spans.values()
        if span.get("operation") == names.RETRIEVAL and span.get("facts", {}).get("documents")
    ]
    ids = {span["record_id"] for span in found}

    def retrieves(span: Record) -> bool | None:
        return span["record_id"] in ids or None

    outermost = [span for span in found if not tree.nearest(str(span["span_id"]), "retrieval", retrieves)]
    return sorted(outermost, key=lambda span: (span["start_ns"], span["record_id"]))


def _assigned(
    tree: Tree, retrieval: Record, calls: Sequence[Call], known: Mapping[str, Document]
) -> list[tuple[Call, Joined]]:
    """Give each document to the nearest call that holds it, and the rest to the call that holds most."""
    nearest = next_calls(tree, retrieval, calls)
    if not nearest:
        return []
    documents = with_ids(retrieval["facts"]["documents"], known)
    holders = [next((call for call in nearest if _holds(call, document)), None) for document in documents]
    # Of calls that hold equally many, max() takes the first, which is the nearest.
    main = max(nearest, key=lambda call: sum(holder is call for holder in holders))
    related = tree.common_depth(str(retrieval["span_id"]), main.span_id) > 0
    doubtful = RELATED if related else SAME_TRACE
    return [
        (holder, Joined(document, retrieval, CONFIRMED))
        if holder is not None
        else (main, Joined(document, retrieval, _unconfirmed(document, main, doubtful)))
        for document, holder in zip(documents, holders, strict=True)
    ]


def _is_given(joined: Sequence[Joined], document: Document) -> bool:
    return any(other.document.get("content") == document.get("content") for other in joined)


def _unconfirmed(document: Document, call: Call, doubtful: float) -> float:
    return CONTRADICTED if document.get("content") and call.has_input else doubtful


def _holds(call: Call, document: Document) -> bool:
    content = (document.get("content") or "").strip()
    return bool(content) and contains(call.given_text, content)


def contains(text: str, piece: str) -> bool:
    """Tell whether a text holds a piece, as it is, with other white space, or escaped inside JSON."""
    if not piece.strip() or piece in text:
        return bool(piece.strip())
    if piece.split(None, 1)[0] not in text:
        return False
    return orjson.dumps(piece).decode()[1:-1] in text or " ".join(piece.split()) in " ".join(text.split())


def _reranked(found: list[Joined]) -> list[Joined]:
    """Let the last reranker's output replace what was retrieved before it."""
    rerankers = [joined.retrieval for joined in found if joined.retrieval["facts"].get("rerank")]
    if not rerankers:
        return found
    last = max(rerankers, key=lambda record: (record["end_ns"], record["record_id"]))
    before = [j for j in found if j.retrieval is not last and j.retrieval["end_ns"] - _SLACK_NS <= last["start_ns"]]
    replaced = {id(joined) for joined in before}
    kept = [joined for joined in found if id(joined) not in replaced]
    query = last["facts"].get("query") or next((q for j in before if (q := j.retrieval["facts"].get("query"))), None)
    told: Record = {**last, "facts": {**last["facts"], "query": query}} if query else last
    for joined in kept:
        if joined.retrieval is last:
            joined.retrieval = told
            joined.document = _completed(joined.document, [other.document for other in before])
    return kept


def _completed(document: Document, others: list[Document]) -> Document:
    """Fill in what a reranker left out from the same document as it was retrieved."""
    for other in others:
        same_id = document.get("document_id") is not None and document.get("document_id") == other.get("document_id")
        same_text = document.get("content") is not None and document.get("content") == other.get("content")
        if same_id or same_text:
            told = {key: value for key, value in document.items() if value is not None}
            return {**other, **told}  # type: ignore[typeddict-item]  # keys come from two Documents
    return document
