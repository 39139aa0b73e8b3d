"""LangSmith's export of its runs: ``langsmith.span.kind``, and inputs and outputs as JSON in ``gen_ai.prompt``.

Of the names that it borrows from the GenAI conventions, ``gen_ai.operation.name`` is not to be trusted: retrievers
are called embeddings and prompt templates chats.
"""

from __future__ import annotations

from collections.abc import Callable

from collector.dialects.base import Bag, Reading
from collector.dialects.exchange import (
    called_with,
    embedded_texts,
    read_found,
    read_query,
    read_request,
    read_response,
    read_tool_answer,
)
from collector.dialects.genai_fields import put, read_identity, read_model
from collector.dialects.usage import read_usage
from collector.dialects.values import as_bool, as_dict, as_name, finish_reason, provider_name, structured
from collector.raw import RawLog, RawSpan
from collector.records import Facts
from undertow import semconv as names

_KIND = "langsmith.span.kind"
_METADATA = "langsmith.metadata."
_OPERATIONS = {
    "llm": names.CHAT,
    "embedding": names.EMBEDDINGS,
    "retriever": names.RETRIEVAL,
    "tool": names.EXECUTE_TOOL,
}
_FRAMEWORKS = frozenset({"langchain", "langgraph", "langsmith"})
_SESSIONS = ("session_id", "thread_id", "conversation_id", "__ls_thread_id")
_USERS = ("user_id", "ls_user_id", "user")


class Langsmith:
    """Runs of LangChain, of ``@traceable`` and of wrapped clients, exported by the LangSmith SDK."""

    name = "langsmith"

    def claims(self, span: RawSpan) -> bool:
        """Tell whether the span names the kind of its run."""
        return _KIND in span.attributes

    def read_span(self, span: RawSpan) -> Reading:
        """Read a run by its kind."""
        bag = Bag(span.attributes)
        kind = str(span.attributes[_KIND]).lower()
        operation = _OPERATIONS.get(kind)
        facts: Facts = {}
        _read_session(bag, facts)
        read_identity(bag, facts)
        if operation is not None:
            bag.used |= {_KIND, names.OPERATION_NAME} & span.attributes.keys()
            _READERS[kind](bag, facts, span)
        if operation == names.CHAT and _is_completion(span):
            operation = names.TEXT_COMPLETION
        return Reading(operation, facts, bag.used)

    def read_log(self, log: RawLog, event_name: str) -> Reading | None:
        """LangSmith sends nothing in logs."""
        return None


def _read_session(bag: Bag, facts: Facts) -> None:
    """Read who is talking; ``langsmith.trace.session_name`` is the project and no session."""
    sessions = [_METADATA + key for key in _SESSIONS]
    put(facts, "session_id", as_name(bag.take(*sessions, "langsmith.trace.session_id")))
    put(facts, "user_id", as_name(bag.take(*[_METADATA + key for key in _USERS])))
    put(facts, "agent_name", as_name(bag.take(_METADATA + "lc_agent_name")))


def _is_completion(span: RawSpan) -> bool:
    asked = as_dict(span.attributes.get(names.OLD_PROMPT))
    return asked.keys() & {"prompt", "prompts"} != set() and "messages" not in asked


def _read_llm(bag: Bag, facts: Facts, span: RawSpan) -> None:
    _read_names(bag, facts)
    read_request(facts, bag.take(names.OLD_PROMPT))
    answered: Facts = {}
    read_response(answered, bag.take(names.OLD_COMPLETION))
    for field, value in answered.items():
        # A run's own report of usage lacks what was cached and reasoned.
        if field not in facts:
            put(facts, field, value)


def _read_names(bag: Bag, facts: Facts) -> None:
    """Read models, usage and parameters, which stand under GenAI names and in LangChain's metadata."""
    read_model(bag, facts)
    told = provider_name(bag.take(_METADATA + "ls_provider"))
    provider = told or facts.get("provider")
    facts.pop("provider", None)
    put(facts, "provider", None if provider in _FRAMEWORKS else provider)
    put(facts, "request_model", facts.get("request_model") or as_name(bag.take(_METADATA + "ls_model_name")))
    if "streaming" not in facts:
        told = bag.take("langsmith.request.streaming")
        # LangChain also says that a streamed call is none: only its True is worth anything.
        put(facts, "streaming", as_bool(bag.take(_METADATA + "stream")) or as_bool(told))
    # Several finish reasons are joined by commas.
    if "finish_reason" in facts:
        put(facts, "finish_reason", finish_reason(facts["finish_reason"].partition(",")[0]))
    _read_details(bag, facts)
    _read_parameters(bag, facts)


def _read_details(bag: Bag, facts: Facts) -> None:
    inside = as_dict(bag.take("gen_ai.usage.input_token_details"))
    outside = as_dict(bag.take("gen_ai.usage.output_token_details"))
    whole = as_dict(bag.take("langsmith.usage_metadata", _METADATA + "usage_metadata"))
    read_usage(facts, {"input_token_details": inside, "output_token_details": outside})
    read_usage(facts, whole)


def _read_parameters(bag: Bag, facts: Facts) -> None:
    parameters = facts.get("parameters", {})
    for key in ("temperature", "max_tokens", "stop"):
        value = structured(bag.take(f"{_METADATA}ls_{key}"))
        if key not in parameters and value is not None:
            parameters[key] = value
    put(facts, "parameters", parameters)


def _read_embedding(bag: Bag, facts: Facts, span: RawSpan) -> None:
    _read_names(bag, facts)
    put(facts, "embedding_inputs", embedded_texts(bag.take(names.OLD_PROMPT)))
    bag.take(names.OLD_COMPLETION)


def _read_retriever(bag: Bag, facts: Facts, span: RawSpan) -> None:
    put(facts, "query", read_query(bag.take(names.OLD_PROMPT)))
    put(facts, "documents", read_found(bag.take(names.OLD_COMPLETION)))


def _read_tool(bag: Bag, facts: Facts, span: RawSpan) -> None:
    put(facts, "tool_name", as_name(bag.take(names.TOOL_NAME)) or as_name(span.name))
    put(facts, "tool_call_id", as_name(bag.take(names.TOOL_CALL_ID)))
    given = called_with(bag.take(names.OLD_PROMPT))
    if isinstance(given, dict) and given.keys() == {"input"}:
        given = structured(given["input"])
    put(facts, "tool_arguments", given)
    read_tool_answer(facts, bag.take(names.OLD_COMPLETION))


_READERS: dict[str, Callable[[Bag, Facts, RawSpan], None]] = {
    "llm": _read_llm,
    "embedding": _read_embedding,
    "retriever": _read_retriever,
    "tool": _read_tool,
}
