"""Traceloop's OpenLLMetry, whose current names are those of the GenAI conventions beside its own ``traceloop.*``."""

from __future__ import annotations

from typing import Any

from collector.dialects.base import Bag, Reading
from collector.dialects.exchange import called_with, embedded_texts, read_echo, read_found, read_query, read_tool_answer
from collector.dialects.genai_fields import put, read_documents
from collector.dialects.otel_genai import OtelGenai
from collector.dialects.values import as_dict, as_name, as_text, provider_name, structured
from collector.raw import RawLog, RawSpan
from collector.records import Document, Facts
from undertow import semconv as names

KIND = "traceloop.span.kind"
_GENAI = OtelGenai()
_INPUTS = ("traceloop.entity.input", "gen_ai.task.input")
_OUTPUTS = ("traceloop.entity.output", "gen_ai.task.output")
_ENTITY = "traceloop.entity.name"
_ASSOCIATION = "traceloop.association.properties."
_PROMPT = "traceloop.prompt."
_PEOPLE = {
    "session_id": ("session_id", "thread_id", "conversation_id", "chat_id", "session.id"),
    "user_id": ("user_id", "user", "user.id"),
}
_IN_METADATA = tuple(f'"{key}"' for keys in _PEOPLE.values() for key in keys)
_FRAMEWORKS = frozenset({"langchain", "langgraph", "llamaindex", "llama_index", "crewai", "haystack", "traceloop"})


class Traceloop:
    """Spans with a GenAI operation that OpenLLMetry made, or that its SDK marked."""

    name = "traceloop"

    def claims(self, span: RawSpan) -> bool:
        """Tell whether the span names a GenAI operation and carries a mark of Traceloop."""
        return names.OPERATION_NAME in span.attributes and is_marked(span)

    def read_span(self, span: RawSpan) -> Reading:
        """Read the GenAI names, and what only Traceloop's own say."""
        read = _GENAI.read_span(span)
        return completed(span, read.operation, read)

    def read_log(self, log: RawLog, event_name: str) -> Reading | None:
        """Its log records are those of the GenAI conventions."""
        return None


def is_marked(span: RawSpan) -> bool:
    """Tell whether any attribute is Traceloop's own."""
    return any(key.startswith("traceloop.") for key in span.attributes)


def completed(span: RawSpan, operation: str | None, read: Reading) -> Reading:
    """Return a reading with what Traceloop's attributes add to it.

    Parameters
    ----------
    operation : canonical operation, which may be better known than by the GenAI names.
    read : what the GenAI names say.
    """
    bag = Bag(span.attributes)
    facts: Facts = {**read.facts}
    _read_association(bag, facts)
    _read_prompt(bag, facts)
    if operation == names.RETRIEVAL:
        _read_retrieval(bag, facts)
    elif operation == names.EXECUTE_TOOL:
        _read_tool(bag, facts)
    elif operation == names.EMBEDDINGS:
        if "input_messages" not in facts:
            put(facts, "embedding_inputs", embedded_texts(bag.take(*_INPUTS)))
        # The vectors are not kept: they are large, and of another model than ours.
        bag.take(*_OUTPUTS)
    elif operation not in names.MODEL_CALLS:
        if operation == names.INVOKE_AGENT and "agent_name" not in facts:
            put(facts, "agent_name", as_name(bag.take(_ENTITY)))
        _read_passed(span.attributes, facts)
        _read_metadata(span.attributes, facts)
    if operation is not None:
        bag.take(KIND)
    return Reading(operation, facts, read.used | bag.used, read.used_events)


def _read_association(bag: Bag, facts: Facts) -> None:
    """Read who is talking, and the provider where a framework is named in its place."""
    for field, keys in _PEOPLE.items():
        if field not in facts:
            put(facts, field, as_name(bag.take(*[_ASSOCIATION + key for key in keys])))
    if facts.get("provider") in _FRAMEWORKS:
        del facts["provider"]
        put(facts, "provider", provider_name(bag.take(_ASSOCIATION + "ls_provider")))


def _read_prompt(bag: Bag, facts: Facts) -> None:
    for field, key in (("prompt_name", "key"), ("prompt_version", "version"), ("prompt_template", "template")):
        if field not in facts:
            put(facts, field, as_name(bag.take(_PROMPT + key)))
    variables = bag.take_prefix(_PROMPT + "template_variables.")
    put(facts, "prompt_variables", {key: as_text(value) or "" for key, value in variables.items()})


def _read_retrieval(bag: Bag, facts: Facts) -> None:
    if "query" not in facts:
        put(facts, "query", _query(bag.take(*_INPUTS)))
    if "documents" not in facts:
        put(facts, "documents", read_found(bag.take(*_OUTPUTS)))


def _query(value: Any) -> str | None:
    """Return the query of LangChain's or LlamaIndex's retriever among what else it was called with."""
    given = called_with(value)
    if isinstance(given, dict) and given.get("query_bundle") is not None:
        return read_query(given["query_bundle"])
    return read_query(given)


def _read_tool(bag: Bag, facts: Facts) -> None:
    """Read a tool's run; LangChain wraps what went in and out together with tags and metadata."""
    if "tool_name" not in facts:
        put(facts, "tool_name", as_name(bag.take("tool.name", _ENTITY)))
    given = bag.take(*_INPUTS)
    arguments = facts.pop("tool_arguments", None)
    arguments = structured(bag.take("tool.arguments")) if arguments is None else arguments
    arguments = called_with(given) if arguments is None else arguments
    if isinstance(arguments, dict) and {"input_str", "tags", "metadata"} & arguments.keys() >= {"input_str"}:
        keywords = as_dict(arguments.get("kwargs"))
        put(facts, "tool_call_id", facts.get("tool_call_id") or as_name(keywords.get("tool_call_id")))
        inputs = arguments.get("inputs")
        arguments = structured(arguments["input_str"] if inputs is None else inputs)
    put(facts, "tool_arguments", arguments)
    answered = bag.take(*_OUTPUTS)
    result = facts.pop("tool_result", None)
    result = structured(answered) if result is None else result
    inner = result.get("tool_output") if isinstance(result, dict) else None
    if isinstance(inner, dict):
        # LlamaIndex's workflows return the whole event.
        put(facts, "tool_call_id", facts.get("tool_call_id") or as_name(result.get("tool_id")))
        result = inner.get("content")
    read_tool_answer(facts, result)


# --- What a step passes on ---------------------------------------------------------------------------


def _read_passed(attributes: dict[str, Any], facts: Facts) -> None:
    """Read documents and a model's answer that LangChain handed from one step to the next.

    They say what the spans of the retriever and of the model leave out: ids of documents, reasoning tokens.
    """
    for keys, field in ((_INPUTS, "inputs"), (_OUTPUTS, "outputs")):
        text = next((attributes[key] for key in keys if isinstance(attributes.get(key), str)), "")
        if '"lc"' not in text:
            continue
        passed = as_dict(text).get(field)
        if "documents" not in facts:
            put(facts, "documents", _documents(passed))
        read_echo(facts, passed)


def _read_metadata(attributes: dict[str, Any], facts: Facts) -> None:
    """Read who is talking from the metadata with which a chain of LangChain was called, unless it is known."""
    text = next((attributes[key] for key in _INPUTS if isinstance(attributes.get(key), str)), "")
    if '"metadata"' not in text or not any(key in text for key in _IN_METADATA):
        return
    metadata = as_dict(as_dict(text).get("metadata"))
    for field, keys in _PEOPLE.items():
        if field not in facts:
            put(facts, field, next((found for key in keys if (found := as_name(metadata.get(key)))), None))


def _documents(passed: Any) -> list[Document]:
    if isinstance(passed, list) and passed and all(_is_dump(item, "Document") for item in passed):
        return read_documents(passed)
    values = passed.values() if isinstance(passed, dict) and "lc" not in passed else ()
    return next((found for found in (_documents(v) for v in values if isinstance(v, list)) if found), [])


def _is_dump(item: Any, name: str) -> bool:
    kind = item.get("id") if isinstance(item, dict) and "lc" in item else None
    return isinstance(kind, list) and bool(kind) and str(kind[-1]).startswith(name)
