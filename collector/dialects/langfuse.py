"""The Langfuse SDK: ``langfuse.observation.type`` and what it observed as JSON."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

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
from collector.dialects.genai_fields import put, read_identity
from collector.dialects.messages import add_input
from collector.dialects.usage import read_usage
from collector.dialects.values import DATED, as_dict, as_float, as_name, finish_reason, provider_name, structured
from collector.raw import RawLog, RawSpan
from collector.records import Facts
from undertow import semconv as names

_PREFIX = "langfuse.observation."
_KIND = _PREFIX + "type"
_INPUT, _OUTPUT = _PREFIX + "input", _PREFIX + "output"
_MODEL = _PREFIX + "model.name"
_METADATA = _PREFIX + "metadata."
_OPERATIONS = {
    "generation": names.CHAT,
    "embedding": names.EMBEDDINGS,
    "retriever": names.RETRIEVAL,
    "tool": names.EXECUTE_TOOL,
    "agent": names.INVOKE_AGENT,
}
_DEFAULTS = {"temperature": 1, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0}


class Langfuse:
    """Observations of the Langfuse SDK; wrappers and chains keep what they saw as residue."""

    name = "langfuse"

    def claims(self, span: RawSpan) -> bool:
        """Tell whether the span names its type of observation."""
        return _KIND in span.attributes

    def read_span(self, span: RawSpan) -> Reading:
        """Read an observation by its type."""
        bag = Bag(span.attributes)
        kind = _kind(span.attributes)
        operation = _OPERATIONS.get(kind)
        facts: Facts = {}
        if operation is not None:
            bag.used.add(_KIND)
            _READERS[kind](bag, facts, span)
        else:
            read_echo(facts, span.attributes.get(_INPUT))
            read_echo(facts, span.attributes.get(_OUTPUT))
        read_identity(bag, facts)
        _read_session(bag, facts)
        return Reading(operation, facts, bag.used, failure=_failure(span))

    def read_log(self, log: RawLog, event_name: str) -> Reading | None:
        """Langfuse sends nothing in logs."""
        return None


def _kind(attributes: dict[str, Any]) -> str:
    """Return the type of an observation; the wrapper of OpenAI's SDK for TypeScript calls embeddings generations."""
    kind = str(attributes[_KIND]).lower()
    embeds = "embed" in str(attributes.get(_MODEL)).lower() and not attributes.get(_OUTPUT)
    return "embedding" if kind == "generation" and embeds else kind


def _failure(span: RawSpan) -> str | None:
    """Return what went wrong; older releases set the level and leave the status of the span alone."""
    if str(span.attributes.get(_PREFIX + "level")).upper() != "ERROR":
        return None
    return as_name(span.attributes.get(_PREFIX + "status_message")) or ""


def _read_session(bag: Bag, facts: Facts) -> None:
    """Read session and user from the metadata that LangChain's callbacks leave, unless they are known."""
    if "session_id" not in facts:
        told = bag.take("langfuse.session.id")
        put(facts, "session_id", as_name(told) or as_name(_metadata(bag, "langfuse_session_id", "thread_id")))
    if "user_id" not in facts:
        told = bag.take("langfuse.user.id")
        put(facts, "user_id", as_name(told) or as_name(_metadata(bag, "langfuse_user_id")))


def _read_generation(bag: Bag, facts: Facts, span: RawSpan) -> None:
    read_request(facts, bag.take(_INPUT))
    read_response(facts, bag.take(_OUTPUT), bare_text=True)
    _read_model(bag, facts)
    _read_rest_of_response(bag, facts)
    if "finish_reason" not in facts:
        put(facts, "finish_reason", finish_reason(_metadata(bag, "finish_reason")))
    put(facts, "prompt_name", as_name(bag.take(_PREFIX + "prompt.name")))
    put(facts, "prompt_version", as_name(bag.take(_PREFIX + "prompt.version")))
    _read_first_token(bag, facts, span)


def _read_model(bag: Bag, facts: Facts) -> None:
    """Read provider, models, parameters, usage and cost.

    One attribute names the model: the asked one at first, later the one that answered. A dated name beside an
    answer is the latter's; the asked one is then what LangChain says, else the name without its date.
    """
    put(facts, "provider", provider_name(_metadata(bag, "ls_provider")))
    read_options(facts, {"config": _parameters(as_dict(bag.take(_PREFIX + "model.parameters")))})
    model, asked = as_name(bag.take(_MODEL)), as_name(_metadata(bag, "ls_model_name"))
    usage = as_dict(bag.take(_PREFIX + "usage_details"))
    dated = DATED.fullmatch(model or "") if usage or "response" in facts or "tool_calls" in facts else None
    if dated or (asked and model != asked):
        put(facts, "response_model", model)
        asked = asked or (dated.group(1) if dated else None)
    put(facts, "request_model", asked or facts.get("request_model") or model)
    # LangChain passes on Anthropic's own report, which counts what was cached beside the input.
    read_usage(facts, usage, cached_apart=facts.get("provider") == "anthropic" and "total" not in usage)
    costs = {key: as_float(value) or 0.0 for key, value in as_dict(bag.take(_PREFIX + "cost_details")).items()}
    put(facts, "reported_cost_usd", costs.get("total") or sum(costs.values()) or None)


def _read_rest_of_response(bag: Bag, facts: Facts) -> None:
    """Read what the wrappers of OpenAI's SDK keep of an answer of the Responses API as metadata."""
    if not all(bag.mentions(_METADATA + key) for key in ("status", "instructions", "tools")):
        return
    if "system_prompt" not in facts:
        add_input(facts, facts.get("input_messages", []), _metadata(bag, "instructions"))
    if _metadata(bag, "object") == "response":
        put(facts, "response_id", facts.get("response_id") or as_name(_metadata(bag, "id")))
    unfinished = as_dict(_metadata(bag, "incomplete_details")).get("reason")
    reason = "tool_calls" if facts.get("tool_calls") else unfinished or _metadata(bag, "status")
    put(facts, "finish_reason", facts.get("finish_reason") or finish_reason(reason))


def _metadata(bag: Bag, *keys: str) -> Any:
    """Return an item of the metadata, of which some releases write strings as JSON."""
    return structured(bag.take(*[_METADATA + key for key in keys]))


def _parameters(told: dict[str, Any]) -> dict[str, Any]:
    """Return parameters without the defaults that the wrapper of OpenAI's SDK writes down for what nobody set."""
    if not _DEFAULTS.keys() - {"temperature"} <= told.keys():
        return told
    return {key: value for key, value in told.items() if key not in _DEFAULTS or value != _DEFAULTS[key]}


def _read_first_token(bag: Bag, facts: Facts, span: RawSpan) -> None:
    """Read when the answer began to come, which only a streamed one tells."""
    text = as_name(structured(bag.take(_PREFIX + "completion_start_time")))
    if text is None:
        return
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    facts["streaming"] = True
    waited = moment.timestamp() * 1000 - span.start_ns / 1e6
    if waited >= 0:
        facts["ttft_ms"] = waited


def _read_embedding(bag: Bag, facts: Facts, span: RawSpan) -> None:
    put(facts, "embedding_inputs", embedded_texts(bag.take(_INPUT)))
    bag.take(_OUTPUT)
    _read_model(bag, facts)
    if "input_tokens" in facts and "request_model" in facts:
        # The SDK names one model; where it answered, it is the answering one.
        facts.setdefault("response_model", facts["request_model"])


def _read_retriever(bag: Bag, facts: Facts, span: RawSpan) -> None:
    put(facts, "query", read_query(bag.take(_INPUT)))
    put(facts, "documents", read_found(bag.take(_OUTPUT)))


def _read_tool(bag: Bag, facts: Facts, span: RawSpan) -> None:
    put(facts, "tool_name", as_name(span.name))
    put(facts, "tool_call_id", as_name(_metadata(bag, "tool_call_id")))
    put(facts, "tool_arguments", called_with(bag.take(_INPUT)))
    read_tool_answer(facts, bag.take(_OUTPUT))


def _read_agent(bag: Bag, facts: Facts, span: RawSpan) -> None:
    put(facts, "agent_name", as_name(span.name))


_READERS: dict[str, Callable[[Bag, Facts, RawSpan], None]] = {
    "generation": _read_generation,
    "embedding": _read_embedding,
    "retriever": _read_retriever,
    "tool": _read_tool,
    "agent": _read_agent,
}
