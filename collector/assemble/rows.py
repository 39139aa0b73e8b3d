"""Rows of the store, built from what the other modules found out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from collector.assemble.calls import Call
from collector.assemble.context import Joined
from collector.assemble.question import question, template_text
from collector.assemble.tree import Tree
from collector.records import Facts, Record
from undertow import semconv as names
from undertow.text import content_hash, detect_language

Row = dict[str, Any]

_COPIED = (
    "ttft_ms provider request_model response_model response_id prompt_name prompt_version system_prompt response"
    " finish_reason input_tokens output_tokens cache_read_tokens cache_write_tokens reasoning_tokens reported_cost_usd"
    " streaming"
).split()
_NUMBER = re.compile(r"\d{9,16}(\.\d+)?")
_SKEW_NS = 10**9


def as_json(value: Any) -> str | None:
    """Return a structure as JSON text, or None where there is none."""
    if value is None or value in ([], {}):
        return None
    return orjson.dumps(value).decode()


def as_string(value: Any) -> str | None:
    """Return text as it is and any other structure as JSON."""
    return value if isinstance(value, str) or value is None else orjson.dumps(value).decode()


def flags_text(flags: Sequence[str]) -> str | None:
    """Return flags as one comma-separated text, or None where there are none."""
    return ",".join(sorted(set(flags))) or None


def duration_ms(record: Record) -> float | None:
    """Return how long a span took in milliseconds; None when it ended before it started."""
    nanoseconds = record["end_ns"] - record["start_ns"]
    return nanoseconds / 1e6 if nanoseconds >= 0 else None


def span_row(record: Record) -> Row:
    """Return the row of ``spans`` of one span record; times in microseconds since the epoch."""
    return {
        "trace_id": record["trace_id"],
        "span_id": record["span_id"],
        "parent_span_id": record.get("parent_span_id"),
        "name": record.get("name"),
        "operation": record.get("operation"),
        "service_name": record.get("service_name"),
        "environment": record.get("environment"),
        "scope_name": record.get("scope_name"),
        "dialect": record.get("dialect"),
        "start_time": record["start_ns"] // 1000,
        "end_time": record["end_ns"] // 1000,
        "duration_ms": duration_ms(record),
        "status": record.get("status"),
        "error_type": record.get("error_type"),
        "error_message": record.get("error_message"),
        "attributes": as_json(record.get("attributes")),
        "events": as_json(record.get("events")),
        "resource": as_json(record.get("resource")),
        "flags": flags_text(record.get("flags", ())),
    }


def interaction_row(tree: Tree, call: Call, given: Sequence[Joined], turn_id: str) -> Row:
    """Return the row of ``interactions`` of one call."""
    record, facts = call.record, call.facts
    row: Row = {
        "interaction_id": call.id,
        "trace_id": record["trace_id"],
        "span_id": record["span_id"],
        "turn_id": turn_id,
        "session_id": facts.get("session_id") or tree.inherited(call.span_id, "session_id"),
        "user_id": facts.get("user_id") or tree.inherited(call.span_id, "user_id"),
        "service_name": record.get("service_name"),
        "environment": record.get("environment"),
        "operation": record.get("operation"),
        "start_time": record["start_ns"] // 1000,
        "end_time": record["end_ns"] // 1000,
        "duration_ms": duration_ms(record),
        "messages": as_json(_messages(facts)),
        "tool_calls": as_json(facts.get("tool_calls")),
        "parameters": as_json(facts.get("parameters")),
        "status": record.get("status"),
        "error_type": record.get("error_type"),
        "error_message": record.get("error_message"),
        "agent_name": facts.get("agent_name") or tree.inherited(call.span_id, "agent_name"),
        "duplicate_of": call.duplicate_of,
        "flags": flags_text([*record.get("flags", ()), *_skew(tree, record)]),
    }
    row.update({field: facts.get(field) for field in _COPIED})
    row.update(_semantics(tree, call, given))
    return row


def _messages(facts: Facts) -> Any:
    return facts.get("input_messages") or [
        {"role": "user", "content": text} for text in facts.get("embedding_inputs", ())
    ]


def _semantics(tree: Tree, call: Call, given: Sequence[Joined]) -> Row:
    """Return the columns that analysis reads: the question, hashes, language, and how much text there is."""
    prompt = question(tree, call, given) if call.generates else None
    response = call.facts.get("response") if call.generates else None
    template = template_text(call, given) if call.generates else None
    return {
        "prompt": prompt,
        "prompt_hash": content_hash(template) if template else None,
        "prompt_text_hash": content_hash(prompt) if prompt else None,
        "response_text_hash": content_hash(response) if response else None,
        "language": detect_language(prompt or response or ""),
        "content_state": _content_state(call),
    }


def _content_state(call: Call) -> str:
    """Return ``full`` when both sides are known, or the only side that a failed call or an embedding has."""
    one_sided = not call.generates or (call.record.get("status") == "ERROR" and not call.has_output)
    given = call.has_input or bool(call.facts.get("embedding_inputs") or call.facts.get("system_prompt"))
    if given and (one_sided or call.has_output):
        return "full"
    said = bool(call.facts.get("response")) or any(tool.get("arguments") for tool in call.facts.get("tool_calls", ()))
    return "partial" if given or said else "none"


def _skew(tree: Tree, record: Record) -> list[str]:
    """Flag a call whose clock disagrees with that of the service which called it."""
    service = record.get("service_name")
    caller = tree.nearest(
        str(record["span_id"]),
        ("other service", service),
        lambda span: span if span.get("service_name") != service else None,
    )
    early = caller is not None and record["start_ns"] < caller["start_ns"] - _SKEW_NS
    return [names.FLAG_CLOCK_SKEW] if early else []


def document_rows(call: Call, given: Sequence[Joined]) -> list[Row]:
    """Return the rows of ``documents`` of one call, ranked from 1 in the order in which they were returned."""
    return [_document_row(call, rank, joined) for rank, joined in enumerate(given, start=1)]


def _document_row(call: Call, rank: int, joined: Joined) -> Row:
    document, retrieval = joined.document, joined.retrieval
    content = document.get("content")
    return {
        "document_row_id": f"{call.id}:{rank}",
        "interaction_id": call.id,
        "trace_id": call.tree.trace_id,
        "retrieval_span_id": retrieval["span_id"],
        "query": retrieval["facts"].get("query"),
        "rank": rank,
        "document_id": document.get("document_id"),
        "content_hash": content_hash(content) if content else None,
        "content": content,
        "relevance": document.get("relevance"),
        "metadata": as_json(document.get("metadata")),
        "updated_at": parse_time(document.get("updated_at")),
        "join_confidence": joined.confidence,
    }


def parse_time(value: Any) -> int | None:
    """Return a time in microseconds since the epoch, from ISO 8601 or from seconds or milliseconds."""
    if not isinstance(value, str):
        return None
    try:
        if _NUMBER.fullmatch(value):
            number = float(value)
            return int(number * (1_000_000 if number < 1e11 else 1000))
        moment = datetime.fromisoformat(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return round(moment.timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        return None
