"""Interactions as quotations, and tables of our own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.formats import escape, plain, shorten, stamp_html
from dashboard.screen import Screen
from undertow.finder import Found


def quote(row: Mapping[str, Any], screen: Screen, *, current: bool, answer: bool = False) -> str:
    """HTML of one message with when and where it was said."""
    text = escape(shorten(row["prompt"], 320) or "no content")
    reply = (
        f'<br><span class="ut-soft">{escape(shorten(row["response"], 320))}</span>'
        if answer and row.get("response")
        else ""
    )
    who = f"{stamp_html(row['start_time'], screen.zone)} · {escape(row['service_name'])}"
    return f'<div class="ut-quote{" now" if current else ""}"><span class="who">{who}</span>{text}{reply}</div>'


def example(row: Mapping[str, Any], screen: Screen, label: str, *, answer: bool = False) -> None:
    """A message with the link to its interaction right below."""
    with st.container(gap=None):
        st.html(quote(row, screen, current=True, answer=answer))
        open_link(row["interaction_id"], label, screen)


def found(item: Found, screen: Screen) -> None:
    """A text that a search found, with the link to its newest call."""
    how = "contains the words" if item.similarity is None else f"similarity {item.similarity:.2f}"
    calls = "" if item.calls == 1 else f" · {item.calls:,} calls"
    who = f"{stamp_html(item.last_seen, screen.zone)} · {escape(item.service_name)} · {how}{calls}"
    with st.container(gap=None):
        st.html(f'<div class="ut-quote now"><span class="who">{who}</span>{escape(shorten(item.text, 320))}</div>')
        open_link(item.interaction_id, "Open", screen)


def table(head: Sequence[tuple[str, str]], body: Iterable[Sequence[str]]) -> str:
    """HTML table; ``head`` pairs a title with the class of its column (``n`` for figures, ``wide`` for text).

    Cells are HTML: whoever calls has escaped what came from traffic.
    """
    top = "".join(f'<th class="{kind}">{title}</th>' for title, kind in head)
    rows = "".join(
        "<tr>"
        + "".join(f'<td class="{kind}">{cell}</td>' for cell, (_, kind) in zip(cells, head, strict=True))
        + "</tr>"
        for cells in body
    )
    whole = f'<table class="ut-table"><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table>'
    return f'<div class="ut-scroll">{whole}</div>'


def open_link(interaction_id: str, label: str, screen: Screen) -> None:
    """A link to the page of one interaction with the same filters."""
    query = {**screen.filters.to_query(), "interaction": interaction_id}
    st.page_link("views/interaction.py", label=plain(label), query_params=query)
