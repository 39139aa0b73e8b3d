"""The current OpenTelemetry GenAI conventions: structured messages on the span or in one event of details."""

from __future__ import annotations

from typing import Any

from collector.dialects import otel_genai_old
from collector.dialects.base import Bag, Reading
from collector.dialects.genai_fields import FIELDS, put, read_first_token, read_identity
from collector.dialects.messages import add_input, add_output, read_messages, reason_of
from collector.dialects.values import as_dict, as_float, as_name, as_text
from collector.raw import RawEvent, RawLog, RawSpan
from collector.records import Facts, Judgement
from undertow import semconv as names


class OtelGenai:
    """Spans that name their operation in ``gen_ai.operation.name``."""

    name = "otel_genai"

    def claims(self, span: RawSpan) -> bool:
        """Tell whether the span names a GenAI operation, or carries a GenAI event."""
        return names.OPERATION_NAME in span.attributes or any(e.name in _EVENTS for e in span.events)

    def read_span(self, span: RawSpan) -> Reading:
        """Read a span, with content from its attributes, else from its events."""
        bag = Bag(span.attributes)
        facts: Facts = {}
        operation = operation_of(span.attributes)
        for read in FIELDS.get(operation or "", (read_identity,)):
            read(bag, facts)
        used_events = set(_EVENTS)
        if operation in names.MODEL_CALLS:
            read_content(bag, facts)
            for event in span.events:
                _read_details(event, facts)
            read_first_token(span, facts)
            used_events |= otel_genai_old.read_content(bag, span.events, facts)
        put(facts, "judgements", [judgement(e.attributes) for e in span.events if e.name == names.EVALUATION_EVENT])
        if operation is not None:
            bag.used.add(names.OPERATION_NAME)
        return Reading(operation, facts, bag.used, frozenset(used_events))

    def read_log(self, log: RawLog, event_name: str) -> Reading | None:
        """Read an event of details or an evaluation."""
        if event_name == names.EVALUATION_EVENT:
            facts: Facts = {"judgements": [judgement(log.attributes)]}
            put(facts, "response_id", as_name(log.attributes.get(names.RESPONSE_ID)))
            return Reading(None, facts, set(_EVALUATION_KEYS))
        if event_name != names.DETAILS_EVENT:
            return None
        # Some clients put the attributes of this event into its body.
        attributes = {**as_dict(log.body), **log.attributes}
        bag = Bag(attributes)
        details: Facts = {}
        operation = operation_of(attributes) or names.CHAT
        for read in FIELDS.get(operation, (read_identity,)):
            read(bag, details)
        read_content(bag, details)
        bag.used.add(names.OPERATION_NAME)
        return Reading(operation, details, bag.used)


_EVENTS = frozenset({names.DETAILS_EVENT, names.EVALUATION_EVENT})
_EVALUATION_KEYS = (
    names.EVALUATION_NAME,
    names.EVALUATION_VALUE,
    names.EVALUATION_LABEL,
    names.EVALUATION_EXPLANATION,
    names.RESPONSE_ID,
)


def operation_of(attributes: dict[str, Any]) -> str | None:
    """Return the canonical operation; a span of unknown operation that used a model's tokens is a chat."""
    name = attributes.get(names.OPERATION_NAME)
    word = name.lower() if isinstance(name, str) else ""
    operation = names.OPERATIONS.get(word)
    if operation is None and word.endswith(("_retrieve", "_search", "_query")):
        return names.RETRIEVAL
    if (
        operation is None
        and names.REQUEST_MODEL in attributes
        and not word.startswith(("create_", "invoke_", "execute_"))
    ):
        spent = any(key in attributes for key in names.USAGE["output_tokens"])
        return names.CHAT if spent or names.INPUT_MESSAGES in attributes else None
    return operation


def read_content(bag: Bag, facts: Facts) -> None:
    """Read what the model was given and what it answered."""
    system = bag.take(names.SYSTEM_INSTRUCTIONS)
    given = bag.take(names.INPUT_MESSAGES)
    if given is not None or system is not None:
        add_input(facts, read_messages(given), system)
    answered = bag.take(names.OUTPUT_MESSAGES)
    if answered is not None:
        add_output(facts, read_messages(answered, "assistant"))
        if "finish_reason" not in facts:
            add_output(facts, [], reason_of(answered))


def _read_details(event: RawEvent, facts: Facts) -> None:
    if event.name == names.DETAILS_EVENT:
        details: Facts = {}
        read_content(Bag(event.attributes), details)
        for field, value in details.items():
            if field not in facts:
                put(facts, field, value)


def judgement(attributes: dict[str, Any]) -> Judgement:
    """Return the evaluation that an evaluation event tells of."""
    return {
        "name": as_name(attributes.get(names.EVALUATION_NAME)) or "evaluation",
        "value": as_float(attributes.get(names.EVALUATION_VALUE)),
        "label": as_name(attributes.get(names.EVALUATION_LABEL)),
        "explanation": as_text(attributes.get(names.EVALUATION_EXPLANATION)),
        "evaluator": as_name(attributes.get("gen_ai.evaluation.evaluator.name")),
        "human": False,
        "response_id": as_name(attributes.get(names.RESPONSE_ID)),
    }
