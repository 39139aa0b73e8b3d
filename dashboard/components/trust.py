"""Whether the scorer is right, what else was judged, and the documents behind ungrounded answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import data
from dashboard.charts import base, reliability
from dashboard.components import cards, text
from dashboard.formats import NONE, escape, percent, shorten, span_text, wilson
from dashboard.screen import Screen
from undertow.clock import utc_now

VERDICTS_TO_RECALIBRATE = 100
_FEWEST_VERDICTS = 20
_SHOWN = 8
_JUDGED_ANEW = "groundedness,trends,flags"
_TITLES: Mapping[str, str] = {
    "answer_relevance": "Answer is about something else",
    "context_relevance": "No document is near the question",
    "context_utilisation": "No sentence of the documents is used",
    "consistency": "Answered otherwise at other times",
}


def draw_versions(screen: Screen) -> None:
    """Where several scorers or versions judged the answers of the charts: which, when, and how to judge all by one."""
    rows = data.rows("scorer_versions", screen.filters, screen.timeline())
    if len(rows) < 2:
        return
    judged = "; ".join(
        f"{row['evaluator']} {row['evaluator_version']}: {row['n']:,} answers of"
        f" {span_text(row['oldest'], row['newest'], screen.zone)}"
        for row in rows
    )
    days = (utc_now() - min(row["oldest"] for row in rows[1:])).days + 1
    st.html(
        f'<p class="ut-small">{text.status("watch", "scorer changed")}'
        f" A step in grounded answers may come from the scorer: {escape(judged)}. To judge all by the first:"
        f" <code>undertow analyze --only {_JUDGED_ANEW} --since {days}d</code></p>"
    )


def draw_reliability(screen: Screen) -> None:
    """The reliability diagram over all verdicts, or what to do to get one."""
    rows = data.rows("reliability", screen.filters)
    verdicts = sum(int(row["n"]) for row in rows)
    text.heading("Is the risk right?", f"what people found, by the risk given; {verdicts:,} verdicts, 95 % interval")
    command = "undertow calibrate groundedness"
    if verdicts < _FEWEST_VERDICTS:
        text.empty(
            f"{verdicts} verdicts so far",
            f"From {_FEWEST_VERDICTS} on they are drawn here, and {VERDICTS_TO_RECALIBRATE} recalibrate the scorer."
            " Confirm or dismiss answers on the Review page; a verdict on an answer that was flagged for its claims"
            " counts. Then run:",
            command,
        )
        st.page_link("views/review.py", label="Give verdicts", query_params=screen.filters.to_query())
        return
    st.plotly_chart(reliability.diagram(rows), config=base.CONFIG, height=260, key="reliability")
    held = data.rows("calibration_in_force")
    learned_from = str(held[0]["calibration_set"]) if held else ""
    said = f"The risk was calibrated on {escape(learned_from)}. " if held else ""
    if verdicts < VERDICTS_TO_RECALIBRATE:
        said += f"{VERDICTS_TO_RECALIBRATE - verdicts} more verdicts, and <code>{command}</code> can recalibrate it."
    elif not learned_from.startswith(f"{verdicts} "):
        said += f"<code>{command}</code> says what recalibration by these {verdicts:,} verdicts would change."
    st.html(f'<p class="ut-small">{said}</p>')


def draw_judgements(screen: Screen) -> None:
    """Shares of answers with another shortcoming, with interval and n."""
    rows = [row for row in data.rows("other_judgements", screen.filters, screen.window) if row["n"]]
    text.heading("Other shortcomings", "share of the judged answers, 95 % interval")
    if not rows:
        text.empty(
            "Nothing was judged",
            "Relevance, use of the documents and consistency are judged where there is text; own rubrics where a"
            " judge is configured.",
            "undertow analyze --only embed,retrieval,consistency,judge",
        )
        return
    body = []
    for row in rows:
        rate = wilson(row["k"], row["n"])
        title = _TITLES.get(row["name"], f"Fails the rubric {row['name']}")
        body.append((escape(title), f"{rate.text} {rate.margin}", f"{rate.n:,}"))
    st.html(cards.table((("shortcoming", "wide"), ("share", "n"), ("judged", "n")), body))


def draw_documents(screen: Screen, least: int) -> None:
    """Documents whose answers are least grounded, by the lower end of the interval."""
    text.heading("Documents behind ungrounded answers", f"given to {least} or more judged answers")
    rows = data.rows("documents_behind", screen.filters, screen.window, least=least)
    if not rows:
        text.empty("No document stands out", "No document that was given often has an ungrounded answer in this time.")
        return
    ranked = sorted(rows, key=lambda row: -(wilson(row["k"], row["n"]).low or 0))[:_SHOWN]
    head = (("document", "wide"), ("not grounded", "n"), ("answers", "n"), ("relevance", "n"), ("used", "n"))
    st.html(cards.table(head, [_document(row) for row in ranked]))


def _document(row: Mapping[str, Any]) -> tuple[str, ...]:
    rate = wilson(row["k"], row["n"])
    name = f'<span title="{escape(row["excerpt"])}">{escape(shorten(str(row["name"]), 60))}</span>'
    used = NONE if row["utilisation"] is None else percent(row["utilisation"])
    relevance = NONE if row["relevance"] is None else f"{row['relevance']:.2f}"
    return name, f"{rate.text} {rate.margin}", f"{rate.n:,}", relevance, used
