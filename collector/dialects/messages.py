"""Chat messages in any of the shapes that clients use become canonical messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from collector.dialects.values import (
    as_dict,
    as_list,
    as_name,
    as_text,
    finish_reason,
    media_kind,
    placeholder,
    role_name,
    structured,
    without_binary,
)
from collector.records import Facts, Message, ToolCall

_CALLS = frozenset({"tool_call", "tool_use", "function_call", "server_tool_call", "server_tool_use"})
_RESULTS = frozenset(
    {"tool_call_response", "tool_result", "function_call_output", "tool_call_result", "server_tool_call_response"}
)
_THOUGHTS = frozenset({"reasoning", "thinking", "redacted_thinking", "thought"})
_TEXTS = frozenset({"text", "input_text", "output_text", "refusal"})
_MEDIA = frozenset(
    "image image_url input_image audio input_audio video file input_file document blob uri media inline_data".split()
)
_KNOWN = _CALLS | _RESULTS | _THOUGHTS | _TEXTS | _MEDIA
_NAMED_BY_KEY = {
    "toolUse": "tool_use",
    "functionCall": "function_call",
    "function_call": "function_call",
    "toolResult": "tool_result",
    "functionResponse": "tool_result",
    "function_response": "tool_result",
    "reasoningContent": "reasoning",
}
"""Parts of Bedrock and Gemini, which state no type."""


def read_messages(value: Any, default_role: str = "user") -> list[Message]:
    """Return the messages that a value holds.

    Parameters
    ----------
    value : a list, JSON text, or one bare string; parts form (``parts``), chat form (``content``,
        ``tool_calls``), items of the Responses API and LangChain's serialised messages are understood.
    default_role : role of what names none.
    """
    found = structured(value)
    if isinstance(found, dict):
        inner = next((found[key] for key in ("messages", "input_messages", "input") if key in found), None)
        found = as_list(inner) if inner is not None else [found]
    if isinstance(found, str):
        return [{"role": default_role, "content": without_binary(found)}] if found else []
    if not isinstance(found, list):
        return []
    if found and all(isinstance(item, list) for item in found):
        found = found[0]  # LangChain batches; one span is one call.
    return [message for item in found for message in _expanded(item, default_role)]


def _expanded(item: Any, default_role: str) -> Iterator[Message]:
    """Yield one message, or several where tool results are packed into one."""
    item = structured(item)
    if isinstance(item, str):
        yield {"role": default_role, "content": without_binary(item)}
        return
    if not isinstance(item, dict):
        return
    item = _unwrapped(item)
    parts = _Parts(item)
    role = role_name(
        item.get("role") or _role_of_type(item.get("type")), "assistant" if parts.bare_call else default_role
    )
    if role == "tool" and not parts.results:
        yield _tool_message(parts.text, item.get("tool_call_id") or item.get("id"))
        return
    yield from parts.results
    if parts.results and parts.text is None and not parts.calls:
        return
    message: Message = {"role": role, "content": parts.text}
    if parts.calls:
        message["tool_calls"] = parts.calls
    yield message


def _unwrapped(item: dict[str, Any]) -> dict[str, Any]:
    """Return the message inside LangChain's ``{"lc": 1, "kwargs": …}`` or ``{"type": "ai", "data": …}``."""
    for key in ("kwargs", "data", "message"):
        inner = item.get(key)
        if isinstance(inner, dict) and "role" not in item and ("content" in inner or "role" in inner):
            kind = inner.get("type") or item.get("type")
            return {**inner, "type": kind}
    return item


def _role_of_type(kind: Any) -> Any:
    return kind if kind in ("human", "ai", "system", "tool", "function", "developer") else None


class _Parts:
    """What the parts of one message come to.

    Attributes
    ----------
    text : all text of the message, or None.
    calls : tools that the model asked for.
    results : what tools answered, each a message of its own.
    bare_call : the message is nothing but a call, without a role.
    """

    def __init__(self, item: dict[str, Any]) -> None:
        self.calls: list[ToolCall] = [call for call in map(read_call, as_list(item.get("tool_calls"))) if call]
        self.results: list[Message] = []
        kind = _kind(item)
        self.bare_call = kind in _CALLS and "role" not in item
        self._texts: list[str] = []
        lone_text = kind in _TEXTS and "text" in item and "content" not in item
        if (kind in _CALLS or kind in _RESULTS or lone_text) and "role" not in item:
            self._add(item)
        else:
            self._add_content(item)
        if isinstance(item.get("function_call"), dict) and not self.calls:
            self._add({"type": "function_call", **item["function_call"]})
        self.text = "\n".join(self._texts) if self._texts else None

    def _add_content(self, item: dict[str, Any]) -> None:
        if "parts" in item:
            for part in as_list(item["parts"]):
                self._add(part)
            return
        content = item.get("content")
        if content is None:
            content = item.get("refusal")
        parts = structured(content) if not isinstance(content, str) or content[:2] == "[{" else content
        parts = [parts] if isinstance(parts, dict) else parts
        if isinstance(parts, list) and _are_parts(parts):
            for part in parts:
                self._add(part)
            return
        text = as_text(content)
        if text is not None:
            self._texts.append(text)

    def _add(self, part: Any) -> None:
        if isinstance(part, str):
            self._texts.append(without_binary(part))
            return
        if not isinstance(part, dict):
            return
        part = _typed(part)
        kind = _kind(part)
        if kind in _CALLS:
            call = read_call(part)
            if call and not any(call == other or (call["id"] and call["id"] == other["id"]) for other in self.calls):
                self.calls.append(call)
        elif kind in _RESULTS:
            self.results.append(_tool_message(_result(part), _call_id(part)))
        elif kind not in _THOUGHTS:
            text = _part_text(part, kind)
            if text:
                self._texts.append(text)


def _kind(part: dict[str, Any]) -> str:
    kind = part.get("type")
    return kind.replace("-", "_") if isinstance(kind, str) else ""


def _typed(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part that is named by its key as one that states its type."""
    if "type" not in part:
        for key, kind in _NAMED_BY_KEY.items():
            if isinstance(part.get(key), dict):
                return {**part[key], "type": kind}
    return part


def _are_parts(items: list[Any]) -> bool:
    """Tell parts of a message from a list that is itself the content, such as a tool's JSON answer."""
    return all(
        isinstance(i, str) or (isinstance(i, dict) and (_kind(_typed(i)) in _KNOWN or i.keys() <= {"text", "content"}))
        for i in items
    )


def _part_text(part: dict[str, Any], kind: str) -> str | None:
    if kind in _TEXTS or not kind:
        for key in ("text", "content", "value", "refusal"):
            if key in part:
                return as_text(part[key])
        return None
    return _media(part, kind)


def _media(part: dict[str, Any], kind: str) -> str:
    """Return the placeholder of a part that is no text."""
    source = next(
        (part[key] for key in ("source", "input_audio", "inline_data", "file") if isinstance(part.get(key), dict)), part
    )
    mime = part.get("modality") or source.get("mime_type") or source.get("media_type") or source.get("mimeType") or kind
    for key in ("image_url", "url", "uri", "data", "content", "image", "audio", "file_data", "file_uri", "file_id"):
        value = source.get(key)
        if isinstance(value, dict):
            value = value.get("url") or value.get("uri") or value.get("data")
        if isinstance(value, str) and value:
            return placeholder(media_kind(mime), value)
    return f"[{kind}]"


def _tool_message(content: str | None, call_id: Any) -> Message:
    message: Message = {"role": "tool", "content": content}
    name = as_name(call_id)
    if name:
        message["tool_call_id"] = name
    return message


def _result(part: dict[str, Any]) -> str | None:
    value = next((part[key] for key in ("response", "result", "output", "content") if part.get(key) is not None), None)
    if isinstance(value, dict) and value.keys() == {"type", "value"}:
        value = value["value"]  # The AI SDK says whether it is text or JSON.
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and value[0].keys() == {"json"}:
        value = value[0]["json"]  # So does Bedrock.
    if isinstance(value, list) and value and _are_parts(value):
        return "\n".join(filter(None, (i if isinstance(i, str) else _part_text(i, _kind(i)) for i in value))) or None
    return as_text(value)


def _call_id(part: dict[str, Any]) -> Any:
    return _first(part, "tool_call_id", "tool_use_id", "call_id", "toolCallId", "toolUseId", "id")


def _first(holder: dict[str, Any], *names: str) -> Any:
    return next((holder[name] for name in names if holder.get(name) not in (None, "")), None)


def read_call(value: Any) -> ToolCall | None:
    """Return one call that a model asked for, whatever its fields are called."""
    item = as_dict(value)
    if not item:
        return None
    function = as_dict(item.get("function")) or item
    name = as_name(_first(item, "name", "tool_name", "toolName") or _first(function, "name"))
    if name is None:
        return None
    arguments = _first(item, "arguments", "args", "input", "parameters")
    if arguments is None:
        arguments = _first(function, "arguments", "args", "input", "parameters")
    return {
        "id": as_name(_first(item, "call_id", "tool_call_id", "toolCallId", "toolUseId", "id")),
        "name": name,
        "arguments": structured(arguments),
    }


# --- Whole conversations -----------------------------------------------------------------------------


def add_input(facts: Facts, messages: list[Message], system: Any = None) -> None:
    """Put what a model was given into facts: each system message once, their text as ``system_prompt``.

    Some clients tell of a tool's answer twice, one message after the other; it counts once.
    """
    given = _system_texts(system)
    kept: list[Message] = []
    seen: list[str] = []
    for message in messages:
        content = message.get("content")
        if message["role"] == "system" and content:
            if content in seen:
                continue
            seen.append(content)
        if message["role"] != "tool" or kept[-1:] != [message]:
            kept.append(message)
    prompt = "\n\n".join(given or seen)
    if prompt:
        facts["system_prompt"] = prompt
    if kept:
        facts["input_messages"] = kept


def _system_texts(value: Any) -> list[str]:
    texts = [message.get("content") for message in read_messages(value, "system")] if value is not None else []
    return ["\n".join(text for text in texts if text)] if any(texts) else []


def add_output(facts: Facts, messages: list[Message], reasons: Any = None) -> None:
    """Put what a model answered into facts: the first text, and every tool call."""
    response = next((message["content"] for message in messages if message.get("content")), None)
    if response:
        facts["response"] = response
    calls = [call for message in messages for call in message.get("tool_calls", [])]
    if calls:
        facts["tool_calls"] = calls
    reason = finish_reason(reasons)
    if reason:
        facts["finish_reason"] = reason


def reason_of(value: Any) -> Any:
    """Return the finish reason that the first of some output messages names."""
    items = as_list(value)
    first = items[0] if items else None
    return first.get("finish_reason") if isinstance(first, dict) else None


def nested(values: dict[str, Any]) -> list[Any]:
    """Turn ``{"0.role": …, "0.tool_calls.1.name": …}`` into nested lists and dictionaries.

    Keys that begin with no number are left out.
    """
    tree: dict[str, Any] = {}
    nodes: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        path, dot, last = key.rpartition(".")
        node = nodes.get(path) if dot else tree
        if node is None:
            node = nodes[path] = _node(tree, path)
        if last not in node:
            node[last] = value
    numbered = {key: value for key, value in tree.items() if key.isdecimal()}
    return _lists(numbered) if numbered else []


def _node(tree: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the dictionary at a path, which takes the place of a single value that stands in its way."""
    node = tree
    for step in path.split("."):
        inner = node.get(step)
        if not isinstance(inner, dict):
            inner = node[step] = {}
        node = inner
    return node


def _lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and next(iter(node)).isdecimal() and all(key.isdecimal() for key in node):
        return [_lists(node[key]) for key in sorted(node, key=int)]
    return {key: _lists(value) if isinstance(value, dict) else value for key, value in node.items()}
