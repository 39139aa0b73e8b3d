"""OpenInference: ``openinference.span.kind`` and flattened attributes such as ``llm.input_messages.0.message.role``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from collector.dialects.base import Bag, Reading
from collector.dialects.exchange import PARAMETERS, called_with, embedded_texts, read_response, read_tool_answer
from collector.dialects.genai_fields import put, read_documents, read_first_token, read_identity
from collector.dialects.messages import add_input, add_output, nested, read_messages
from collector.dialects.otel_genai import OtelGenai
from collector.dialects.values import (
    DATED,
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
)
from collector.raw import RawLog, RawSpan
from collector.records import Document, Facts, Judgement, Message
from undertow import semconv as names

_GENAI = OtelGenai()
_KIND = "openinference.span.kind"
_OPERATIONS = {
    "LLM": names.CHAT,
    "EMBEDDING": names.EMBEDDINGS,
    "RETRIEVER": names.RETRIEVAL,
    "RERANKER": names.RETRIEVAL,
    "TOOL": names.EXECUTE_TOOL,
    "AGENT": names.INVOKE_AGENT,
}
_PREPARES = "._prepare_"
"""Methods of LlamaIndex's models that make a request ready and send nothing."""

_NO_PARAMETERS = frozenset({"model", "model_name", "stream", "stream_options", "messages", "input", "tools", "_type"})
_COUNTS = {
    "input_tokens": ("llm.token_count.prompt",),
    "output_tokens": ("llm.token_count.completion",),
    "cache_read_tokens": ("llm.token_count.prompt_details.cache_read", "llm.token_count.prompt_details.cache_input"),
    "cache_write_tokens": ("llm.token_count.prompt_details.cache_write",),
    "reasoning_tokens": ("llm.token_count.completion_details.reasoning",),
}


class OpenInference:
    """Spans that name their kind in ``openinference.span.kind``."""

    name = "openinference"

    def claims(self, span: RawSpan) -> bool:
        """Tell whether the span names its OpenInference kind."""
        return _KIND in span.attributes

    def read_span(self, span: RawSpan) -> Reading:
        """Read a span by its kind."""
        bag = Bag(span.attributes)
        kind = str(span.attributes[_KIND]).upper()
        operation = None if _PREPARES in span.name else _OPERATIONS.get(kind)
        facts: Facts = {}
        (_READERS.get(kind, _read_other) if operation else _read_other)(bag, facts)
        read_identity(bag, facts)
        _read_user(span, facts)
        put(facts, "agent_name", as_name(bag.take("agent.name")))
        put(facts, "judgements", _judgements(bag))
        if operation == names.CHAT:
            if bag.take("llm.prompts") is not None and "input_messages" not in facts:
                operation = names.TEXT_COMPLETION
            read_first_token(span, facts)
        used_events: frozenset[str] = frozenset()
        if operation is not None:
            bag.used.add(_KIND)
            used_events = _add_genai(span, operation, bag, facts)
        return Reading(operation, facts, bag.used, used_events)

    def read_log(self, log: RawLog, event_name: str) -> Reading | None:
        """OpenInference sends nothing in logs."""
        return None


def _read_user(span: RawSpan, facts: Facts) -> None:
    """Read the user from the metadata that LangChain's callbacks leave, unless it is known."""
    metadata = span.attributes.get("metadata")
    if "user_id" not in facts and isinstance(metadata, str) and '"user_id"' in metadata:
        put(facts, "user_id", as_name(as_dict(metadata).get("user_id")))


def _add_genai(span: RawSpan, operation: str, bag: Bag, facts: Facts) -> frozenset[str]:
    """Add what only the GenAI names on the same span say; some clients write both."""
    if not _GENAI.claims(span):
        return frozenset()
    other = _GENAI.read_span(span)
    if other.operation != operation:
        return frozenset()
    for field, value in other.facts.items():
        if field not in facts:
            put(facts, field, value)
    bag.used |= other.used
    return other.used_events


# --- Kinds of spans ----------------------------------------------------------------------------------


def _read_llm(bag: Bag, facts: Facts) -> None:
    given, answered = as_dict(bag.take("input.value")), structured(bag.take("output.value"))
    told: Facts = {}
    if isinstance(answered, dict | list):
        read_response(told, answered)
    _read_request(bag, facts, given)
    put(facts, "streaming", told.get("streaming"))
    _read_answer(bag, facts, told)
    for field, keys in _COUNTS.items():
        put(facts, field, as_count(bag.take(*keys)))
    put(facts, "reported_cost_usd", as_float(bag.take("llm.cost.total")))
    _read_prompt(bag, facts)
    _read_messages(bag, facts, given, told)
    bag.take("input.mime_type", "output.mime_type", "llm.token_count.total")


def _read_request(bag: Bag, facts: Facts, given: dict[str, Any]) -> None:
    provider = provider_name(bag.take("llm.provider", "llm.system"))
    put(facts, "provider", provider)
    parameters = as_dict(bag.take("llm.invocation_parameters"))
    _put_streaming(facts, parameters, given)
    if "created_at" in parameters:
        # The whole response, whose model is the answering one.
        parameters = {key: value for key, value in parameters.items() if key in PARAMETERS}
    asked = as_name(bag.take("llm.request.model_name"))
    asked = asked or as_name(parameters.get("model") or parameters.get("model_name") or given.get("model"))
    put(facts, "request_model", asked)
    put(facts, "parameters", {k: v for k, v in parameters.items() if k not in _NO_PARAMETERS and v is not None})


def _put_streaming(facts: Facts, parameters: dict[str, Any], given: dict[str, Any]) -> None:
    stream = as_bool(parameters.get("stream"))
    put(facts, "streaming", as_bool(given.get("stream")) if stream is None else stream)


def _read_answer(bag: Bag, facts: Facts, told: Facts) -> None:
    """Read models and ids; ``llm.model_name`` names the answering model where it is not the one that was asked."""
    model, answering = as_name(bag.take("llm.model_name")), told.get("response_model")
    named = as_name(bag.take("llm.response.model_name")) or answering
    if "request_model" in facts:
        answered = model != facts["request_model"] and bag.take("llm.token_count.completion") is not None
        put(facts, "response_model", named or (model if answered else None))
    else:
        if named is None and bag.take("llm.token_count.completion") is not None and DATED.fullmatch(model or ""):
            named = model
        put(facts, "request_model", model if model != named else None)
        put(facts, "response_model", named)
    put(facts, "response_id", told.get("response_id"))
    reason = finish_reason(bag.take("llm.finish_reason"))
    put(facts, "finish_reason", told.get("finish_reason") or reason)


def _read_messages(bag: Bag, facts: Facts, given: dict[str, Any], told: Facts) -> None:
    asked = _chat(bag, "llm.input_messages") or read_messages(_choices(bag, "llm.prompts", "prompt.text"))
    if not asked and isinstance(given.get("messages"), list):
        asked = read_messages(given["messages"])
    add_input(facts, asked, given.get("instructions") or (given.get("system") if "messages" in given else None))
    said = _chat(bag, "llm.output_messages", "assistant")
    said = said or read_messages(_choices(bag, "llm.choices", "completion.text"), "assistant")
    add_output(facts, said)
    if not facts.keys() & {"response", "tool_calls"}:
        put(facts, "response", told.get("response"))
        put(facts, "tool_calls", told.get("tool_calls"))


def _chat(bag: Bag, prefix: str, role: str = "user") -> list[Message]:
    items = nested(bag.take_prefix(prefix + ".", numbered=True)) or as_list(bag.take(prefix))
    return read_messages([_plain_message(item) for item in items if isinstance(item, dict)], role)


def _plain_message(item: dict[str, Any]) -> dict[str, Any]:
    """Turn ``{"message": {"role": …, "contents": […]}}`` into the chat form."""
    message = as_dict(item.get("message")) or item
    plain: dict[str, Any] = {key: message[key] for key in ("role", "content", "tool_call_id") if key in message}
    calls = [as_dict(call).get("tool_call", call) for call in as_list(message.get("tool_calls"))]
    if message.get("function_call_name"):
        arguments = message.get("function_call_arguments_json")
        calls.append({"name": message["function_call_name"], "arguments": arguments})
    if calls:
        plain["tool_calls"] = calls
    parts = [_part(as_dict(as_dict(part).get("message_content"))) for part in as_list(message.get("contents"))]
    if parts and not plain.get("content"):
        plain["parts"] = [part for part in parts if part]
    return plain


def _part(content: dict[str, Any]) -> dict[str, Any]:
    for kind in ("image", "audio", "video", "document"):
        inner = content.get(kind)
        if isinstance(inner, dict):
            source = as_dict(inner.get(kind)) or inner
            return {"type": kind, "uri": source.get("url")}
    return content


def _choices(bag: Bag, prefix: str, field: str) -> list[Any]:
    """Return the texts of ``llm.prompts.N.prompt.text`` or ``llm.choices.N.completion.text``."""
    first, second = field.split(".")
    items = nested(bag.take_prefix(prefix + ".", numbered=True)) or as_list(bag.take(prefix))
    return [as_dict(item.get(first)).get(second, "") if isinstance(item, dict) else item for item in items]


def _read_embedding(bag: Bag, facts: Facts) -> None:
    answered, given = as_dict(bag.take("output.value")), bag.take("input.value")
    _read_provider_of_embedding(bag, facts, as_dict(given), answered)
    put(facts, "input_tokens", as_count(bag.take("llm.token_count.prompt", "llm.token_count.total")))
    # The vectors are not kept: they are large, and of another model than ours.
    items = nested(bag.take_prefix("embedding.embeddings.", numbered=True))
    texts = [as_text(as_dict(as_dict(item).get("embedding")).get("text")) for item in items]
    put(facts, "embedding_inputs", [text for text in texts if text] or embedded_texts(given))
    bag.take("input.mime_type", "output.mime_type")


def _read_provider_of_embedding(bag: Bag, facts: Facts, given: dict[str, Any], answered: dict[str, Any]) -> None:
    put(facts, "provider", provider_name(bag.take("llm.provider", "llm.system")))
    parameters = as_dict(bag.take("embedding.invocation_parameters", "llm.invocation_parameters"))
    model = as_name(bag.take("embedding.model_name", "llm.model_name"))
    put(facts, "request_model", as_name(parameters.get("model") or given.get("model")) or model)
    put(facts, "response_model", as_name(answered.get("model")))


def _read_retriever(bag: Bag, facts: Facts) -> None:
    put(facts, "query", _query(bag.take("input.value")))
    documents = _documents(bag, "retrieval.documents")
    _add_ids(documents, bag.take("output.value"))
    put(facts, "documents", documents)
    bag.take("input.mime_type", "output.mime_type")


def _read_reranker(bag: Bag, facts: Facts) -> None:
    put(facts, "query", as_text(bag.take("reranker.query")) or _query(bag.take("input.value")))
    put(facts, "documents", _documents(bag, "reranker.output_documents"))
    put(facts, "rerank", True)


def _documents(bag: Bag, prefix: str) -> list[Document]:
    items = nested(bag.take_prefix(prefix + ".", numbered=True)) or as_list(bag.take(prefix))
    return read_documents(items) if items else []


def _query(value: Any) -> str | None:
    found = structured(value)
    if isinstance(found, dict):
        found = next(
            (found[key] for key in ("query", "question", "input", "text", "search_query") if key in found), value
        )
    return as_text(found)


def _add_ids(documents: list[Document], output: Any) -> None:
    """Fill in ids that stand only in the JSON of the output, where it lists the same documents."""
    if documents and all(document.get("document_id") is not None for document in documents):
        return
    full = read_documents(output) if output is not None else []
    if not documents:
        documents.extend(full if any(item.get("document_id") for item in full) else [])
        return
    if len(full) != len(documents):
        return
    for mine, other in zip(documents, full, strict=True):
        same = mine.get("content") is None or mine["content"] == other.get("content")
        if same and mine.get("document_id") is None:
            mine["document_id"] = other.get("document_id")


def _read_tool(bag: Bag, facts: Facts) -> None:
    put(facts, "tool_name", as_name(bag.take("tool.name")))
    put(facts, "tool_call_id", as_name(bag.take("tool_call.id", "tool.id")))
    arguments = bag.take("tool_call.function.arguments", "input.value")
    put(facts, "tool_arguments", called_with(arguments))
    bag.take("input.value", "input.mime_type", "output.mime_type")
    read_tool_answer(facts, bag.take("output.value"))


def _read_other(bag: Bag, facts: Facts) -> None:
    """Read a chain, an agent or a prompt: only the template; input and output stay with the span."""
    _read_prompt(bag, facts)


def _read_prompt(bag: Bag, facts: Facts) -> None:
    put(facts, "prompt_template", as_text(bag.take("llm.prompt_template.template")))
    put(facts, "prompt_version", as_name(bag.take("llm.prompt_template.version")))
    put(facts, "prompt_name", as_name(bag.take("prompt.id")))
    variables = as_dict(bag.take("llm.prompt_template.variables"))
    put(facts, "prompt_variables", {str(key): as_text(value) or "" for key, value in variables.items()})


_READERS: dict[str, Callable[[Bag, Facts], None]] = {
    "LLM": _read_llm,
    "EMBEDDING": _read_embedding,
    "RETRIEVER": _read_retriever,
    "RERANKER": _read_reranker,
    "TOOL": _read_tool,
}


# --- Judgements ---------------------------------------------------------------------------


def _judgements(bag: Bag) -> list[Judgement]:
    found: list[Judgement] = []
    if not bag.mentions(".annotation.", ".evaluation."):
        return found
    for scope in ("", "trace.", "session."):
        for group, field in (("annotations", "annotation"), ("evaluations", "evaluation")):
            for item in nested(bag.take_prefix(f"{scope}{group}.", numbered=True)):
                judged = as_dict(as_dict(item).get(field))
                if as_name(judged.get("name")):
                    found.append(_judgement(judged, scope.rstrip(".")))
    return found


def _judgement(item: dict[str, Any], scope: str) -> Judgement:
    kind = as_name(item.get("annotator_kind"))
    judged: Judgement = {
        "name": as_name(item.get("name")) or "",
        "value": as_float(item.get("score")),
        "label": as_name(item.get("label")),
        "explanation": as_text(item.get("explanation")),
        "evaluator": as_name(item.get("identifier")) or kind,
        "human": kind is not None and kind.upper() == "HUMAN",
        "response_id": None,
    }
    if scope:
        judged["scope"] = scope
    return judged
