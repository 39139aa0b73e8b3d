"""Says that calls arrive without text, through which instrumentation, and what switches it on."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.components import cards, text
from dashboard.formats import escape, shorten
from undertow.telemetry_report import WithoutContent

_SHOWN = 3


def notice(items: Sequence[WithoutContent]) -> None:
    """A box that names each instrumentation and its switch."""
    if not items:
        return
    lost = "Topics, Drift, Quality and Review need the text; cost, latency and errors are complete without it."
    body = "<br>".join(
        f"<b>{escape(shorten(item.found, 240))}</b><br>"
        f'<span class="ut-small">{escape(item.note)}</span><code>{escape(item.switch)}</code>'
        for item in items[:_SHOWN]
    )
    st.html(f'<div class="ut-empty">{body}<br><span class="ut-small">{escape(lost)}</span></div>')
    line(items[_SHOWN:])


def line(items: Sequence[WithoutContent]) -> None:
    """One line that names the services and where the switch stands."""
    if items:
        names = ", ".join(dict.fromkeys(str(item.service) for item in items))
        hollow, calls = sum(item.without_text + item.partly for item in items), sum(item.calls for item in items)
        words = f"in {hollow:,} of the newest {calls:,} calls of {shorten(names, 120)}: Health says how to switch it on"
        st.html(f'<p class="ut-small">{text.status("watch", "no content")} {escape(words)}</p>')


def table(items: Sequence[WithoutContent]) -> str:
    """HTML table of instrumentations without text."""
    body = []
    for item in items:
        where = " · ".join(filter(None, (item.service, item.environment, item.instrumentation)))
        scope = f'<span class="ut-small">{escape(shorten(item.scope, 90))}</span>'
        missing = text.status("watch", f"{item.without_text + item.partly:,} of {item.calls:,}")
        body.append((f"{escape(where)}<br>{scope}<br>{_switch(item)}", missing))
    return cards.table((("service, instrumentation, and what switches the text on", "wide"), ("no text ▾", "n")), body)


def _switch(item: WithoutContent) -> str:
    return f'<code>{escape(item.switch)}</code><br><span class="ut-small">{escape(item.note)}</span>'
