"""LiteLLM's own OpenTelemetry callback: GenAI names of all ages, and a child span with the provider's raw words.

The child (``raw_gen_ai_request``, attributes ``llm.<provider>.<field>``) tells of the same call again. It is read
without its token counts, so that the span above it stays the one that is kept.
"""

from __future__ import annotations

import re
from typing import Literal

from collector.dialects.base import Bag, Reading
from collector.dialects.exchange import embedded_texts, read_request, read_response
from collector.dialects.genai_fields import put
from collector.dialects.otel_genai import OtelGenai
from collector.dialects.otel_genai_old import OtelGenaiOld
from collector.dialects.usage import read_usage
from collector.dialects.values import as_bool, as_dict, as_float, as_name, provider_name, structured
from collector.raw import RawLog, RawSpan
from collector.records import Facts
from undertow import semconv as names

_GENAI = OtelGenai()
_OLD = OtelGenaiOld()
_CALL_ID = "litellm.call_id"
_CHATS = frozenset({"completion", "acompletion", "responses", "aresponses"})
"""LiteLLM's functions, which older versions send as the type of the request."""

_RAW = re.compile(r"llm\.([a-z0-9_\-]+)\.(messages|choices|contents?|candidates|output|input|prompt)")
_SESSIONS = ("metadata.session_id", "litellm.metadata.session_id", "metadata.litellm_session_id")
_ANSWERS = ("choices", "content", "candidates", "output", "usage", "id", "role", "type", "stop_reason")
_TOKENS = ("usage", "usageMetadata", "usage_metadata")
_USERS = ("metadata.user_api_key_end_user_id", "litellm.end_user.id", "metadata.user_id", "llm.user")


_TEXT_COMPLETION = "text-completion-"
_COUNTED: tuple[Literal["input_tokens", "output_tokens", "reported_cost_usd"], ...] = (
    "input_tokens",
    "output_tokens",
    "reported_cost_usd",
)


class Litellm:
    """Spans of LiteLLM, as a library and as a proxy."""

    name = "litellm"

    def claims(self, span: RawSpan) -> bool:
        """Tell whether the span carries LiteLLM's marks, or the raw words of a provider in LiteLLM's form."""
        attributes = span.attributes
        if _CALL_ID in attributes or "litellm.provider.model" in attributes or "hidden_params" in attributes:
            return True
        return bool(attributes) and _raw_provider(span) is not None

    def read_span(self, span: RawSpan) -> Reading:
        """Read a call, by the names of whichever age it has."""
        provider = _raw_provider(span)
        if provider is not None and names.REQUEST_MODEL not in span.attributes:
            return _read_raw(span, provider)
        told = (_GENAI if names.OPERATION_NAME in span.attributes else _OLD).read_span(span)
        bag = Bag(span.attributes)
        bag.used |= told.used
        facts = told.facts
        operation = told.operation
        if operation in names.MODEL_CALLS:
            _read_beside(bag, facts)
            if names.OPERATION_NAME not in span.attributes and bag.take("llm.request.type") in _CHATS:
                operation = names.CHAT
        _read_people(bag, facts)
        return Reading(operation, facts, bag.used, told.used_events)

    def read_log(self, log: RawLog, event_name: str) -> Reading | None:
        """LiteLLM's logs are those of the older GenAI conventions."""
        return None


def _raw_provider(span: RawSpan) -> str | None:
    return next((found[1] for key in span.attributes if (found := _RAW.fullmatch(key))), None)


def _read_beside(bag: Bag, facts: Facts) -> None:
    """Read what stands beside the GenAI names: details of usage, cost, prompt, streaming."""
    read_usage(facts, bag.take("metadata.usage_object"))
    hidden = as_dict(bag.take("hidden_params"))
    bag.used.discard("hidden_params")
    cost = facts.get("reported_cost_usd") or as_float(bag.take("litellm.cost.total"))
    put(facts, "reported_cost_usd", cost if cost is not None else as_float(hidden.get("response_cost")))
    put(facts, "streaming", facts.get("streaming", as_bool(bag.take("litellm.request.streaming"))))
    prompt = as_dict(bag.take("metadata.prompt_management_metadata"))
    put(facts, "prompt_name", facts.get("prompt_name") or as_name(prompt.get("prompt_id")))
    _read_names(facts)
    if facts.keys() & {"response", "tool_calls"} and not any(facts.get(name) for name in _COUNTED):
        # A stream that tells no usage: LiteLLM counts what it did not see as nothing, at no cost.
        for name in _COUNTED:
            facts.pop(name, None)
    if facts.get("response_id") == bag.take(_CALL_ID):
        # What LiteLLM made up itself, where no answer came.
        facts.pop("response_id", None)


def _read_names(facts: Facts) -> None:
    """Tell the provider from the way to reach it, and leave it out of the names of models."""
    told = facts.get("provider", "")
    provider = provider_name(told.removeprefix(_TEXT_COMPLETION))
    put(facts, "provider", provider)
    for name in ("request_model", "response_model"):
        prefix, _, model = str(facts.get(name, "")).partition("/")
        if model and prefix in (told, provider):  # what a cache answered is named as it was asked for
            put(facts, name, model)


def _read_people(bag: Bag, facts: Facts) -> None:
    requester = as_dict(bag.take("metadata.requester_metadata"))
    bag.used.discard("metadata.requester_metadata")
    session = as_name(bag.take(*_SESSIONS)) or as_name(requester.get("session_id"))
    put(facts, "session_id", facts.get("session_id") or session)
    user = as_name(bag.take(*_USERS)) or as_name(requester.get("user_id"))
    put(facts, "user_id", facts.get("user_id") or user)


def _read_raw(span: RawSpan, provider: str) -> Reading:
    """Read the provider's request and answer, the fields of both under one prefix."""
    prefix = f"llm.{provider}."
    bag = Bag(span.attributes)
    exchange = {key: structured(value) for key, value in bag.take_prefix(prefix).items()}
    facts: Facts = {}
    put(facts, "provider", provider_name(provider.removeprefix(_TEXT_COMPLETION)))
    if "data" in exchange and not exchange.keys() & {"choices", "content", "output", "candidates"}:
        put(facts, "embedding_inputs", embedded_texts(exchange.get("input")))
        put(facts, "response_model", as_name(exchange.get("model")))
        return Reading(names.EMBEDDINGS, facts, bag.used)
    asked = {key: value for key, value in exchange.items() if key not in _ANSWERS}
    read_request(facts, asked)
    # What is called model is the answering one; the span above tells the asked one.
    facts.pop("request_model", None)
    answered = {key: value for key, value in exchange.items() if key not in ("input", "messages", *_TOKENS)}
    read_response(facts, answered)
    # LiteLLM gives some answers an id of its own, which the span above tells.
    facts.pop("response_id", None)
    return Reading(names.CHAT, facts, bag.used)
