"""The item of a review: question, answer with its claims, sources, and why it was flagged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import data
from dashboard.components import cards, claims, text
from dashboard.formats import NONE, count, duration, escape, json_list, money, stamp_html
from dashboard.screen import Screen


def question_and_answer(row: Mapping[str, Any]) -> None:
    """The question, and the answer with its claims numbered."""
    text.heading("Question")
    if row["content_state"] == "none":
        text.empty(
            "This call carries no content", "Its instrumentation exports no text; the numbers are still complete."
        )
        return
    st.html(f'<div class="ut-text">{escape(row["prompt"])}</div>')
    found = data.rows("interaction_claims", id=row["interaction_id"])
    text.heading("Answer", "underlined red: no source supports it" if any(_bad(claim) for claim in found) else "")
    if not row["response"]:
        reason = row["error_message"] or row["error_type"] or "the call returned no text"
        text.empty("There is no answer", str(reason))
        return
    st.html(claims.answer_html(str(row["response"]), found) + claims.claim_notes(found))


def sources(row: Mapping[str, Any]) -> None:
    """The documents of the interaction with the passages closest to the claims."""
    documents = data.rows("interaction_documents", id=row["interaction_id"])
    text.heading("Sources", f"{len(documents)} documents given to this call")
    if not documents:
        text.empty(
            "No documents",
            "Nothing was retrieved for this call, or the retrieval is not instrumented: it was not evaluated.",
        )
        return
    found = data.rows("interaction_claims", id=row["interaction_id"])
    st.html("".join(claims.source_html(document, found) for document in documents))


def why_flagged(row: Mapping[str, Any], review: Mapping[str, Any] | None) -> None:
    """Reasons of the analysis in its own words, and its evaluations."""
    text.heading("Why it is flagged")
    reasons = json_list(review["reasons"]) if review else []
    items = "".join(f"<li>{escape(reason)}</li>" for reason in reasons) or "<li>No reason was recorded</li>"
    st.html(f'<ul class="ut-note">{items}</ul>')
    evaluations = data.rows("interaction_evaluations", id=row["interaction_id"])
    if evaluations:
        with st.expander(f"All {len(evaluations)} evaluations"):
            st.html(cards.table(_EVALUATIONS, [_evaluation(item) for item in evaluations]))


_EVALUATIONS = (("evaluation", ""), ("value", "n"), ("label", "wide"), ("by", ""))
_DETAIL = re.compile(r" \(|[;:] |, characters ")


def brief(reason: str) -> str:
    """The head of a reason: what was found, without figures and places."""
    return _DETAIL.split(reason, maxsplit=1)[0].rstrip(".")


def _evaluation(item: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Cells of one evaluation; why it was judged so stands on hover."""
    value = NONE if item["value"] is None else f"{float(item['value']):.2f}"
    by = " ".join(escape(part) for part in (item["evaluator"], item["evaluator_version"]) if part)
    title = f' title="{escape(item["explanation"])}"' if item["explanation"] else ""
    name = escape(str(item["name"]).replace("_", " "))
    return f"<span{title}>{name}</span>", value, escape(str(item["label"] or NONE).replace("_", " ")), by


def facts(row: Mapping[str, Any], screen: Screen) -> str:
    """HTML of when, which model, which prompt, what it cost and how long it took."""
    cost = money(row["cost_usd"]) if row["cost_usd"] is not None else f"unknown ({row['cost_source'] or 'not priced'})"
    prompt = " ".join(str(part) for part in (row["prompt_name"], row["prompt_version"]) if part) or NONE
    tokens = f"{count(row['input_tokens'])} in, {count(row['output_tokens'])} out"
    pairs = (
        ("when", stamp_html(row["start_time"], screen.zone)),
        ("service", escape(f"{row['service_name']} · {row['environment'] or 'no environment'}")),
        ("model", escape(row["response_model"] or row["request_model"] or NONE)),
        ("prompt", escape(prompt)),
        ("cost", escape(cost)),
        ("latency", f"{duration(row['duration_ms'])}, first token {duration(row['ttft_ms'])}"),
        ("tokens", tokens),
        (
            "status",
            text.status("failed", row["error_type"] or "error") if row["status"] == "ERROR" else text.status("ok"),
        ),
    )
    cells = "".join(f'<div><span class="k">{title}</span>{value}</div>' for title, value in pairs)
    return f'<div class="ut-facts">{cells}</div>'


def _bad(claim: Mapping[str, Any]) -> bool:
    return claim["verdict"] in ("unsupported", "contradicted")
