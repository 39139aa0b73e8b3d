"""Sentences, headings, empty states and status words."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from dashboard.formats import escape, stamp_html
from dashboard.screen import Mark, Screen

_ICONS = {
    "drifted": "▲",
    "unsupported": "✕",
    "contradicted": "✕",
    "failed": "✕",
    "watch": "◆",
    "stable": "●",
    "supported": "●",
    "ok": "●",
}


def lead(sentence: str, also: Iterable[str] = ()) -> None:
    """The first line of a page: what it found, in words. Both may hold text from traffic."""
    rest = "".join(f'<p class="ut-also">{escape(line)}</p>' for line in also if line)
    st.html(f'<p class="ut-lead">{escape(sentence)}</p>{rest}')


def heading(title: str, note: str = "") -> None:
    """A heading inside a page with what it measures beside it."""
    small = f"<small>{escape(note)}</small>" if note else ""
    st.html(f'<p class="ut-h">{escape(title)}{small}</p>')


def status(word: str, text: str | None = None) -> str:
    """HTML of a status: colour, icon and word, never colour alone."""
    known = word if word in _ICONS else "unknown"
    return f'<span class="ut-status {known}">{_ICONS.get(word, "○")} {escape(text or word)}</span>'


def empty(missing: str, why: str, command: str = "") -> None:
    """An empty state: what is missing, why, and the one command that fixes it."""
    code = f"<code>{escape(command)}</code>" if command else ""
    st.html(f'<div class="ut-empty"><b>{escape(missing)}</b><br>{escape(why)}{code}</div>')


def marks(screen: Screen, shown: Iterable[Mark] | None = None) -> None:
    """What the letters on the charts stand for."""
    items = "".join(
        f"<span><b>{mark.letter}</b>{stamp_html(mark.moment, screen.zone)} {escape(mark.text)}</span>"
        for mark in (screen.marks if shown is None else shown)
    )
    st.html(f'<p class="ut-marks">{items or "No change of a prompt, model or knowledge base in this time"}</p>')
