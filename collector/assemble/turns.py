"""Which calls serve the same turn of a user.

A trace is one turn, unless it holds a conversation: a call that repeats an earlier one's user messages and adds
to them begins the next turn. A call that stands alone in its trace and continues a tool call belongs to the turn
in which that tool was asked for, whatever its trace.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from collector.assemble.calls import Call


def turn_ids(calls: Sequence[Call]) -> dict[str, str]:
    """Return the turn of every call of one trace.

    Parameters
    ----------
    calls : all calls of one trace, in order of time.
    """
    found = {}
    turn: dict[str | None, list[str]] = {}
    number: dict[str | None, int] = {}
    for call in calls:
        parent = call.record.get("parent_span_id")
        alone = _turn_of_tool(call) if parent is None else None
        said = _user_texts(call)
        before = turn.get(parent)
        if call.generates and said:
            grown = before is not None and len(said) > len(before) and said[: len(before)] == before
            number[parent] = number.get(parent, 0) + grown
            turn[parent] = said
        trace_id = call.tree.trace_id
        count = number.get(parent, 0)
        found[call.id] = alone or (f"{trace_id}:{count}" if count else trace_id)
    return found


def _user_texts(call: Call) -> list[str]:
    return [
        m["content"] or "" for m in call.facts.get("input_messages", ()) if m.get("role") == "user" and m.get("content")
    ]


def _turn_of_tool(call: Call) -> str | None:
    """Return an id made of the first tool call since the last user message, which all calls of its turn share."""
    messages = call.facts.get("input_messages", [])
    last = max((index for index, message in enumerate(messages) if message.get("role") == "user"), default=-1)
    asked = [tool for message in messages[last + 1 :] for tool in message.get("tool_calls", [])]
    asked = asked or call.facts.get("tool_calls", [])
    first = asked[0].get("id") if asked else None
    if not first or last < 0:
        return None
    key = (call.record.get("service_name"), call.facts.get("session_id"), messages[last].get("content"), first)
    return hashlib.sha256(repr(key).encode("utf-8", "replace")).hexdigest()[:32]
