"""Prompts: versions side by side, and what changed between two texts."""

from __future__ import annotations

import difflib
from typing import Any

import streamlit as st

from dashboard import data, screen
from dashboard.components import cards, text
from dashboard.filters import Window
from dashboard.formats import count, duration, escape, money, stamp_html, wilson

now = screen.current()
MEASURES = (("are grounded", "grounded", "evaluated"), ("refuse", "refused", "answered"))


def draw_table(rows: list[dict[str, Any]]) -> None:
    """One row per version: what it did, with intervals."""
    body = []
    for row in rows:
        rates = [wilson(row[part], row[whole]) for _, part, whole in MEASURES]
        per_call = float(row["cost"]) / int(row["priced"]) * 1000 if row["priced"] else None
        body.append(
            (
                f"{escape(row['prompt_name'] or 'no name')} <b>{escape(row['prompt_version'] or 'no version')}</b>",
                stamp_html(row["first_seen"], now.zone),
                stamp_html(row["last_seen"], now.zone),
                count(row["calls"]),
                *(
                    f'<span title="n = {rate.n}">{rate.text} <span class="ut-small">{rate.margin}</span></span>'
                    for rate in rates
                ),
                money(per_call),
                duration(row["p95"]),
            )
        )
    head = (
        ("version", "wide"), ("first seen ▾", "n"), ("last seen", "n"), ("calls", "n"), ("grounded", "n"),
        ("refused", "n"), ("cost per 1,000", "n"), ("latency p95", "n"),
    )  # fmt: skip
    st.html(cards.table(head, body))


def sentence(rows: list[dict[str, Any]]) -> str:
    """Whether the newest version differs from the one before it, and in what."""
    for name in dict.fromkeys(row["prompt_name"] for row in rows):
        versions = [row for row in rows if row["prompt_name"] == name]
        if len(versions) < 2:
            continue
        new, old = versions[:2]
        told = [_difference(new, old, *measure) for measure in MEASURES]
        apart = [words for words, differs in told if differs]
        label = f"{name} {new['prompt_version']}"
        if apart:
            return f"{label} differs from {old['prompt_version']}: {'; '.join(apart)}."
        if told[0][0]:
            return f"{label} cannot be told from {old['prompt_version']}: {told[0][0]}."
    return f"{len(rows)} versions of prompts were used; none of them followed another one in this time."


def _difference(new: dict[str, Any], old: dict[str, Any], words: str, part: str, whole: str) -> tuple[str, bool]:
    """A rate of both versions in words, and whether their intervals lie apart."""
    now_, before = (wilson(row[part], row[whole]) for row in (new, old))
    if None in (now_.share, now_.low, now_.high, before.share, before.low, before.high):
        return "", False
    apart = (now_.high or 0) < (before.low or 0) or (now_.low or 0) > (before.high or 0)
    return f"{now_.text} {now_.margin} of its answers {words}, before {before.text} {before.margin}", apart


def draw_diff() -> None:
    """What was taken out and put in between the last two texts of a prompt."""
    rows = data.rows("prompt_templates")
    names = [name for name in dict.fromkeys(row["prompt_name"] for row in rows)]
    pairs = {name: [row for row in rows if row["prompt_name"] == name][:2] for name in names}
    pairs = {name: pair for name, pair in pairs.items() if len(pair) == 2}
    if not pairs:
        text.empty("No two texts to compare", "The text of a prompt is known when its template arrives by telemetry.")
        return
    name = st.selectbox("Prompt", list(pairs), format_func=lambda value: value or "no name", width=260)
    new, old = pairs[name]
    text.heading(f"{name} {old['prompt_version']} → {new['prompt_version']}", "− taken out, + put in")
    lines = difflib.unified_diff(str(old["template"]).splitlines(), str(new["template"]).splitlines(), lineterm="", n=2)
    st.code(
        "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@"))), language="diff", wrap_lines=True
    )


def draw() -> None:
    """Draw the page."""
    span = Window(now.reference.start, now.window.end)
    rows = data.rows("prompt_versions", now.filters, span)
    if not rows:
        text.lead("No call of this time names its prompt.")
        text.empty(
            "No versions of prompts",
            "They are read from the attributes gen_ai.prompt.name and gen_ai.prompt.version of a call,"
            " or found by the text of the system prompt.",
        )
        return
    text.lead(sentence(rows))
    text.heading("Versions", f"reference and window together, {span.days:.0f} days")
    draw_table(rows)
    draw_diff()


draw()
