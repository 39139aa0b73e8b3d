"""OpenLIT: the GenAI names, but every counter and many a setting is sent with a default where it is unknown."""

from __future__ import annotations

from typing import Any

from collector.dialects.base import Bag, Reading
from collector.dialects.genai_fields import put
from collector.dialects.otel_genai import OtelGenai
from collector.dialects.otel_genai_old import OtelGenaiOld
from collector.dialects.values import as_list, as_name, as_text
from collector.raw import RawLog, RawSpan
from collector.records import Facts
from undertow import semconv as names

_GENAI = OtelGenai()
_OLD = OtelGenaiOld()
_SDK = "telemetry.sdk.name"
_SCOPE = "openlit."
_VERSION_HASH = "openlit.agent.version_hash"
_READS = frozenset({"get", "query", "search", "fetch", "select"})
_COUNTERS = ("cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
_PLACEHOLDERS: dict[str, tuple[Any, ...]] = {"seed": (0, ""), "max_tokens": (-1, 0), "stop_sequences": ((), [], "")}


class Openlit:
    """Spans and logs of the OpenLIT SDK."""

    name = "openlit"

    def claims(self, span: RawSpan) -> bool:
        """Tell whether the span says that OpenLIT's SDK wrote it."""
        attributes = span.attributes
        return attributes.get(_SDK) == "openlit" or _VERSION_HASH in attributes or span.scope_name.startswith(_SCOPE)

    def read_span(self, span: RawSpan) -> Reading:
        """Read a span as one of the GenAI conventions, without invented values."""
        told = (_GENAI if names.OPERATION_NAME in span.attributes else _OLD).read_span(span)
        bag = Bag(span.attributes)
        bag.used |= told.used
        bag.take(_SDK)
        operation = told.operation
        if operation is None and span.attributes.get(names.OPERATION_NAME) == "vectordb":
            operation = _read_vector_store(bag, told.facts)
        _drop_placeholders(told.facts)
        if operation in names.GENERATIONS:
            _correct_call(bag, told.facts)
        return Reading(operation, told.facts, bag.used, told.used_events)

    def read_log(self, log: RawLog, event_name: str) -> Reading | None:
        """Read the event of details that repeats a span of OpenLIT."""
        if _VERSION_HASH not in log.attributes and not log.scope_name.startswith(_SCOPE):
            return None
        told = _GENAI.read_log(log, event_name)
        if told is not None:
            _drop_placeholders(told.facts)
        return told


def _drop_placeholders(facts: Facts) -> None:
    """Leave out what OpenLIT sends where it does not know: a zero of a counter that few providers report."""
    told: dict[str, Any] = facts  # type: ignore[assignment]  # the table of fields is data
    for field in _COUNTERS:
        if told.get(field) == 0:
            del told[field]
    parameters = {
        key: value for key, value in facts.get("parameters", {}).items() if value not in _PLACEHOLDERS.get(key, ())
    }
    if "parameters" in facts:
        facts["parameters"] = parameters
    if not parameters:
        facts.pop("parameters", None)


def _correct_call(bag: Bag, facts: Facts) -> None:
    """Correct a tool call in an answer of the Responses API, which has the id of its item, and a status as reason.

    The call's own id stands in an attribute of the span.
    """
    calls, call_id = facts.get("tool_calls", []), as_name(bag.take(names.TOOL_CALL_ID))
    if len(calls) == 1 and call_id is not None:
        facts["tool_calls"] = [{**calls[0], "id": call_id}]
    if calls and "completed" in as_list(bag.take(*names.FINISH_REASON_KEYS)):
        facts["finish_reason"] = "tool_calls"


def _read_vector_store(bag: Bag, facts: Facts) -> str | None:
    """Read a look-up in a vector store: OpenLIT sends what was asked, not what was found."""
    action = bag.take("db.operation.name", "db.operation")
    if not isinstance(action, str) or action.lower() not in _READS:
        return None
    asked = as_list(bag.take("db.query.text"))
    put(facts, "query", next((as_text(item) for item in asked if isinstance(item, str)), None))
    bag.used.add(names.OPERATION_NAME)
    return names.RETRIEVAL
