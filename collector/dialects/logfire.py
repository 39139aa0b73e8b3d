"""pydantic-ai and Logfire: GenAI names of all ages, a conversation in one attribute, feedback as spans of their own."""

from __future__ import annotations

from collector.dialects.base import Bag, Reading
from collector.dialects.exchange import embedded_texts, read_request, read_response
from collector.dialects.genai_fields import put, read_identity
from collector.dialects.otel_genai import OtelGenai
from collector.dialects.otel_genai_old import OtelGenaiOld, read_message_events
from collector.dialects.usage import read_usage
from collector.dialects.values import as_dict, as_float, as_list, as_name, as_text, structured
from collector.raw import RawLog, RawSpan
from collector.records import Facts, Judgement
from undertow import semconv as names

_GENAI = OtelGenai()
_OLD = OtelGenaiOld()
_SPAN_TYPE = "logfire.span_type"
_FEEDBACK = "logfire.feedback.name"
_COMMENT = "logfire.feedback.comment"
_MARKS = (
    _SPAN_TYPE,
    _FEEDBACK,
    "logfire.msg",
    "logfire.msg_template",
    "logfire.json_schema",
    "model_request_parameters",
    "all_messages_events",
    "pydantic_ai.all_messages",
)
_ANSWERED = {"response", "tool_calls", "response_id", "output_tokens"}
_AGENT_MARKS = ("all_messages_events", "pydantic_ai.all_messages", "final_result")


class Logfire:
    """Spans of pydantic-ai and of Logfire's SDK."""

    name = "logfire"

    def claims(self, span: RawSpan) -> bool:
        """Tell whether the span carries a mark of Logfire or of pydantic-ai."""
        attributes = span.attributes
        return any(mark in attributes for mark in _MARKS)

    def read_span(self, span: RawSpan) -> Reading:
        """Read a call, a tool or an agent; what is pending is no call, what annotates is a judgement."""
        bag = Bag(span.attributes)
        kind = span.attributes.get(_SPAN_TYPE)
        if kind == "pending_span":
            # The beginning of a span that will come again, whole, under its own id.
            return Reading(None, {}, set())
        if _FEEDBACK in span.attributes:
            bag.take(_SPAN_TYPE)
            return Reading(None, {"judgements": [_feedback(bag)]}, bag.used)
        told = (_GENAI if _GENAI.claims(span) else _OLD).read_span(span)
        bag.used |= told.used
        facts = told.facts
        operation = told.operation
        if operation is None or (operation == names.CHAT and any(m in span.attributes for m in _AGENT_MARKS)):
            return _read_agent(span, bag)
        if operation == names.EXECUTE_TOOL:
            _read_tool(bag, facts)
        elif operation == names.EMBEDDINGS:
            put(facts, "embedding_inputs", embedded_texts(bag.take("inputs")))
        elif operation in names.GENERATIONS:
            _read_events(bag, facts)
            if not _read_request_data(span, bag, facts):
                return Reading(None, {}, set())
        return Reading(operation, facts, bag.used, told.used_events)

    def read_log(self, log: RawLog, event_name: str) -> Reading | None:
        """Logs are those of the GenAI conventions."""
        return None


def _feedback(bag: Bag) -> Judgement:
    """Return what a person said: a number or a truth is a value, a word is a label."""
    name = as_name(bag.take(_FEEDBACK)) or "feedback"
    value = bag.take(name)
    word = value if isinstance(value, str) else None
    return {
        "name": name,
        "value": None if word is not None else as_float(value),
        "label": as_name(word),
        "explanation": as_text(bag.take(_COMMENT)),
        "evaluator": None,
        "human": True,
        "response_id": None,
    }


def _read_agent(span: RawSpan, bag: Bag) -> Reading:
    """Read a run of an agent, which repeats its calls' words and tokens, or a span of no known meaning."""
    facts: Facts = {}
    bag.used.clear()
    read_identity(bag, facts)
    agent = as_name(bag.take("agent_name"))
    put(facts, "agent_name", facts.get("agent_name") or agent)
    known = agent is not None or any(mark in span.attributes for mark in _AGENT_MARKS)
    return Reading(names.INVOKE_AGENT if known else None, facts, bag.used)


def _read_tool(bag: Bag, facts: Facts) -> None:
    if "tool_arguments" not in facts:
        put(facts, "tool_arguments", structured(bag.take("tool_arguments")))
    if "tool_result" not in facts:
        put(facts, "tool_result", structured(bag.take("tool_response")))


def _read_events(bag: Bag, facts: Facts) -> None:
    """Read the conversation that the older formats pack, event by event, into one attribute."""
    packed = [as_dict(item) for item in as_list(bag.take("events"))]
    if not packed:
        return
    told = read_message_events([(str(item.get(names.EVENT_NAME) or ""), item) for item in packed])
    for field, value in told.items():
        if field not in facts:
            put(facts, field, value)


def _read_request_data(span: RawSpan, bag: Bag, facts: Facts) -> bool:
    """Read the request and the answer that Logfire's own instrumentations of model clients send as they are.

    Returns whether the span is the call: of a streamed one, a log that follows it tells the answer.
    """
    request = as_dict(bag.take("request_data"))
    answer = as_dict(bag.take("response_data"))
    told: Facts = {}
    if request:
        read_request(told, request)
        put(told, "user_id", as_name(request.get("user")))
    if answer:
        message = answer.get("message") or answer.get("combined_chunk_content")
        read_response(told, message, bare_text=True)
        read_usage(told, answer.get("usage"))
    if span.attributes.get(_SPAN_TYPE) == "log":
        told["streaming"] = True
    for field, value in told.items():
        if field not in facts:
            put(facts, field, value)
    read_usage(facts, bag.take("gen_ai.usage.raw"))
    waits = request and not answer and not facts.keys() & _ANSWERED
    return not waits or span.status == "ERROR" or span.attributes.get(_SPAN_TYPE) == "log"
