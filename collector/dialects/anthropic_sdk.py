"""The spans that Anthropic's own SDK makes: GenAI names, and what these have no name for under ``anthropic.*``."""

from __future__ import annotations

from collector.dialects.base import Bag, Reading
from collector.dialects.genai_fields import put
from collector.dialects.otel_genai import OtelGenai
from collector.dialects.values import as_dict, as_list, as_name, as_text, finish_reason
from collector.raw import RawLog, RawSpan
from collector.records import Facts
from undertow import semconv as names

_GENAI = OtelGenai()
_SCOPE = "com.anthropic."
_STOP_REASON = "anthropic.message.stop_reason"
_TOOL_RESULT = "anthropic.tool_result.content"
_MARKS = (_STOP_REASON, _TOOL_RESULT, "anthropic.request.id", "anthropic.session.id")


class AnthropicSdk:
    """Spans of requests, agent loops and tool runs of the SDK, and of the platform behind it."""

    name = "anthropic_sdk"

    def claims(self, span: RawSpan) -> bool:
        """Tell whether the span comes from Anthropic's scope or carries attributes of its own."""
        attributes = span.attributes
        return span.scope_name.startswith(_SCOPE) or any(mark in attributes for mark in _MARKS)

    def read_span(self, span: RawSpan) -> Reading:
        """Read the GenAI names and the rest; a request without an operation (counting tokens, say) is no call."""
        bag = Bag(span.attributes)
        told = _GENAI.read_span(span)
        facts: Facts = told.facts
        operation = told.operation if names.OPERATION_NAME in span.attributes else None
        if operation is not None:
            bag.used |= told.used
            put(facts, "session_id", facts.get("session_id") or as_name(bag.take("anthropic.session.id")))
        else:
            facts = {}
        if operation == names.CHAT:
            put(facts, "finish_reason", facts.get("finish_reason") or finish_reason(bag.take(_STOP_REASON)))
        if operation == names.EXECUTE_TOOL and "tool_result" not in facts:
            texts = [as_text(as_dict(block).get("text")) for block in as_list(bag.take(_TOOL_RESULT))]
            put(facts, "tool_result", "\n".join(text for text in texts if text))
        return Reading(operation, facts, bag.used, told.used_events)

    def read_log(self, log: RawLog, event_name: str) -> Reading | None:
        """The SDK sends nothing in logs."""
        return None
