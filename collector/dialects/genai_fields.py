"""What the current and the older GenAI conventions have in common: names, usage, parameters, retrieval, tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from collector.dialects.base import Bag
from collector.dialects.values import (
    as_bool,
    as_count,
    as_dict,
    as_float,
    as_list,
    as_name,
    as_text,
    finish_reason,
    provider_name,
    structured,
    without_binary,
    without_wrapping,
)
from collector.raw import RawSpan
from collector.records import Document, Facts
from undertow import semconv as names

_NO_PARAMETERS = frozenset({"model", "stream", "user"})
_FIRST_CHUNK = ("gen_ai.response.time_to_first_chunk", "gen_ai.client.operation.time_to_first_chunk")
"""Only a streamed answer comes in chunks."""

_FRAMEWORKS = frozenset({"strands-agents", "microsoft.agent_framework"})
"""Names of frameworks that some of them put where the provider of the model belongs."""

_IDS = ("id", "document_id", "doc_id", "chunk_id", "uid", "id_", "node_id", "_id")
_SCORES = ("score", "relevance_score", "relevance", "similarity", "similarity_score", "@search.score")
_ORIGINS = ("source", "title", "url", "uri", "file", "page", "section")
_UPDATED = ("updated_at", "last_updated", "last_modified", "modified_at", "modified", "date", "timestamp")


def put(facts: Facts, field: str, value: Any) -> None:
    """Set a fact unless there is nothing to say."""
    if value or value == 0:
        facts[field] = value  # type: ignore[literal-required]  # the table of fields is data


def _known(name: str | None) -> str | None:
    """Return a name unless it is the word that frameworks put where they do not know it."""
    return None if name is not None and name.lower() == "unknown" else name


def read_identity(bag: Bag, facts: Facts) -> None:
    """Read who is talking: session, user, agent."""
    put(facts, "session_id", as_name(bag.take(*names.SESSION_IDS)))
    put(facts, "user_id", as_name(bag.take(*names.USER_IDS)))
    put(facts, "agent_name", as_name(bag.take(names.AGENT_NAME)))


def read_model(bag: Bag, facts: Facts) -> None:
    """Read provider, models, usage, parameters, how the call went."""
    provider = _known(provider_name(bag.take(*names.PROVIDER_NAMES)))
    put(facts, "provider", None if provider in _FRAMEWORKS else provider)
    put(facts, "request_model", _known(as_name(bag.take(names.REQUEST_MODEL))))
    put(facts, "response_model", as_name(bag.take(names.RESPONSE_MODEL)))
    put(facts, "response_id", as_name(bag.take(names.RESPONSE_ID)))
    put(facts, "finish_reason", finish_reason(bag.take(*names.FINISH_REASON_KEYS)))
    for field, keys in names.USAGE.items():
        put(facts, field, as_count(bag.take(*keys)))
    _drop_unfilled(facts)
    include_cached(facts)
    put(facts, "reported_cost_usd", as_float(bag.take(*names.COST_KEYS)))
    put(facts, "streaming", as_bool(bag.take(*names.STREAM_KEYS)))
    first_chunk = as_float(bag.take(*_FIRST_CHUNK))
    if first_chunk is not None:
        facts.setdefault("streaming", True)
    seconds = as_float(bag.take(*names.TTFT_SECONDS))
    put(facts, "ttft_ms", None if seconds is None else seconds * 1000)
    parameters = bag.take_prefix(names.REQUEST_PREFIX)
    put(facts, "parameters", {key: structured(v) for key, v in parameters.items() if key not in _NO_PARAMETERS})


def _drop_unfilled(facts: Facts) -> None:
    """Drop counts that nobody filled in: no model is called with no tokens at all."""
    if facts.get("input_tokens") == 0 and not facts.get("output_tokens"):
        for field in names.USAGE:
            if facts.get(field) == 0:
                del facts[field]  # type: ignore[misc]  # the table of fields is data


def include_cached(facts: Facts) -> None:
    """Add cached tokens to the input where they evidently stand beside it: there are more of them than of all input."""
    given = facts.get("input_tokens")
    cached = facts.get("cache_read_tokens", 0) + facts.get("cache_write_tokens", 0)
    if given is not None and cached > given:
        facts["input_tokens"] = given + cached


def read_first_token(span: RawSpan, facts: Facts) -> None:
    """Read when the first token came from the first event of a streamed piece, unless it is known."""
    if "ttft_ms" not in facts:
        times = [event.time_ns for event in span.events if event.name in names.CHUNK_EVENTS]
        if times and min(times) >= span.start_ns:
            facts["ttft_ms"] = (min(times) - span.start_ns) / 1e6


def read_prompt(bag: Bag, facts: Facts) -> None:
    """Read which prompt template was filled in, and with what."""
    put(facts, "prompt_name", as_name(bag.take(names.PROMPT_NAME)))
    put(facts, "prompt_version", as_name(bag.take(names.PROMPT_VERSION)))
    put(facts, "prompt_template", as_text(bag.take(names.PROMPT_TEMPLATE)))
    variables = bag.take_prefix(names.PROMPT_VARIABLE)
    put(facts, "prompt_variables", {key: as_text(value) or "" for key, value in variables.items()})


def read_retrieval(bag: Bag, facts: Facts) -> None:
    """Read what was looked for and found."""
    put(facts, "query", as_text(bag.take(*names.RETRIEVAL_QUERIES)))
    put(facts, "documents", read_documents(bag.take(names.RETRIEVAL_DOCUMENTS)))
    put(facts, "rerank", True if bag.take(names.OPERATION_NAME) == "rerank" else None)


def read_tool(bag: Bag, facts: Facts) -> None:
    """Read one execution of a tool."""
    put(facts, "tool_name", as_name(bag.take(names.TOOL_NAME)))
    put(facts, "tool_call_id", _known(as_name(bag.take(names.TOOL_CALL_ID))))
    put(facts, "tool_arguments", structured(bag.take(*names.TOOL_ARGUMENTS)))
    put(facts, "tool_result", without_wrapping(structured(bag.take(*names.TOOL_RESULTS))))


FIELDS: dict[str, tuple[Callable[[Bag, Facts], None], ...]] = {
    names.CHAT: (read_model, read_prompt, read_identity),
    names.TEXT_COMPLETION: (read_model, read_prompt, read_identity),
    names.EMBEDDINGS: (read_model, read_identity),
    names.RETRIEVAL: (read_retrieval, read_identity),
    names.EXECUTE_TOOL: (read_tool, read_identity),
}
"""What is read from a span of each operation; from any other only who is talking."""


# --- Documents ---------------------------------------------------------------------------------------


def read_documents(value: Any) -> list[Document]:
    """Return retrieved documents in rank order from a list in any usual shape."""
    found = structured(value)
    if isinstance(found, dict):
        found = found.get("documents") or found.get("results") or found.get("matches") or [found]
    return [document for document in map(_document, as_list(found)) if document]


def _document(value: Any) -> Document | None:
    item = structured(value)
    if isinstance(item, str):
        return {
            "document_id": None,
            "content": without_binary(item),
            "relevance": None,
            "metadata": None,
            "updated_at": None,
        }
    if not isinstance(item, dict):
        return None
    for key in ("document", "kwargs", "node", "record"):
        inner = item.get(key)
        if isinstance(inner, dict):
            item = {**item, **inner}
    metadata = as_dict(item.get("metadata") or item.get("meta"))
    metadata = metadata or {key: item[key] for key in _ORIGINS if isinstance(item.get(key), str | int)}
    document: Document = {
        "document_id": as_name(_told(item, metadata, *_IDS)),
        "content": as_text(_first(item, "content", "page_content", "text")),
        "relevance": as_float(_told(item, metadata, *_SCORES)),
        "metadata": metadata or None,
        "updated_at": as_name(_first(item, "updated_at") or _first(metadata, *_UPDATED)),
    }
    return document if any(value is not None for value in document.values()) else None


def _told(item: dict[str, Any], metadata: dict[str, Any], *keys: str) -> Any:
    """Return what a document says of itself, else what its metadata say of it."""
    found = _first(item, *keys)
    return _first(metadata, *keys) if found is None else found


def _first(holder: dict[str, Any], *keys: str) -> Any:
    for key in keys:
        value = holder.get(key)
        if value is not None:
            return value
    return None
