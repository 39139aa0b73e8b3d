"""Older GenAI conventions: ``gen_ai.system``, content in numbered attributes, span events or one log a message."""

from __future__ import annotations

from typing import Any

from collector.dialects.base import Bag, Reading
from collector.dialects.genai_fields import FIELDS, put, read_first_token, read_identity
from collector.dialects.messages import add_input, add_output, nested, read_messages, reason_of
from collector.dialects.values import as_dict, as_name, finish_reason, structured
from collector.raw import RawEvent, RawLog, RawSpan
from collector.records import Facts, Message
from undertow import semconv as names

_REQUEST_TYPE = "llm.request.type"
_MARKS = (_REQUEST_TYPE, "gen_ai.system", names.REQUEST_MODEL, "gen_ai.prompt.0.content", names.OLD_PROMPT)

_LOG_EVENTS = {
    names.OLD_PROMPT: "gen_ai.user.message",
    names.PROMPT_EVENT: "gen_ai.user.message",
    names.COMPLETION_EVENT: names.CHOICE_EVENT,
}
"""Log records that are the event of one message under another name."""


class OtelGenaiOld:
    """Spans that name a model or a tool of GenAI, but no operation."""

    name = "otel_genai_old"

    def claims(self, span: RawSpan) -> bool:
        """Tell whether the span carries any mark of the older conventions."""
        attributes = span.attributes
        return names.TOOL_NAME in attributes or any(mark in attributes for mark in _MARKS)

    def read_span(self, span: RawSpan) -> Reading:
        """Read a span, with content from numbered attributes, else from its events."""
        bag = Bag(span.attributes)
        facts: Facts = {}
        operation = _operation_of(span.attributes)
        for read in FIELDS.get(operation or "", (read_identity,)):
            read(bag, facts)
        used_events: set[str] = set()
        if operation in names.MODEL_CALLS:
            used_events = read_content(bag, span.events, facts)
            read_first_token(span, facts)
            bag.take(_REQUEST_TYPE)
        return Reading(operation, facts, bag.used, frozenset(used_events))

    def read_log(self, log: RawLog, event_name: str) -> Reading | None:
        """Read the event of one message or of one choice."""
        event_name = _LOG_EVENTS.get(event_name, event_name)
        if event_name not in names.MESSAGE_EVENTS and event_name != names.CHOICE_EVENT:
            return None
        facts: Facts = {"fragment": True}
        body = structured(log.body)
        _read_message_event(event_name, body if isinstance(body, dict) else {"content": log.body}, facts)
        put(facts, "response_id", as_name(log.attributes.get(names.RESPONSE_ID)))
        return Reading(names.CHAT, facts, {*names.PROVIDER_NAMES, names.EVENT_NAME, names.RESPONSE_ID})


def _operation_of(attributes: dict[str, Any]) -> str | None:
    kind = attributes.get(_REQUEST_TYPE)
    if isinstance(kind, str) and kind.lower() in names.OPERATIONS:
        return names.OPERATIONS[kind.lower()]
    if names.REQUEST_MODEL in attributes or any(key.startswith("gen_ai.prompt") for key in attributes):
        return names.CHAT
    return names.EXECUTE_TOOL if names.TOOL_NAME in attributes else None


def read_content(bag: Bag, events: list[RawEvent], facts: Facts) -> set[str]:
    """Fill in content that the facts do not have yet; return the names of the span events that were read."""
    _read_numbered(bag, facts)
    messages: list[Message] = []
    told: Facts = {}
    used = set()
    for event in events:
        if event.name == names.PROMPT_EVENT:
            messages += read_messages(event.attributes.get(names.OLD_PROMPT))
        elif event.name == names.COMPLETION_EVENT:
            _add_completion(told, event.attributes.get(names.OLD_COMPLETION))
        elif event.name in names.MESSAGE_EVENTS or event.name == names.CHOICE_EVENT:
            piece: Facts = {}
            _read_message_event(event.name, _event_body(event.attributes), piece)
            messages += piece.pop("input_messages", [])
            told.update(piece)
        else:
            continue
        used.add(event.name)
    if messages and "input_messages" not in facts:
        add_input(facts, messages)
    for field, value in told.items():
        if field not in facts:
            put(facts, field, value)
    return used


def read_message_events(events: list[tuple[str, dict[str, Any]]]) -> Facts:
    """Return the conversation that events of one message or one choice each, in order, come to.

    Parameters
    ----------
    events : name and body; a body without a known name counts as the message of its role.
    """
    messages: list[Message] = []
    said: Facts = {}
    for name, body in events:
        piece: Facts = {}
        if name in names.MESSAGE_EVENTS or name == names.CHOICE_EVENT:
            _read_message_event(name, body, piece)
        elif body.get("role"):
            add_input(piece, read_messages([body]))
        messages += piece.pop("input_messages", [])
        calls = [*said.get("tool_calls", []), *piece.get("tool_calls", [])]
        said = {**piece, **said}
        put(said, "tool_calls", calls)
    if not said.keys() & {"response", "tool_calls"} and messages and messages[-1]["role"] == "assistant":
        add_output(said, [messages.pop()])
    add_input(said, messages)
    return said


def _read_numbered(bag: Bag, facts: Facts) -> None:
    """Read ``gen_ai.prompt.N.role`` and its like, or the whole conversation as JSON in ``gen_ai.prompt``."""
    if "input_messages" not in facts:
        messages = read_messages(
            [_with_role(item) for item in nested(bag.take_prefix("gen_ai.prompt.", numbered=True))]
        )
        add_input(facts, messages or read_messages(bag.take(names.OLD_PROMPT)))
    if "response" not in facts and "tool_calls" not in facts:
        answered = nested(bag.take_prefix("gen_ai.completion.", numbered=True))
        _add_completion(facts, answered or bag.take(names.OLD_COMPLETION))


def _with_role(item: Any) -> Any:
    """Return a message that is named by its role, as ``gen_ai.prompt.0.user`` is, in the usual form."""
    if isinstance(item, dict) and len(item) == 1:
        [(role, content)] = item.items()
        return {"role": role, "content": content} if role in names.ROLES.values() else item
    return item


def _add_completion(facts: Facts, value: Any) -> None:
    if value is not None:
        reason = None if "finish_reason" in facts else reason_of(value)
        add_output(facts, read_messages(value, "assistant"), reason)


def _event_body(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the body of an event on a span, which some clients pack into one attribute."""
    packed = as_dict(attributes.get("gen_ai.event.content"))
    return packed or {
        key: structured(value) if key in ("message", "tool_calls") else value for key, value in attributes.items()
    }


def _read_message_event(event_name: str, body: dict[str, Any], facts: Facts) -> None:
    if event_name != names.CHOICE_EVENT:
        role = names.MESSAGE_EVENTS[event_name]
        add_input(facts, read_messages([{"role": role, **body}], role))
        return
    message = body.get("message")
    message = {"content": message} if isinstance(message, str | list) else as_dict(message) or body
    # The tool calls stand inside the message or beside it.
    calls = message.get("tool_calls") or body.get("tool_calls")
    add_output(facts, read_messages([{**message, "role": "assistant", "tool_calls": calls}], "assistant"))
    put(facts, "finish_reason", finish_reason(body.get("finish_reason")))
