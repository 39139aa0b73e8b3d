"""MLflow: ``mlflow.spanType``, whole inputs and outputs, and every attribute's value written as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from collector.dialects.base import Bag, Reading
from collector.dialects.exchange import (
    called_with,
    embedded_texts,
    read_echo,
    read_found,
    read_options,
    read_query,
    read_request,
    read_response,
    read_tool_answer,
)
from collector.dialects.genai_fields import put
from collector.dialects.usage import read_usage
from collector.dialects.values import as_dict, as_float, as_list, as_name, provider_name, structured
from collector.raw import RawEvent, RawLog, RawSpan
from collector.records import Facts
from undertow import semconv as names

_KIND = "mlflow.spanType"
_INPUT, _OUTPUT = "mlflow.spanInputs", "mlflow.spanOutputs"
_FORMAT = "mlflow.message.format"
_CHUNK = "mlflow.chunk.item."
_OPERATIONS = {
    "CHAT_MODEL": names.CHAT,
    "LLM": names.CHAT,
    "EMBEDDING": names.EMBEDDINGS,
    "RETRIEVER": names.RETRIEVAL,
    "RERANKER": names.RETRIEVAL,
    "TOOL": names.EXECUTE_TOOL,
    "AGENT": names.INVOKE_AGENT,
}
_SDKS = frozenset({"openai", "anthropic", "gemini", "bedrock", "groq", "mistral", "cohere"})
"""Formats of messages that are a provider's own; the others are a framework's."""


class Mlflow:
    """Spans of MLflow's tracing, by hand or by autologging."""

    name = "mlflow"

    def claims(self, span: RawSpan) -> bool:
        """Tell whether the span names its MLflow type."""
        return _KIND in span.attributes

    def read_span(self, span: RawSpan) -> Reading:
        """Read a span by its type."""
        bag = Bag(span.attributes)
        kind = str(structured(span.attributes[_KIND])).upper()
        operation = _OPERATIONS.get(kind)
        facts: Facts = {}
        if operation is not None:
            bag.used.add(_KIND)
            _READERS[kind](bag, facts, span)
        else:
            read_echo(facts, span.attributes.get(_INPUT))
            read_echo(facts, span.attributes.get(_OUTPUT))
        put(facts, "session_id", _name(bag, *names.SESSION_IDS, "mlflow.trace.session"))
        put(facts, "user_id", _name(bag, *names.USER_IDS, "mlflow.trace.user"))
        return Reading(operation, facts, bag.used)

    def read_log(self, log: RawLog, event_name: str) -> Reading | None:
        """MLflow sends nothing in logs."""
        return None


def _value(bag: Bag, *keys: str) -> Any:
    """Return a value without its outer JSON, and only that: what is inside may be text that looks like JSON."""
    value = bag.take(*keys)
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return structured(value)


def _name(bag: Bag, *keys: str) -> str | None:
    return as_name(_value(bag, *keys))


def _read_call(bag: Bag, facts: Facts, span: RawSpan) -> None:
    read_request(facts, _value(bag, _INPUT))
    read_response(facts, _value(bag, _OUTPUT), bare_text=True)
    _read_model(bag, facts)
    linked = as_list(_value(bag, "mlflow.linkedPrompts"))
    prompt = as_dict(linked[0]) if linked else {}
    put(facts, "prompt_name", as_name(prompt.get("name")))
    put(facts, "prompt_version", as_name(prompt.get("version")))
    _read_chunks(span.events, facts, span.start_ns)


def _read_model(bag: Bag, facts: Facts) -> None:
    """Add what attributes say of provider, models, usage and cost; ``mlflow.llm.model`` is the best that is known."""
    own = _name(bag, _FORMAT)
    put(facts, "provider", provider_name(_name(bag, "mlflow.llm.provider")) or _of_sdk(own))
    read_options(facts, as_dict(_value(bag, "invocation_params")))
    if "request_model" not in facts:
        put(facts, "request_model", _name(bag, "model"))
    model = _name(bag, "mlflow.llm.model")
    if "request_model" not in facts:
        put(facts, "request_model", model)
    elif "response_model" not in facts and model != facts["request_model"]:
        put(facts, "response_model", model)
    read_usage(facts, _value(bag, "mlflow.chat.tokenUsage"), cached_apart=own == "anthropic")
    put(facts, "reported_cost_usd", as_float(as_dict(_value(bag, "mlflow.llm.cost")).get("total_cost")))


def _of_sdk(own: str | None) -> str | None:
    return provider_name(own) if own in _SDKS else None


def _read_chunks(events: list[RawEvent], facts: Facts, start_ns: int) -> None:
    """Read when the first piece of a streamed answer came."""
    times = [event.time_ns for event in events if event.name.startswith(_CHUNK)]
    if times:
        facts["streaming"] = True
        if min(times) >= start_ns:
            facts["ttft_ms"] = (min(times) - start_ns) / 1e6


def _read_embedding(bag: Bag, facts: Facts, span: RawSpan) -> None:
    given = _value(bag, _INPUT)
    put(facts, "embedding_inputs", embedded_texts(given))
    read_options(facts, as_dict(called_with(given)))
    # The vectors are not kept: they are large, and of another model than ours.
    answered = as_dict(_value(bag, _OUTPUT))
    put(facts, "response_model", as_name(answered.get("model")))
    read_usage(facts, answered.get("usage"))
    _read_model(bag, facts)


def _read_retriever(bag: Bag, facts: Facts, span: RawSpan) -> None:
    put(facts, "query", read_query(_value(bag, _INPUT)))
    put(facts, "documents", read_found(_value(bag, _OUTPUT)))


def _read_reranker(bag: Bag, facts: Facts, span: RawSpan) -> None:
    _read_retriever(bag, facts, span)
    facts["rerank"] = True


def _read_tool(bag: Bag, facts: Facts, span: RawSpan) -> None:
    put(facts, "tool_name", as_name(span.name))
    put(facts, "tool_arguments", called_with(_value(bag, _INPUT)))
    read_tool_answer(facts, _value(bag, _OUTPUT))


def _read_agent(bag: Bag, facts: Facts, span: RawSpan) -> None:
    put(facts, "agent_name", as_name(span.name))


_READERS: dict[str, Callable[[Bag, Facts, RawSpan], None]] = {
    "CHAT_MODEL": _read_call,
    "LLM": _read_call,
    "EMBEDDING": _read_embedding,
    "RETRIEVER": _read_retriever,
    "RERANKER": _read_reranker,
    "TOOL": _read_tool,
    "AGENT": _read_agent,
}
