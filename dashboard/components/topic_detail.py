"""One topic: what it is called, what belongs to it, what happened to it, and messages of it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import actions, data
from dashboard.components import cards, text, topics
from dashboard.formats import escape, json_list, percent, stamp_html
from dashboard.hierarchy import Hierarchy
from dashboard.palette import OTHER
from dashboard.screen import Screen
from undertow.errors import StoreError

OUTLIERS, PENDING = "outliers", "pending"
_EXAMPLES = 6
_SHOWN = {"typical": "Most typical", "newest": "Newest", "borderline": "Borderline"}


def draw(topic: int, screen: Screen, known: Hierarchy, rows: list[dict[str, Any]], field: str) -> None:
    """Keywords, history, examples and the name of one topic."""
    row = known.rows.get(topic)
    if row is None:
        return
    st.divider()
    left, right = st.columns([0.58, 0.42], gap="large")
    with left:
        _title(topic, row, screen)
        _relatives(topic, known, rows)
        _messages(topic, row, screen, field)
    with right:
        _history(topic, screen)
        _rename(topic, str(row["label"]))
        query = screen.filters.narrowed(topic=topic).to_query()
        st.page_link("views/overview.py", label="Restrict every page to this topic", query_params=query)


def draw_rest(which: str, screen: Screen, field: str) -> None:
    """Messages that belong to no topic, or are not assigned yet."""
    st.divider()
    lone = which == OUTLIERS
    text.heading("Messages of no topic" if lone else "Messages that are not assigned yet", "newest first")
    found = data.rows(
        "topic_examples", screen.filters, screen.window, chosen=-1 if lone else None, borderline=False, field=field
    )
    _cards(found, screen)


def _title(topic: int, row: Any, screen: Screen) -> None:
    words = " · ".join(escape(word) for word in json_list(row["keywords"]))
    color = screen.colors.get(topic, OTHER)
    st.html(
        f'<p class="ut-h"><span class="ut-dot" style="background:{color}"></span>{escape(row["label"])}'
        f"<small>{words}</small></p>"
    )
    if row["state"] == "provisional":
        st.html(
            '<p class="ut-small">Provisional: the watch for new subjects found it.'
            " The next refit keeps it as a topic or joins it with another one.</p>"
        )


def _relatives(topic: int, known: Hierarchy, rows: list[dict[str, Any]]) -> None:
    """The theme above and what lies below, with its share."""
    above = [str(known.rows[key]["label"]) for key in known.lineage(topic)[1:]]
    below = [row for row in rows if row["parent_id"] == topic]
    parts = [f"Part of {escape(' › '.join(reversed(above)))}."] if above else []
    if below:
        counted = topics.is_counted(below)
        share = "share_now" if counted else "share"
        names = " · ".join(f"{escape(row['label'])} {percent(row[share] or 0, 1)}" for row in below[:8])
        parts.append(f"Holds {names}{'' if counted else ' (of all data)'}.")
    if parts:
        st.html(f'<p class="ut-small">{" ".join(parts)}</p>')


def _messages(topic: int, row: Any, screen: Screen, field: str) -> None:
    shown = st.segmented_control(
        "Messages",
        list(_SHOWN),
        default="typical",
        required=True,
        format_func=lambda name: _SHOWN[name],
        label_visibility="collapsed",
        key="examples",
    )
    if shown == "typical":
        ids = json_list(row["exemplars"])
        known = data.texts(ids)
        found = [known[key] for key in ids if key in known]
        if found:
            _cards(_distinct(found), screen)
            return
    _cards(
        data.rows(
            "topic_examples",
            screen.filters,
            screen.window,
            chosen=topic,
            borderline=shown == "borderline",
            field=field,
        ),
        screen,
    )


def _distinct(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({str(row["prompt"]).casefold(): row for row in reversed(rows)}.values())[::-1]


def _cards(rows: list[dict[str, Any]], screen: Screen) -> None:
    if not rows:
        text.empty("No example in this time", "Widen the time window to see one.")
    for row in rows[:_EXAMPLES]:
        cards.example(row, screen, "Open", answer=True)


def _history(topic: int, screen: Screen) -> None:
    text.heading("History")
    events = data.rows("topic_history", topic=topic)
    body = [(stamp_html(e["happened_at"], screen.zone), escape(e["event"]), escape(e["sentence"])) for e in events]
    if not body:
        text.empty("Nothing happened to it", "Splits, merges and growth are written here at every refit.")
        return
    st.html(cards.table((("when", "ut-when"), ("event", ""), ("what happened", "wide")), body))


def _rename(topic: int, label: str) -> None:
    with st.form(f"rename_{topic}", border=False):
        name = st.text_input("Name of this topic", value=label, max_chars=80, key=f"name_{topic}")
        sent = st.form_submit_button("Rename")
        if sent and not (name or "").strip():
            text.empty("The name was not changed", "A name has at least one letter.")
        elif sent and name.strip() != label:
            try:
                actions.rename_topic(data.store(), topic, name.strip(), author=actions.author_name())
            except StoreError as error:
                text.empty("The name was not changed", str(error))
                return
            st.rerun()
