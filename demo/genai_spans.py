"""The customer assistant's traces, as the OpenTelemetry GenAI semantic conventions write them."""

from __future__ import annotations

import random
from typing import Any

import orjson
from opentelemetry.trace import SpanKind

from demo.script import Turn
from demo.spans import Attribute, Clock, PlannedSpan, nanoseconds, tokens

MODEL = "gpt-4.1-mini"
RESPONSE_MODEL = "gpt-4.1-mini-2025-04-14"
SCOPE = "fenmarrow.assistant"

_LOOP_EVENT = "cost_spike"
_TOOLS = {"case": "lookup_case", "bookings": "list_bookings"}
_CASE = {"open_cases": 0, "last_contact": "app", "language": "en"}
_PAYEES = ("Rent", "Energy supplier", "Supermarket", "Club fee", "Insurance", "Phone", "Salary", "Cash machine")


def customer_spans(turn: Turn) -> list[PlannedSpan]:
    """Plan the spans of one turn: agent, tool calls, retrieval, model; the last one holds the answer."""
    rng = random.Random(turn.trace_id)  # noqa: S311 -- a repeatable script, not a secret
    clock = Clock(nanoseconds(turn.start), rng)
    root = PlannedSpan("invoke_agent customer-assistant", SpanKind.INTERNAL, None, clock.now_ns, 0, _agent(turn))
    clock.pause(2, 8)
    spans, messages = [root], [_message("user", _text(turn.question))]
    for step in range(turn.tool_steps):
        spans += _tool_step(turn, step, messages, clock)
    spans.append(_retrieval(turn, clock))
    messages[0] = _message(
        "user", _text(turn.prompt.user_template.format(context=_context(turn), question=turn.question))
    )
    spans.append(_answer(turn, messages, clock))
    root.end_ns = clock.pause(1, 6)
    root.error = turn.error
    return spans


def _agent(turn: Turn) -> dict[str, Attribute]:
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "customer-assistant",
        "gen_ai.provider.name": "openai",
        **_who(turn),
    }


def _who(turn: Turn) -> dict[str, Attribute]:
    return {"gen_ai.conversation.id": turn.session_id, "user.id": turn.user_id}


def _retrieval(turn: Turn, clock: Clock) -> PlannedSpan:
    documents = [
        {
            "id": hit.passage.id,
            "score": hit.relevance,
            "content": hit.passage.text,
            "metadata": {
                "title": hit.passage.title,
                "version": hit.passage.version,
                "updated_at": hit.passage.updated_at.isoformat() + "Z",
            },
        }
        for hit in turn.hits
    ]
    attributes: dict[str, Attribute] = {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": "customer-help",
        "gen_ai.provider.name": "fenmarrow-search",
        "gen_ai.retrieval.query.text": turn.question,
        "gen_ai.retrieval.documents": _json(documents),
    }
    start = clock.now_ns
    return PlannedSpan("retrieval customer-help", SpanKind.CLIENT, 0, start, clock.pause(25, 90), attributes)


def _tool_step(turn: Turn, step: int, messages: list[dict[str, Any]], clock: Clock) -> list[PlannedSpan]:
    """Plan a model call that asks for a tool and the run of that tool; both join the messages."""
    loops = turn.event == _LOOP_EVENT
    tool = _TOOLS["bookings" if loops else "case"]
    arguments = {"account": "current", "page": 1} if loops else {"customer": turn.user_id}
    result = _bookings(step) if loops else _json(_CASE)
    call = {"type": "tool_call", "id": f"call_{turn.trace_id[:12]}{step:02d}", "name": tool, "arguments": arguments}
    asked = _message("assistant", call)
    decision = _model_call(turn, messages, asked | {"finish_reason": "tool_calls"}, clock)
    attributes: dict[str, Attribute] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": tool,
        "gen_ai.tool.call.id": str(call["id"]),
        "gen_ai.tool.call.arguments": _json(arguments),
        "gen_ai.tool.call.result": result,
    }
    start = clock.pause(1, 4)
    run = PlannedSpan(f"execute_tool {tool}", SpanKind.INTERNAL, 0, start, clock.pause(20, 140), attributes)
    answered = {"type": "tool_call_response", "id": call["id"], "response": result}
    messages += [asked, _message("tool", answered)]
    clock.pause(1, 4)
    return [decision, run]


def _answer(turn: Turn, messages: list[dict[str, Any]], clock: Clock) -> PlannedSpan:
    clock.pause(1, 5)
    if not turn.error:
        output = _message("assistant", _text(turn.answer)) | {"finish_reason": "stop"}
        return _model_call(turn, messages, output, clock)
    start = clock.now_ns
    span = PlannedSpan(f"chat {MODEL}", SpanKind.CLIENT, 0, start, clock.pause(300, 9000), _request(turn, messages))
    span.attributes["error.type"] = span.error = turn.error
    return span


def _model_call(turn: Turn, messages: list[dict[str, Any]], output: dict[str, Any], clock: Clock) -> PlannedSpan:
    given = sum(tokens(_json(message["parts"])) for message in messages)
    input_tokens = tokens(turn.prompt.instructions) + given
    output_tokens = tokens(_json(output["parts"][0].get("content") or output["parts"][0]["arguments"]))
    start = clock.now_ns
    end, ttft = clock.model(input_tokens, output_tokens)
    attributes = _request(turn, messages) | {
        "gen_ai.response.id": f"chatcmpl-{turn.trace_id[:16]}{start % 10**8:08d}",
        "gen_ai.response.model": RESPONSE_MODEL,
        "gen_ai.response.finish_reasons": [output["finish_reason"]],
        "gen_ai.response.time_to_first_chunk": ttft,
        "gen_ai.usage.input_tokens": input_tokens,
        "gen_ai.usage.output_tokens": output_tokens,
        "gen_ai.output.messages": _json([output]),
    }
    return PlannedSpan(f"chat {MODEL}", SpanKind.CLIENT, 0, start, end, attributes)


def _request(turn: Turn, messages: list[dict[str, Any]]) -> dict[str, Attribute]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": MODEL,
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.max_tokens": 400,
        "gen_ai.request.stream": True,
        "gen_ai.agent.name": "customer-assistant",
        "gen_ai.prompt.name": turn.prompt.name,
        "gen_ai.prompt.version": turn.prompt.version,
        "gen_ai.system_instructions": _json([_text(turn.prompt.instructions)]),
        "gen_ai.input.messages": _json(messages),
        **_who(turn),
    }


def _context(turn: Turn) -> str:
    return "\n".join(f"[{hit.passage.id}] {hit.passage.text}" for hit in turn.hits)


def _bookings(step: int) -> str:
    """Return one page of bookings; the loop asks for the same page again and again."""
    rows = [
        {"date": f"2025-{1 + n % 12:02d}-{1 + 2 * n % 28:02d}", "payee": _PAYEES[n % 8], "amount": -(7 * n % 90) - 0.5}
        for n in range(18)
    ]
    return _json({"page": 1, "attempt": step + 1, "bookings": rows})


def _message(role: str, part: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "parts": [part]}


def _text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
