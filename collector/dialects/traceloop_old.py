"""Traceloop's OpenLLMetry before it took up the GenAI operations: ``traceloop.span.kind`` and ``llm.request.type``."""

from __future__ import annotations

from typing import Any

from collector.dialects.base import Bag, Reading
from collector.dialects.genai_fields import put
from collector.dialects.otel_genai_old import OtelGenaiOld
from collector.dialects.traceloop import KIND, completed, is_marked
from collector.dialects.values import as_count, as_dict, as_float, as_name, as_text, structured
from collector.raw import RawEvent, RawLog, RawSpan
from collector.records import Document, Facts
from undertow import semconv as names

_GENAI = OtelGenaiOld()
_REQUEST_TYPE = "llm.request.type"
_OUTPUT = "traceloop.entity.output"
_EMBEDDER = "embedding.model_name"
_EMPTY = frozenset({'""', "[]"})
_RESULTS = {"db.query.result": "db.query.result.", "db.search.result": "db.search.result."}
"""Events of vector databases, one for each document that was found, and the prefix of their attributes."""

_OPERATIONS = {
    "tool": names.EXECUTE_TOOL,
    "agent": names.INVOKE_AGENT,
    "workflow": names.INVOKE_WORKFLOW,
}
_RERANKERS = ("rerank", "postprocess")


class TraceloopOld:
    """Spans of older OpenLLMetry releases, of its decorators, and of its vector databases."""

    name = "traceloop_old"

    def claims(self, span: RawSpan) -> bool:
        """Tell whether the span carries any of Traceloop's marks, or documents that a database found."""
        return _REQUEST_TYPE in span.attributes or is_marked(span) or any(e.name in _RESULTS for e in span.events)

    def read_span(self, span: RawSpan) -> Reading:
        """Read the older GenAI names, and what only Traceloop's own say."""
        read = _GENAI.read_span(span)
        facts: Facts = {**read.facts}
        operation = _operation_of(span, read.operation)
        used_events = set(read.used_events)
        if operation in names.MODEL_CALLS:
            _read_more(span, facts, read.used)
            _drop_empty(facts)
        elif operation == names.RETRIEVAL:
            put(facts, "rerank", _reranks(span) or None)
            put(facts, "documents", _found(span.events))
            used_events |= _RESULTS.keys()
        return completed(span, operation, Reading(operation, facts, read.used, frozenset(used_events)))

    def read_log(self, log: RawLog, event_name: str) -> Reading | None:
        """Its log records are those of the older GenAI conventions."""
        return None


def _operation_of(span: RawSpan, said: str | None) -> str | None:
    """Return the operation: of a model's call what it says, else by kind, else by what came out."""
    if said in names.MODEL_CALLS:
        # The chats of some providers call themselves completions.
        wrong = said == names.TEXT_COMPLETION and span.name.endswith((".chat", ".converse"))
        return names.CHAT if wrong else said
    if _EMBEDDER in span.attributes:
        return names.EMBEDDINGS
    kind = _OPERATIONS.get(str(span.attributes.get(KIND)).lower())
    if kind == names.EXECUTE_TOOL or "tool.name" in span.attributes:
        return names.EXECUTE_TOOL
    if any(event.name in _RESULTS for event in span.events) or _returns_nodes(span.attributes):
        return names.RETRIEVAL
    return kind or said


def _returns_nodes(attributes: dict[str, Any]) -> bool:
    """Tell whether a step returned LlamaIndex's nodes with their scores."""
    text = attributes.get(_OUTPUT)
    if not isinstance(text, str) or "NodeWithScore" not in text and '"score' not in text and '\\"score' not in text:
        return False
    found = structured(text)
    if not isinstance(found, list) or not found:
        return False
    return all("node" in node and "score" in node for node in map(as_dict, found))


def _reranks(span: RawSpan) -> bool:
    words = f"{span.name} {span.attributes.get('traceloop.entity.name')} {span.attributes.get(_REQUEST_TYPE)}".lower()
    return any(word in words for word in _RERANKERS)


def _read_more(span: RawSpan, facts: Facts, used: set[str]) -> None:
    bag = Bag(span.attributes)
    if "reasoning_tokens" not in facts:
        put(facts, "reasoning_tokens", as_count(bag.take("llm.usage.reasoning_tokens")))
    if "request_model" not in facts:
        put(facts, "request_model", as_name(bag.take(_EMBEDDER)))
    used |= bag.used


def _drop_empty(facts: Facts) -> None:
    """Drop content that is nothing but the JSON of an empty string or list, which stands beside tool calls."""
    if facts.get("response") in _EMPTY:
        del facts["response"]
    if any(message.get("content") in _EMPTY for message in facts.get("input_messages", ())):
        facts["input_messages"] = [
            {**message, "content": None} if message.get("content") in _EMPTY else message
            for message in facts["input_messages"]
        ]


def _found(events: list[RawEvent]) -> list[Document]:
    """Return what a vector database found; its distances are no relevance."""
    documents: list[Document] = []
    for event in events:
        prefix = _RESULTS.get(event.name)
        if prefix is None:
            continue
        told = event.attributes
        entity = as_dict(told.get(prefix + "entity"))
        metadata = as_dict(told.get(prefix + "metadata")) or entity
        content = told.get(prefix + "document") or next((metadata[k] for k in _TEXTS if k in metadata), None)
        documents.append(
            {
                "document_id": as_name(told.get(prefix + "id")),
                "content": as_text(content),
                "relevance": as_float(told.get(prefix + "score")),
                "metadata": metadata or None,
                "updated_at": None,
            }
        )
    return documents


_TEXTS = ("text", "content", "page_content", "document")
