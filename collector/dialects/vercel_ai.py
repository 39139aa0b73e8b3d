"""Vercel AI SDK: ``ai.operationId`` up to version 6, GenAI names with ``ai.*`` beside them from version 7 on.

A wrapper (``ai.generateText``) repeats the words and sums the tokens of the model calls below it, which end in
``.doGenerate``, ``.doStream`` or ``.doEmbed``. Only those are calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from collector.dialects.base import Bag, Reading
from collector.dialects.genai_fields import include_cached, put, read_documents, read_identity, read_model, read_prompt
from collector.dialects.messages import add_input, add_output, read_call, read_messages
from collector.dialects.otel_genai import OtelGenai
from collector.dialects.values import (
    as_count,
    as_dict,
    as_float,
    as_list,
    as_name,
    as_text,
    finish_reason,
    provider_name,
    structured,
)
from collector.raw import RawLog, RawSpan
from collector.records import Facts
from undertow import semconv as names

_GENAI = OtelGenai()
_OPERATION_ID = "ai.operationId"
_FIRST_CHUNK_EVENT = "ai.stream.firstChunk"
_FIRST_CHUNK = ("ai.response.msToFirstChunk", "ai.stream.msToFirstChunk")
_STREAM_EVENTS = frozenset({_FIRST_CHUNK_EVENT, "ai.stream.finish"})
_CARRIED = (
    "operation.name",
    "resource.name",
    "ai.usage.totalTokens",
    "ai.response.timestamp",
    "ai.stream.msToFirstChunk",
)
_BESIDE_GENAI = (
    "ai.usage.",
    "ai.settings.",
    "ai.request.headers.",
    "ai.response.",
    "ai.value",
    "ai.embedding",
    "ai.documents",
    "ai.ranking",
    "ai.schema",
    "ai.prompt.",
)
_PROVIDERS = {
    "google.vertex": "gcp.vertex_ai",
    "google": "gcp.gemini",
    "google-vertex": "gcp.vertex_ai",
    "vertex": "gcp.vertex_ai",
    "amazon-bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azure-openai": "azure.ai.openai",
}
_USAGE = {
    "input_tokens": ("ai.usage.inputTokens", "ai.usage.promptTokens"),
    "output_tokens": ("ai.usage.outputTokens", "ai.usage.completionTokens"),
    "cache_read_tokens": ("ai.usage.inputTokenDetails.cacheReadTokens", "ai.usage.cachedInputTokens"),
    "cache_write_tokens": ("ai.usage.inputTokenDetails.cacheWriteTokens",),
    "reasoning_tokens": ("ai.usage.outputTokenDetails.reasoningTokens", "ai.usage.reasoningTokens"),
}
_TEXT_OF_DOCUMENT = {"content", "text", "page_content"}
_SETTINGS = {
    "temperature": "temperature",
    "maxTokens": "max_tokens",
    "maxOutputTokens": "max_tokens",
    "topP": "top_p",
    "topK": "top_k",
    "frequencyPenalty": "frequency_penalty",
    "presencePenalty": "presence_penalty",
    "stopSequences": "stop_sequences",
    "seed": "seed",
}
_HOLDERS = ("ai.telemetry.metadata.", "ai.settings.context.")
_SESSIONS = (
    "sessionId",
    "session_id",
    "session.id",
    "conversationId",
    "conversation_id",
    "threadId",
    "thread_id",
    "chatId",
)
_USERS = ("userId", "user_id", "user.id")


class VercelAi:
    """Spans of the AI SDK for TypeScript."""

    name = "vercel_ai"

    def claims(self, span: RawSpan) -> bool:
        """Tell whether the span names an operation of the AI SDK, or GenAI names stand beside the SDK's own."""
        attributes = span.attributes
        if _OPERATION_ID in attributes:
            return True
        return names.OPERATION_NAME in attributes and any(key.startswith(_BESIDE_GENAI) for key in attributes)

    def read_span(self, span: RawSpan) -> Reading:
        """Read a leaf as what it is, and of a wrapper only who is talking."""
        bag = Bag(span.attributes)
        facts: Facts = {}
        operation_id = as_name(bag.take(_OPERATION_ID))
        if operation_id is None:
            return _read_genai(span, bag)
        step = operation_id.rpartition(".")[2]
        operation, read = _STEPS.get(step, (_WRAPPERS.get(operation_id), _read_wrapper))
        _read_people(bag, facts)
        read(bag, facts)
        if operation in names.MODEL_CALLS:
            _read_first_chunk(span, bag, facts)
            bag.take(*_CARRIED)
        if step in ("doGenerate", "doStream"):
            put(facts, "streaming", step == "doStream")
        return Reading(operation, facts, bag.used, _STREAM_EVENTS)

    def read_log(self, log: RawLog, event_name: str) -> Reading | None:
        """The AI SDK sends nothing in logs."""
        return None


def _read_genai(span: RawSpan, bag: Bag) -> Reading:
    """Read a span of version 7: GenAI names, and what only the SDK's own names say."""
    told = _GENAI.read_span(span)
    facts = told.facts
    bag.used |= told.used
    if told.operation in names.MODEL_CALLS:
        _read_usage(bag, facts)
        _read_settings(bag, facts)
    if told.operation == names.EMBEDDINGS:
        _name_embedder(facts)
        _read_values(bag, facts)
    if told.operation == names.RETRIEVAL:
        _read_ranking(bag, facts)
    _read_people(bag, facts)
    return Reading(told.operation, facts, bag.used, told.used_events)


# --- Kinds of spans ----------------------------------------------------------------------------------


def _read_wrapper(bag: Bag, facts: Facts) -> None:
    put(facts, "agent_name", as_name(bag.take("ai.telemetry.functionId")))


def _read_call(bag: Bag, facts: Facts) -> None:
    _read_names(bag, facts)
    read_prompt(bag, facts)
    add_input(facts, read_messages(bag.take("ai.prompt.messages")))
    _read_answer(bag, facts)


def _read_names(bag: Bag, facts: Facts) -> None:
    """Read model, usage and settings; the SDK's own names first, they say more than the GenAI names beside them."""
    _read_usage(bag, facts)
    read_model(bag, facts)
    put(facts, "provider", _provider(as_name(bag.take("ai.model.provider", *names.PROVIDER_NAMES))))
    put(facts, "request_model", facts.get("request_model") or as_name(bag.take("ai.model.id")))
    put(facts, "response_model", as_name(bag.take("ai.response.model")) or facts.get("response_model"))
    put(facts, "response_id", as_name(bag.take("ai.response.id")) or facts.get("response_id"))
    bag.take("ai.model.id", *names.PROVIDER_NAMES)
    _read_settings(bag, facts)


def _provider(name: str | None) -> str | None:
    """Return the provider in ``openai.chat``, ``google.vertex.chat`` or ``amazon-bedrock``."""
    if name is None:
        return None
    words = name.lower().split(".")
    return _PROVIDERS.get(".".join(words[:2])) or _PROVIDERS.get(words[0]) or provider_name(words[0])


def _read_usage(bag: Bag, facts: Facts) -> None:
    for field, keys in _USAGE.items():
        count = as_count(bag.take(*keys))
        if field not in facts:
            put(facts, field, count)
    bag.take("ai.usage.inputTokenDetails.noCacheTokens", "ai.usage.outputTokenDetails.textTokens")
    include_cached(facts)


def _read_settings(bag: Bag, facts: Facts) -> None:
    parameters = dict(facts.get("parameters", {}))
    for key, field in _SETTINGS.items():
        value = structured(bag.take("ai.settings." + key))
        if value is not None:
            parameters.setdefault(field, value)
    put(facts, "parameters", parameters)


def _read_answer(bag: Bag, facts: Facts) -> None:
    text = as_text(bag.take("ai.response.text", "ai.result.text")) or as_text(
        bag.take("ai.response.object", "ai.result.object")
    )
    bag.take("ai.response.object")
    reason = bag.take("ai.response.finishReason", "ai.finishReason")
    add_output(facts, [{"role": "assistant", "content": text}] if text else [])
    put(facts, "finish_reason", finish_reason(reason) or facts.get("finish_reason"))
    calls = [read_call(item) for item in as_list(bag.take("ai.response.toolCalls", "ai.result.toolCalls"))]
    put(facts, "tool_calls", [call for call in calls if call])


def _read_first_chunk(span: RawSpan, bag: Bag, facts: Facts) -> None:
    told = as_float(bag.take(*_FIRST_CHUNK))
    if told is None:
        told = next(
            (as_float(e.attributes.get(_FIRST_CHUNK[0])) for e in span.events if e.name == _FIRST_CHUNK_EVENT), None
        )
    put(facts, "ttft_ms", told)


def _read_embedding(bag: Bag, facts: Facts) -> None:
    put(facts, "input_tokens", as_count(bag.take("ai.usage.tokens")))
    _read_names(bag, facts)
    _name_embedder(facts)
    _read_values(bag, facts)


def _name_embedder(facts: Facts) -> None:
    """Name the model that answered: the SDK names one, and where there is a count of tokens, it answered."""
    if "input_tokens" in facts:
        put(facts, "response_model", facts.get("response_model") or facts.get("request_model"))


def _read_values(bag: Bag, facts: Facts) -> None:
    values = as_list(bag.take("ai.values")) or as_list(bag.take("ai.value"))
    texts = [as_text(structured(value)) for value in values]
    put(facts, "embedding_inputs", [text for text in texts if text])
    # The vectors are not kept: they are large, and of another model than ours.
    bag.take("ai.embeddings", "ai.embedding")


def _read_tool(bag: Bag, facts: Facts) -> None:
    put(facts, "tool_name", as_name(bag.take("ai.toolCall.name")))
    put(facts, "tool_call_id", as_name(bag.take("ai.toolCall.id")))
    put(facts, "tool_arguments", structured(bag.take("ai.toolCall.args", "ai.toolCall.input")))
    put(facts, "tool_result", structured(bag.take("ai.toolCall.result", "ai.toolCall.output")))


def _read_ranking(bag: Bag, facts: Facts) -> None:
    """Read what a reranker was given, in the order in which it ranked it."""
    given = [structured(item) for item in as_list(bag.take("ai.documents"))]
    ranked: list[Any] = []
    for item in map(as_dict, as_list(bag.take("ai.ranking"))):
        index = as_count(item.get("originalIndex", item.get("index")))
        if index is not None and index < len(given):
            relevance = item.get("score", item.get("relevanceScore"))
            document = (
                given[index] if _TEXT_OF_DOCUMENT & as_dict(given[index]).keys() else {"content": as_text(given[index])}
            )
            ranked.append({**document, "score": relevance})
    put(facts, "documents", read_documents(ranked))
    put(facts, "rerank", True)


def _read_people(bag: Bag, facts: Facts) -> None:
    read_identity(bag, facts)
    for field, keys in (("session_id", _SESSIONS), ("user_id", _USERS)):
        told = bag.take(*(holder + key for holder in _HOLDERS for key in keys))
        if field not in facts:
            put(facts, field, as_name(told))


_Read = tuple[str | None, Callable[[Bag, Facts], None]]
_STEPS: dict[str, _Read] = {
    "doGenerate": (names.CHAT, _read_call),
    "doStream": (names.CHAT, _read_call),
    "doEmbed": (names.EMBEDDINGS, _read_embedding),
    "doRerank": (names.RETRIEVAL, _read_ranking),
    "toolCall": (names.EXECUTE_TOOL, _read_tool),
}
_WRAPPERS = {
    "ai.generateText": names.INVOKE_AGENT,
    "ai.streamText": names.INVOKE_AGENT,
    "ai.generateObject": names.INVOKE_AGENT,
    "ai.streamObject": names.INVOKE_AGENT,
}
