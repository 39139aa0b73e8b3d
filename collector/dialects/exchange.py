"""A whole request to a model and its whole response, in the words of whichever SDK made them."""

from __future__ import annotations

import re
from typing import Any

from collector.dialects.genai_fields import put, read_documents
from collector.dialects.messages import add_input, add_output, read_messages
from collector.dialects.usage import read_usage
from collector.dialects.values import (
    as_bool,
    as_dict,
    as_list,
    as_name,
    as_text,
    finish_reason,
    structured,
    without_wrapping,
)
from collector.records import Document, Facts

PARAMETERS = frozenset(
    "temperature top_p top_k max_tokens max_completion_tokens max_output_tokens frequency_penalty presence_penalty"
    " seed stop stop_sequences n reasoning_effort response_format tool_choice service_tier dimensions"
    " encoding_format logit_bias maxTokens topP stopSequences max_tokens_to_sample candidate_count".split()
)
"""What is kept of the keywords of a call."""

_CONFIGURATIONS = ("config", "generation_config", "generationConfig", "inferenceConfig", "invocation_params")
_GIVEN = ("messages", "input_messages", "contents", "input", "prompts", "prompt", "message")
_SYSTEM = ("system", "instructions", "system_instruction", "system_prompt")
_CALL = frozenset({"args", "kwargs", "sanitize_inputs_outputs"})
_QUERIES = ("query", "question", "search_query", "query_str", "str_or_query_bundle", "input", "text", "q", "prompt")
_ANSWERS = ("output", "response", "message", "answer", "result", "text", "completion", "outputs")
_MESSAGE = frozenset({"role", "content", "parts", "kwargs", "blocks", "tool_calls", "function_call"})

_OBJECT = re.compile(r"<[\w.]+ object (?:[\w.<>]+ )?at 0x[0-9a-fA-F]+>")
"""The repr of an object, which is no text."""

# --- The request -------------------------------------------------------------------------------------


def called_with(value: Any) -> Any:
    """Return what a function was called with: its keywords, else its arguments, a single one by itself."""
    found = structured(value)
    if not isinstance(found, dict) or not found or not found.keys() <= _CALL:
        return found
    arguments, keywords = as_list(found.get("args")), as_dict(found.get("kwargs"))
    if arguments and keywords:
        return found
    return keywords or (arguments[0] if len(arguments) == 1 else arguments or None)


def read_request(facts: Facts, value: Any) -> None:
    """Read what a model was asked: messages, system prompt, model, parameters."""
    request = called_with(value)
    system = None
    if isinstance(request, dict) and not request.keys() & {"role", "lc"}:
        system = _first(request, *_SYSTEM)
        read_options(facts, request)
        request = next((request[key] for key in _GIVEN if request.get(key) is not None), _as_question(request, system))
    add_input(facts, read_messages(_messages(request)), system)


def read_options(facts: Facts, request: dict[str, Any]) -> None:
    """Read model, streaming and parameters from the keywords of a call, where the facts do not have them."""
    options = dict(request)
    for key in _CONFIGURATIONS:
        options = {**as_dict(request.get(key)), **options}
    parameters = {k: v for k, v in options.items() if k in PARAMETERS and v not in (None, "Infinity", "NOT_GIVEN")}
    known = {
        "request_model": as_name(_first(options, "model", "model_name", "modelId", "model_id")),
        "streaming": as_bool(options.get("stream")),
        "parameters": parameters,
    }
    for field, told in known.items():
        if field not in facts:
            put(facts, field, told)


def _as_question(request: dict[str, Any], system: Any) -> Any:
    """Return the text of a request that holds no messages: its one question, else all of it."""
    question = _first(request, *_QUERIES)
    if question is not None or system is not None or not request:
        return question
    return None if request.keys() <= PARAMETERS | {"model", "stream", "instructions", "tools"} else as_text(request)


def _messages(value: Any) -> Any:
    """Return messages without the definitions of tools that some clients append, and with blocks as parts."""
    found = structured(value)
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list):
        return found
    if found and all(isinstance(item, list) for item in found):
        found = found[0]
    return [_message(item) for item in found if not _defines_tool(item)]


def _message(item: Any) -> Any:
    item = structured(item)
    if not isinstance(item, dict):
        return item
    if isinstance(item.get("blocks"), list) and not item.get("content"):
        blocks = [{**as_dict(block), "type": as_dict(block).get("block_type", "text")} for block in item["blocks"]]
        calls = as_dict(item.get("additional_kwargs")).get("tool_calls")
        item = {**item, "content": blocks, **({"tool_calls": calls} if calls else {})}
    return item


def _defines_tool(item: Any) -> bool:
    if not isinstance(item, dict) or item.get("role") != "tool" or item.get("tool_call_id"):
        return False
    content = as_dict(item.get("content"))
    return isinstance(content.get("function"), dict) or bool(content.keys() & {"parameters", "input_schema"})


# --- The response ------------------------------------------------------------------------------------


def read_response(facts: Facts, value: Any, *, bare_text: bool = False) -> None:
    """Read what a model answered: text, tool calls, finish reason, and which model with which usage.

    Parameters
    ----------
    value : the provider's response, one message, several, or the text.
    bare_text : text is sent as it is, so that JSON of no known form is what the model wrote.
    """
    answer = structured(value)
    if isinstance(answer, str) and _OBJECT.fullmatch(answer):
        # What was to be streamed had not come when the client wrote its repr down.
        if "stream" in answer.lower() or "generator" in answer:
            facts.setdefault("streaming", True)
        return
    if bare_text and isinstance(value, str) and not _is_response(answer):
        add_output(facts, [{"role": "assistant", "content": as_text(value)}])
        return
    if isinstance(answer, list) and answer and all(isinstance(item, list) for item in answer):
        answer = answer[0]
    if isinstance(answer, list) and len(answer) == 1:
        answer = structured(answer[0])
    if not isinstance(answer, dict):
        add_output(facts, read_messages(_messages(answer), "assistant"))
        return
    for key, read in _SHAPES:
        if answer.get(key) is not None and read(facts, answer):
            return
    _read_message(facts, answer)


def _is_response(answer: Any) -> bool:
    """Tell a response or a message from JSON that a model wrote."""
    first = answer[0] if isinstance(answer, list) and answer else answer
    first = first[0] if isinstance(first, list) and first else first
    if not isinstance(first, dict):
        return False
    return any(key in first for key in (*_MARKS, *_MESSAGE)) or {"type", "call_id"} <= first.keys()


def _read_choices(facts: Facts, answer: dict[str, Any]) -> bool:
    """Read chat completions and the older completions."""
    choices = as_list(answer["choices"])
    choice = as_dict(choices[0]) if choices else {}
    message = choice.get("message") or {"content": choice.get("text")}
    add_output(facts, read_messages([message], "assistant"), choice.get("finish_reason"))
    _read_identity(facts, answer)
    return True


def _read_generations(facts: Facts, answer: dict[str, Any]) -> bool:
    """Read LangChain's result of a model: its first generation."""
    node: Any = answer["generations"]
    while isinstance(node, list) and node:
        node = node[0]
    generation, told = as_dict(node), as_dict(answer.get("llm_output"))
    message = as_dict(generation.get("message"))
    if message:
        _read_message(facts, message)
    else:
        add_output(facts, read_messages(as_text(generation.get("text")), "assistant"))
    if str(generation.get("type")).endswith("Chunk"):
        put(facts, "streaming", True)
    _add_reason(facts, as_dict(generation.get("generation_info")))
    _put_missing(facts, "response_model", as_name(_first(told, "model_name", "model", "model_id")))
    _put_missing(facts, "response_id", as_name(told.get("id")))
    if "input_tokens" not in facts:
        read_usage(facts, _first(told, "token_usage", "usage"), cached_apart="stop_reason" in told)
    return True


def _read_output(facts: Facts, answer: dict[str, Any]) -> bool:
    """Read a response of the Responses API, or of Bedrock's Converse."""
    output = structured(answer["output"])
    message = as_dict(output).get("message") if isinstance(output, dict) else None
    if message is not None and "stopReason" in answer:
        add_output(facts, read_messages([message], "assistant"), answer["stopReason"])
    elif isinstance(output, list) and ("object" in answer or "status" in answer or "model" in answer):
        add_output(facts, read_messages(output, "assistant"))
        unfinished = as_dict(answer.get("incomplete_details")).get("reason")
        reason = "tool_calls" if facts.get("tool_calls") else unfinished or answer.get("status")
        put(facts, "finish_reason", finish_reason(reason))
    else:
        return False
    _read_identity(facts, answer)
    return True


def _read_candidates(facts: Facts, answer: dict[str, Any]) -> bool:
    """Read a response of Gemini."""
    candidates = as_list(answer["candidates"])
    first = as_dict(candidates[0]) if candidates else {}
    reason = _first(first, "finish_reason", "finishReason")
    add_output(facts, read_messages([_message(as_dict(first.get("content")))], "assistant"), reason)
    if facts.get("tool_calls"):
        facts["finish_reason"] = "tool_calls"
    _read_identity(facts, answer)
    return True


def _read_raw(facts: Facts, answer: dict[str, Any]) -> bool:
    """Read LlamaIndex's response, which keeps the provider's own."""
    raw = as_dict(answer["raw"])
    if not raw.keys() & {"choices", "output", "candidates", "content"}:
        return False
    read_response(facts, raw)
    return True


_SHAPES = (
    ("choices", _read_choices),
    ("generations", _read_generations),
    ("candidates", _read_candidates),
    ("raw", _read_raw),
    ("output", _read_output),
)
_MARKS = ("choices", "generations", "candidates", "raw", "lc")


def _read_message(facts: Facts, answer: dict[str, Any]) -> None:
    """Read one message, with what LangChain or Anthropic say about it; else whatever is inside the response."""
    message = unwrapped(answer)
    if not message.keys() & _MESSAGE and message.get("type") != "function_call":
        inner = next((message[key] for key in _ANSWERS if message.get(key) is not None), None)
        if inner is not None:
            read_response(facts, inner)
        else:
            add_output(facts, read_messages(as_text(message) if message else None, "assistant"))
        if inner is not None or "model" in message:
            _read_identity(facts, message)
        return
    add_output(facts, read_messages([_message(message)], "assistant"))
    told = as_dict(message.get("response_metadata"))
    _add_reason(facts, message)
    _add_reason(facts, told)
    read_usage(facts, message.get("usage_metadata"))
    if told:
        _read_identity(facts, told)
    elif "model" in message or "stop_reason" in message:
        # An item of the Responses API has an id, too, which is not the answer's.
        _read_identity(facts, message)


def unwrapped(message: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a message of LangChain, which stand in ``kwargs`` or in ``data`` beside its type."""
    if "lc" in message:
        return as_dict(message.get("kwargs"))
    return as_dict(message["data"]) if message.keys() == {"type", "data"} else message


def _add_reason(facts: Facts, told: dict[str, Any]) -> None:
    keys = ("finish_reason", "stop_reason", "stopReason", "done_reason")
    # An answer of the Responses API has a status in place of a reason.
    reason = finish_reason(_first(told, *keys, *(("status",) if told.get("object") == "response" else ())))
    _put_missing(facts, "finish_reason", reason)


def _read_identity(facts: Facts, told: dict[str, Any]) -> None:
    """Read id, model and usage of a response."""
    for field, keys in (
        ("response_model", ("model", "model_name", "model_version", "modelVersion")),
        ("response_id", ("id", "response_id", "responseId")),
    ):
        _put_missing(facts, field, as_name(_first(told, *keys)))
    _add_reason(facts, told)
    usage = _first(told, "usage_metadata", "usageMetadata", "token_usage", "usage")
    if usage is not None:
        # Anthropic's own reports count what was cached beside the input.
        own = "stop_reason" in told and "usage_metadata" not in told
        read_usage(facts, usage, cached_apart=own)


def _put_missing(facts: Facts, field: str, value: Any) -> None:
    if field not in facts:
        put(facts, field, value)


def _first(holder: dict[str, Any], *keys: str) -> Any:
    return next((holder[key] for key in keys if holder.get(key) not in (None, "")), None)


# --- Retrieval, tools, embeddings --------------------------------------------------------------------


def read_query(value: Any) -> str | None:
    """Return what was looked for: the text itself, or the argument that holds it."""
    found = called_with(value)
    if isinstance(found, list) and found:
        found = found[0]
    found = structured(found)
    if isinstance(found, dict) and {"args", "kwargs"} <= found.keys() <= _CALL:
        named = _first(as_dict(found["kwargs"]), *_QUERIES)
        return read_query(next(iter(as_list(found["args"])), None) if named is None else named)
    if isinstance(found, dict):
        named = _first(found, *_QUERIES)
        only = next(iter(found.values())) if len(found) == 1 else None
        return read_query(named) if named is not None else read_query(only) if only is not None else as_text(found)
    return as_text(found)


def read_found(value: Any) -> list[Document]:
    """Return the documents that a retrieval returned, however they are wrapped."""
    found = structured(value)
    if isinstance(found, dict) and len(found) == 1 and next(iter(found)) in ("output", "outputs", "result", "return"):
        found = structured(next(iter(found.values())))
    return read_documents(found) if found is not None else []


def read_tool_answer(facts: Facts, value: Any) -> None:
    """Read what a tool returned: the value itself, or inside the message that the model is going to see."""
    result = structured(value)
    if isinstance(result, dict) and result.keys() <= {"output", "kwargs", "outputs"} and result:
        result = structured(_first(result, "output", "outputs"))
    if isinstance(result, dict) and {"raw_output", "tool_name"} <= result.keys():
        result = structured(result["raw_output"])  # LlamaIndex keeps what went in and out.
    message = unwrapped(result) if isinstance(result, dict) else result
    if isinstance(message, dict) and "content" in message and message.keys() & {"tool_call_id", "artifact"}:
        _put_missing(facts, "tool_call_id", as_name(message.get("tool_call_id")))
        result = structured(message["content"])
    put(facts, "tool_result", without_wrapping(result))


def embedded_texts(value: Any) -> list[str]:
    """Return the texts that were embedded; lists of numbers are tokens, not text."""
    found = called_with(value)
    if isinstance(found, dict):
        found = _first(found, "input", "inputs", "texts", "text", "documents", "content", "query")
    return [item for item in as_list(found) if isinstance(item, str) and item]


# --- What a step passes on ---------------------------------------------------------------------------


def read_echo(facts: Facts, value: Any) -> None:
    """Read a model's answer that LangChain handed from one step to the next, unless the facts hold one.

    It tells what the span of the model may leave out: response id and model, finish reason, reasoning tokens.
    """
    if "response_model" in facts or "response_id" in facts or not _may_echo(value):
        return
    found = structured(value)
    if isinstance(found, dict) and isinstance(found.get("messages"), list) and found["messages"]:
        found = found["messages"][-1]
    if isinstance(found, dict):
        message = unwrapped(found)
        if message.get("type") in ("ai", "AIMessage", "AIMessageChunk") and as_dict(message.get("response_metadata")):
            _read_message(facts, found)


def _may_echo(value: Any) -> bool:
    """Tell whether it is worth parsing."""
    return '"response_metadata"' in value if isinstance(value, str) else isinstance(value, dict)
