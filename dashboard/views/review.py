"""Review: the queue by severity, the flagged answer beside its sources, and the verdict of a person."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd
import streamlit as st

from dashboard import actions, data, screen, series
from dashboard.components import cards, review, text
from dashboard.formats import count, escape, json_list, shorten
from undertow.errors import StoreError

DONE = "_decisions"
FAILED = "_verdict_failed"
PAGE = 25
VERDICTS: tuple[tuple[str, actions.Verdict, str], ...] = (
    ("Confirm", "confirmed", "y"),
    ("Dismiss", "dismissed", "n"),
    ("Escalate", "escalated", "e"),
)
now = screen.current()


def queue() -> list[dict[str, Any]]:
    """What waits for a verdict: escalated first, then by severity."""
    return data.rows("review_queue", now.filters, now.window)


def position(rows: list[dict[str, Any]]) -> int:
    """Index of the item on the screen: the one of the URL, else the first."""
    wanted = st.query_params.get("item", "")
    ids = [row["interaction_id"] for row in rows]
    return ids.index(wanted) if wanted in ids else 0


def go(rows: list[dict[str, Any]], index: int) -> None:
    """Show another item."""
    if rows:
        st.query_params["item"] = rows[min(max(index, 0), len(rows) - 1)]["interaction_id"]


def give(rows: list[dict[str, Any]], index: int, verdict: actions.Verdict) -> None:
    """Write a verdict and show the next item; an escalated one stays in the queue."""
    try:
        decision = actions.decide(data.store(), rows[index]["interaction_id"], verdict, author=actions.author_name())
    except StoreError as error:
        st.session_state[FAILED] = str(error)
        return
    st.session_state.setdefault(DONE, []).append(decision)
    rest = [row for row in rows if row["interaction_id"] != decision.interaction_id]
    go(rest, index)


def take_back() -> None:
    """Undo the last verdict of this session and show its item again."""
    decisions: list[actions.Decision] = st.session_state.get(DONE, [])
    if not decisions:
        return
    decision = decisions[-1]
    try:
        actions.undo(data.store(), decision, author=actions.author_name())
    except StoreError as error:
        st.session_state[FAILED] = str(error)
        return
    decisions.pop()
    st.query_params["item"] = decision.interaction_id


def draw_queue(rows: list[dict[str, Any]], index: int) -> None:
    """The page of the queue that holds the current item; a click shows another one."""
    first = index // PAGE * PAGE
    shown = rows[first : first + PAGE]
    table = pd.DataFrame(
        {
            "severity": [row["severity"] for row in shown],
            "age": [series.age(now, row["start_time"]) for row in shown],
            "reason": [review.brief(str((json_list(row["reasons"]) or ["flagged"])[0])) for row in shown],
            "question": [shorten(row["prompt"] or "no content", 90) for row in shown],
        }
    )
    current = index - first
    event = st.dataframe(
        table,
        hide_index=True,
        height=430,
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [current]}},
        key=f"queue_{rows[index]['interaction_id']}",
        column_config={
            "severity": st.column_config.NumberColumn("Sev. ▾", format="%.2f", width=58, help="Severity from 0 to 1"),
            "age": st.column_config.TextColumn("Age", width=52),
            "reason": st.column_config.TextColumn("Reason", width=190),
            "question": st.column_config.TextColumn("Question", width="medium"),
        },
    )
    chosen = event["selection"]["rows"]
    if chosen and chosen[0] != current and chosen[0] < len(shown):
        go(rows, first + chosen[0])
        st.rerun()
    waiting = int(rows[0]["waiting"])
    outside = int(data.read("open_reviews")["n"].iloc[0]) - waiting
    beyond = f"; {count(outside)} more lie outside these filters" if outside > 0 else ""
    st.html(f'<p class="ut-small">{first + 1} to {first + len(shown)} of {count(waiting)}{beyond}</p>')


def draw_verdicts(rows: list[dict[str, Any]], index: int) -> None:
    """Buttons with their keys."""
    done = st.session_state.get(DONE, [])
    with st.container(key="verdicts", horizontal=True, gap="small", vertical_alignment="center"):
        for label, verdict, shortcut in VERDICTS:
            kind: Literal["primary", "secondary"] = "primary" if verdict == "confirmed" else "secondary"
            st.button(label, key=verdict, shortcut=shortcut, type=kind, on_click=give, args=(rows, index, verdict))
        st.button("Undo", key="undo", shortcut="u", disabled=not done, on_click=take_back)
        st.button("Previous", key="previous", shortcut="k", disabled=index == 0, on_click=go, args=(rows, index - 1))
        st.button(
            "Next", key="next", shortcut="j", disabled=index >= len(rows) - 1, on_click=go, args=(rows, index + 1)
        )


def draw_item(key: str) -> None:
    """One flagged interaction."""
    found = data.rows("interaction", id=key)
    if not found:
        text.empty("This interaction is gone", "It may have been removed by the retention setting.")
        return
    row = found[0]
    left, right = st.columns([0.55, 0.45], gap="large")
    with left:
        review.question_and_answer(row)
        state = data.rows("review_row", id=key)
        review.why_flagged(row, state[0] if state else None)
        cards.open_link(key, "Open the whole interaction", now)
    with right:
        review.sources(row)
        draw_same(key)


def draw_same(key: str) -> None:
    """Other flagged answers of the same topic."""
    topic = data.rows("interaction_topic", id=key)
    if not topic or topic[0]["topic_id"] in (None, -1):
        return
    rows = data.rows("same_failure", id=key, topic=int(topic[0]["topic_id"]))
    if not rows:
        return
    text.heading("Same topic, also flagged", str(topic[0]["label"] or ""))
    body = [
        (f"{row['severity']:.2f}", escape(row["prompt"] or "no content"), series.age(now, row["start_time"]))
        for row in rows
    ]
    st.html(cards.table((("severity", "n"), ("question", "wide"), ("age", "n")), body))


def draw_done() -> None:
    """What the last key did, so that a slip is seen; and what could not be written."""
    failure = st.session_state.pop(FAILED, None)
    if failure:
        text.empty("The verdict was not written", failure)
    done: list[actions.Decision] = st.session_state.get(DONE, [])
    if done:
        last = done[-1]
        words = f"{len(done)} decided in this session; last: {last.verdict} by {last.author}. U takes it back."
        st.html(f'<p class="ut-small">{escape(words)}</p>')


def draw() -> None:
    """Draw the page."""
    rows = queue()
    if not rows:
        text.lead("Nothing waits for review.")
        draw_done()
        if st.session_state.get(DONE):
            st.button("Undo", key="undo", shortcut="u", on_click=take_back)
        text.empty(
            "The queue is empty",
            "Answers are flagged by the analysis when a claim has no source, or when a person was not content."
            " Widen the time window to see older ones, or analyse what has arrived since:",
            "undertow analyze",
        )
        return
    index = position(rows)
    row = rows[index]
    reason = review.brief(str((json_list(row["reasons"]) or ["flagged"])[0]))
    escalated = f", {count(row['raised'])} of them escalated" if row["raised"] else ""
    text.lead(
        f"{count(row['waiting'])} answers wait for a person{escalated}."
        f" Number {index + 1}: {reason[:1].lower()}{reason[1:]}."
    )
    draw_done()
    with st.container(key="review"):
        left, right = st.columns([0.3, 0.7], gap="medium")
    with left:
        draw_queue(rows, index)
    with right:
        draw_verdicts(rows, index)
        draw_item(row["interaction_id"])


draw()
