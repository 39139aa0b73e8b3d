"""Haystack's own tracing: one span a component, with its input and output under ``haystack.component.*``.

What a component does is told by the name of its class: a generator calls a model, an embedder embeds, a retriever
retrieves. The steps of an agent have names of their own.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from collector.dialects.base import Bag, Reading
from collector.dialects.exchange import read_options
from collector.dialects.genai_fields import put, read_documents, read_identity
from collector.dialects.messages import add_input, add_output, read_messages
from collector.dialects.usage import read_usage
from collector.dialects.values import as_bool, as_dict, as_list, as_name, as_text, finish_reason, structured
from collector.raw import RawLog, RawSpan
from collector.records import Document, Facts
from undertow import semconv as names

_TYPE = "haystack.component.type"
_INPUT, _OUTPUT = "haystack.component.input", "haystack.component.output"
_LLM_INPUT, _LLM_OUTPUT = "haystack.agent.step.llm.input", "haystack.agent.step.llm.output"
_TOOL_NAME = "haystack.tool.name"
_TOOL_ERROR = "haystack.tool.error"
_TOOL_INPUT, _TOOL_OUTPUT = "haystack.agent.step.tool.input", "haystack.agent.step.tool.output"
_STEPS = {
    "haystack.pipeline.run": names.INVOKE_WORKFLOW,
    "haystack.async_pipeline.run": names.INVOKE_WORKFLOW,
    "haystack.agent.run": names.INVOKE_AGENT,
    "haystack.agent.step.llm": names.CHAT,
    "haystack.agent.step.tool": names.EXECUTE_TOOL,
}
_CLASSES = (
    ("ToolInvoker", names.EXECUTE_TOOL),
    ("Generator", names.CHAT),
    ("Embedder", names.EMBEDDINGS),
    ("Retriever", names.RETRIEVAL),
    ("WebSearch", names.RETRIEVAL),
    ("Ranker", names.RETRIEVAL),
    ("Reranker", names.RETRIEVAL),
    ("Agent", names.INVOKE_AGENT),
)
_PROVIDERS = {
    "AzureOpenAI": "azure.ai.openai",
    "OpenAI": "openai",
    "Anthropic": "anthropic",
    "Cohere": "cohere",
    "Mistral": "mistral_ai",
    "GoogleGenAI": "gcp.gemini",
    "GoogleAI": "gcp.gemini",
    "VertexAI": "gcp.vertex_ai",
    "AmazonBedrock": "aws.bedrock",
    "Ollama": "ollama",
    "HuggingFace": "huggingface",
}
_DOCUMENT_FIELDS = frozenset({"id", "content", "score", "blob", "dataframe", "embedding", "sparse_embedding", "meta"})
_ROLE, _CONTENT = ("role", "_role"), ("content", "_content")


class Haystack:
    """Spans of Haystack's tracer."""

    name = "haystack"

    def claims(self, span: RawSpan) -> bool:
        """Tell whether the span is a component, a step of an agent or a whole pipeline of Haystack."""
        return _TYPE in span.attributes or (span.name.startswith("haystack.") and span.name in _STEPS)

    def read_span(self, span: RawSpan) -> Reading:
        """Read a component by its class, a step by its name."""
        bag = Bag(span.attributes)
        facts: Facts = {}
        component = as_name(span.attributes.get(_TYPE)) or ""
        operation = _STEPS.get(span.name) or next((does for end, does in _CLASSES if component.endswith(end)), None)
        if operation == names.CHAT:
            _read_generator(span, bag, facts)
        elif operation == names.EMBEDDINGS:
            _read_embedder(bag, facts)
        elif operation == names.RETRIEVAL:
            _read_retriever(bag, facts, component)
        elif operation == names.EXECUTE_TOOL:
            _read_tool(bag, facts)
        if operation in names.MODEL_CALLS:
            put(facts, "provider", next((p for start, p in _PROVIDERS.items() if component.startswith(start)), None))
        if operation is not None:
            bag.take(_TYPE)
        read_identity(bag, facts)
        failure = _failure(facts) if as_bool(bag.take(_TOOL_ERROR)) else None
        return Reading(operation, facts, bag.used, failure=failure)

    def read_log(self, log: RawLog, event_name: str) -> Reading | None:
        """Haystack sends nothing in logs."""
        return None


# --- Generators --------------------------------------------------------------------------------------


def _read_generator(span: RawSpan, bag: Bag, facts: Facts) -> None:
    given = as_dict(bag.take(_INPUT, _LLM_INPUT))
    said = as_dict(bag.take(_OUTPUT, _LLM_OUTPUT))
    asked = as_list(given.get("messages")) or as_list(as_text(given.get("prompt")))
    add_input(facts, read_messages([_message(item) for item in asked]), given.get("system_prompt"))
    read_options(facts, {**as_dict(given.get("generation_kwargs")), "stream": None})
    replies = as_list(said.get("replies"))
    add_output(facts, read_messages([_message(item) for item in replies], "assistant"))
    meta = as_dict(_first(as_dict(replies[0]), "meta", "_meta")) if replies else {}
    beside = as_list(said.get("meta"))
    _read_meta(span, meta or as_dict(beside[0] if beside else None), facts)
    if given.get("streaming_callback"):
        facts["streaming"] = True


def _read_meta(span: RawSpan, meta: dict[str, Any], facts: Facts) -> None:
    """Read what the provider said about its answer."""
    put(facts, "response_model", as_name(meta.get("model")))
    put(facts, "response_id", as_name(meta.get("id")))
    # A reply of the Responses API has a status in place of a reason.
    reason = meta.get("finish_reason") or meta.get("stop_reason") or meta.get("status")
    put(facts, "finish_reason", "tool_calls" if facts.get("tool_calls") else finish_reason(reason))
    read_usage(facts, meta.get("usage"))
    began = as_name(meta.get("completion_start_time"))
    if began is not None:
        facts["streaming"] = True
        put(facts, "ttft_ms", _since_start(span, began))


def _since_start(span: RawSpan, moment: str) -> float | None:
    """Return the milliseconds from the span's start to a moment inside it; a local clock falls outside."""
    try:
        time = datetime.fromisoformat(moment)
    except ValueError:
        return None
    time_ns = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1e9
    return (time_ns - span.start_ns) / 1e6 if span.start_ns <= time_ns <= span.end_ns else None


def _message(item: Any) -> Any:
    """Turn a message, whose parts are named by their key, into the chat form."""
    message = structured(item)
    if not isinstance(message, dict):
        return message
    role, content = _first(message, *_ROLE), _first(message, *_CONTENT)
    plain: dict[str, Any] = {"role": role, "content": content}
    if not isinstance(content, list):
        return plain
    texts, calls = [], []
    for part in map(as_dict, content):
        result = part if "origin" in part else as_dict(part.get("tool_call_result"))
        if result:
            call_id = as_dict(result.get("origin")).get("id")
            return {"role": "tool", "content": _result(result.get("result")), "tool_call_id": call_id}
        call = part if "tool_name" in part else part.get("tool_call")
        if isinstance(call, dict):
            calls.append(call)
        elif "reasoning" not in part:
            texts.append(_part(part))
    return {**plain, "content": texts, "tool_calls": calls}


def _result(value: Any) -> Any:
    parts = [as_dict(part) for part in value] if isinstance(value, list) else []
    return "\n".join(str(part["text"]) for part in parts) if parts and all("text" in p for p in parts) else value


def _part(part: dict[str, Any]) -> dict[str, Any]:
    for kind in ("image", "file"):
        media = as_dict(part.get(kind))
        if media:
            data = _first(media, "base64_image", "base64_data")
            return {"type": kind, "data": data, "mime_type": media.get("mime_type")}
    return {"type": "text", "text": part.get("text")}


# --- Other components --------------------------------------------------------------------------------


def _read_embedder(bag: Bag, facts: Facts) -> None:
    given, made = as_dict(bag.take(_INPUT)), as_dict(bag.take(_OUTPUT))
    inputs = [given["text"]] if given.get("text") else [d.get("content") for d in _documents(given.get("documents"))]
    put(facts, "embedding_inputs", [text for text in inputs if text])
    meta = as_dict(made.get("meta"))
    put(facts, "response_model", as_name(meta.get("model")))
    read_usage(facts, meta.get("usage"))


def _read_retriever(bag: Bag, facts: Facts, component: str) -> None:
    given, found = as_dict(bag.take(_INPUT)), as_dict(bag.take(_OUTPUT))
    put(facts, "query", as_text(given.get("query")))
    put(facts, "documents", _documents(found.get("documents")))
    if component.endswith(("Ranker", "Reranker")):
        facts["rerank"] = True


def _documents(value: Any) -> list[Document]:
    """Return documents, whose metadata stand flat among their fields."""
    documents = []
    for item in as_list(value):
        fields = as_dict(item)
        meta = {key: kept for key, kept in fields.items() if key not in _DOCUMENT_FIELDS}
        documents.append({**fields, "metadata": {**meta, **as_dict(fields.get("meta"))}} if fields else item)
    return read_documents(documents) if documents else []


def _read_tool(bag: Bag, facts: Facts) -> None:
    """Read a step of an agent, or the first run of a component that runs all tools a model asked for."""
    put(facts, "tool_name", as_name(bag.take(_TOOL_NAME)))
    put(facts, "tool_arguments", structured(bag.take(_TOOL_INPUT)))
    put(facts, "tool_result", structured(bag.take(_TOOL_OUTPUT)))
    for message in as_list(as_dict(bag.take(_OUTPUT)).get("tool_messages")):
        for part in as_list(_first(as_dict(message), *_CONTENT)):
            result = as_dict(as_dict(part).get("tool_call_result"))
            origin = as_dict(result.get("origin"))
            if origin and "tool_name" not in facts:
                put(facts, "tool_name", as_name(origin.get("tool_name")))
                put(facts, "tool_call_id", as_name(origin.get("id")))
                put(facts, "tool_arguments", structured(origin.get("arguments")))
                put(facts, "tool_result", structured(_result(result.get("result"))))
    # All of its runs stay with the span.
    bag.used.discard(_OUTPUT)


def _failure(facts: Facts) -> str:
    """Return what an agent's tool failed with: it goes to the model as a result, and the span itself ends well."""
    return as_text(as_dict(facts.get("tool_result")).get("error")) or ""


def _first(holder: dict[str, Any], *keys: str) -> Any:
    return next((holder[key] for key in keys if holder.get(key) is not None), None)
