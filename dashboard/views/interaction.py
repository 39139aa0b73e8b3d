"""Interaction: one call of a model with its trace, conversation, documents, evaluations and raw record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import data, screen, search
from dashboard.components import cards, review, text, waterfall
from dashboard.formats import NONE, duration, escape, json_list, json_value, money, shorten, stamp, stamp_html
from undertow.search import Field

PAGE = 25
now = screen.current()


def draw_list() -> None:
    """Without an interaction in the URL: the newest ones, a click opens one."""
    total = int(data.read("totals", now.filters, now.window)["calls"].iloc[0])
    text.lead(f"{total:,} calls of models in this time, newest first.")
    pages = max(-(-total // PAGE), 1)
    page = st.pagination(min(pages, 1000), key="calls_page") if pages > 1 else 1
    rows = data.rows("latest_interactions", now.filters, now.window, offset=(page - 1) * PAGE)
    if not rows:
        text.empty("No calls in this time", "Widen the time window, or take a filter away.")
        return
    table = pd.DataFrame(
        {
            "when": [stamp(row["start_time"], now.zone) for row in rows],
            "question": [shorten(row["prompt"] or "no content", 120) for row in rows],
            "service": [row["service_name"] for row in rows],
            "model": [row["request_model"] for row in rows],
            "latency": [duration(row["duration_ms"]) for row in rows],
            "cost": [money(row["cost_usd"]) for row in rows],
        }
    )
    event = st.dataframe(
        table,
        hide_index=True,
        height="content",
        on_select="rerun",
        selection_mode="single-row",
        key=f"calls_{page}",
        column_config={
            "when": st.column_config.TextColumn("when ▾"),
            "latency": st.column_config.TextColumn(alignment="right"),
            "cost": st.column_config.TextColumn(alignment="right"),
        },
    )
    chosen = event["selection"]["rows"]
    if chosen and chosen[0] < len(rows):
        st.query_params["interaction"] = rows[chosen[0]]["interaction_id"]
        st.rerun()


def draw_waterfall(row: Mapping[str, Any]) -> None:
    """The spans of its trace."""
    spans = data.rows("trace_spans", trace=row["trace_id"])
    text.heading("Trace", f"{len(spans)} spans, {row['trace_id']}")
    if spans:
        st.html(waterfall.html_of(spans, str(row["span_id"])))
    else:
        text.empty("No spans", "The spans of this trace are no longer in the store.")
    tools = data.rows("trace_tools", trace=row["trace_id"])
    if tools:
        body = [
            (
                escape(tool["name"]),
                escape(shorten(tool["arguments"], 160)),
                escape(shorten(tool["result"], 160)),
                text.status("failed", tool["error_type"]) if tool["error_type"] else text.status("ok"),
                duration(tool["duration_ms"]),
            )
            for tool in tools
        ]
        st.html(cards.table((("tool", ""), ("arguments", ""), ("result", "wide"), ("status", ""), ("time", "n")), body))


def draw_conversation(row: Mapping[str, Any]) -> None:
    """All messages that the model saw, then the answer with its claims."""
    messages = [m for m in json_list(row["messages"]) if isinstance(m, dict)]
    if not messages and row["prompt"]:
        messages = [{"role": "user", "content": row["prompt"]}]
    blocks = []
    for message in messages[-50:]:
        role = str(message.get("role") or "message")
        content = message.get("content")
        shown = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        calls = message.get("tool_calls")
        tail = f"\n{json.dumps(calls, ensure_ascii=False)}" if calls else ""
        css = "assistant" if role == "assistant" else ""
        body = f'<div class="ut-text">{escape((shown or "") + tail)}</div>'
        blocks.append(f'<div class="ut-turn {css}"><p class="ut-role">{escape(role)}</p>{body}</div>')
    st.html("".join(blocks) or f'<p class="ut-small">no content ({escape(row["content_state"])})</p>')


def draw_evaluations(row: Mapping[str, Any]) -> None:
    """Judgements of machines and people."""
    items = data.rows("interaction_evaluations", id=row["interaction_id"])
    body = [
        (
            escape(item["name"]),
            NONE if item["value"] is None else f"{float(item['value']):.2f}",
            escape(item["label"] or ""),
            escape(str(item["direction"] or "").replace("_", " ")),
            escape(" ".join(str(part) for part in (item["evaluator"], item["evaluator_version"]) if part)),
            escape(item["explanation"]),
        )
        for item in items
    ]
    head = (("evaluation", ""), ("value", "n"), ("label", ""), ("direction", ""), ("by", ""), ("explanation", "wide"))
    if body:
        st.html(cards.table(head, body))
    else:
        text.empty("Not evaluated", "No scorer has judged this call yet.", "undertow analyze")
    signals = data.rows("interaction_feedback", id=row["interaction_id"])
    if signals:
        said = [
            (
                stamp_html(s["created_at"], now.zone),
                escape(s["kind"]),
                escape(s["label"] or ("" if s["value"] is None else f"{s['value']:g}")),
                escape(s["author"]),
                escape(s["comment"]),
            )
            for s in signals
        ]
        text.heading("Feedback")
        st.html(cards.table((("when", ""), ("kind", ""), ("value", ""), ("by", ""), ("comment", "wide")), said))


def draw_similar(row: Mapping[str, Any]) -> None:
    """Questions near this one in meaning, and answers near its answer."""
    left, right = st.columns(2, gap="large")
    parts: tuple[tuple[Any, str, Field, str], ...] = (
        (left, "Similar questions", "prompt", "prompt_text_hash"),
        (right, "Similar answers", "response", "response_text_hash"),
    )
    for column, title, field, key in parts:
        with column:
            text.heading(title, "by meaning, over all time")
            found = search.like(row[key], field, now) if row[key] else []
            if not found:
                text.empty("None", "This call has no text here, or it is not embedded yet.", "undertow analyze")
            for item in found[:6]:
                cards.found(item, now)


def draw_raw(row: Mapping[str, Any]) -> None:
    """The record as it is stored."""
    record = {name: _plain(value) for name, value in row.items() if value is not None}
    st.code(json.dumps(record, indent=2, ensure_ascii=False), language="json", wrap_lines=True, height=420)


def _plain(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    parsed = json_value(value) if isinstance(value, str) and value[:1] in "[{" else None
    return value if parsed is None else parsed


def draw() -> None:
    """Draw the page."""
    key = st.query_params.get("interaction", "")
    if not key:
        draw_list()
        return
    found = data.rows("interaction", id=key)
    if not found:
        text.lead("This interaction is not in the store.")
        text.empty(
            f"No interaction {shorten(key, 60)}",
            "It may have been removed by the retention setting, or the link is cut short.",
        )
        return
    row = found[0]
    text.lead(shorten(row["prompt"], 180) or "A call without content")
    st.html(review.facts(row, now))
    topic = data.rows("interaction_topic", id=key)
    if topic and topic[0]["label"]:
        st.html(f'<p class="ut-small">topic: {escape(topic[0]["label"])}</p>')
    draw_waterfall(row)
    names = ["Answer and documents", "Conversation", "Evaluations", "Similar", "Raw"]
    answer, conversation, judged, similar, raw = st.tabs(names, on_change="rerun", key="part")
    with answer:
        left, right = st.columns([0.55, 0.45], gap="large")
        with left:
            review.question_and_answer(row)
        with right:
            review.sources(row)
    with conversation:
        draw_conversation(row)
    with judged:
        draw_evaluations(row)
    with similar:
        if similar.open:
            draw_similar(row)
    with raw:
        draw_raw(row)


draw()
