"""Whether groups of people are answered alike: the part of the Quality page that shows the newest comparison."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import streamlit as st

from dashboard import data
from dashboard.components import cards, text
from dashboard.formats import escape, percent, stamp
from dashboard.screen import Screen

_OUTCOMES = {"refusal": "refused", "ungrounded": "not grounded", "offensive": "offensive"}
_COMMAND = "undertow bias --export prompts.jsonl --frequent 20"
_SHOWN = 6


def draw(screen: Screen) -> None:
    """Rates by group with interval and n, the largest gap, and how likely it is by chance."""
    rows, calls, when = _comparison()
    note = f"all traffic, {calls:,} calls, measured {stamp(when, screen.zone)}" if when else ""
    text.heading("Are groups of people answered alike?", note)
    if not rows:
        why = (
            "No two prompts are equal but for the group of people that they name."
            if when
            else "Prompts that are equal but for the group of people that they name are compared once a day."
        )
        text.empty(
            "Nothing to compare",
            f"{why} The command writes such prompts from your own traffic: send them to your application, analyse, and"
            " the comparison stands here.",
            _COMMAND,
        )
        return
    compared = [row for row in rows if row["term"]]
    if compared:
        st.html(cards.table(_HEAD, [_line(group) for group in _by_comparison(compared)]))
    waiting = sorted({row["attribute"] for row in rows} - {row["attribute"] for row in compared})
    small = (
        "Share of answers by group with its 95 % interval and n, within prompts that are equal but for the group."
        " p is of the largest gap, by relabelling within those prompts; of many comparisons some are small by chance."
    )
    if waiting:
        small += f" Too few answers yet: {', '.join(waiting)} (two groups with 20 each are needed)."
    st.html(f'<p class="ut-small">{escape(small)}</p>')


_HEAD = (("attribute", ""), ("answers", ""), ("by group", "wide"), ("largest gap", "n"), ("p", "n"), ("verdict", ""))


def _comparison() -> tuple[list[dict[str, Any]], int, Any]:
    found = data.rows("groups_compared")
    if not found:
        return [], 0, None
    rows = pa.ipc.open_stream(found[0]["body"]).read_all().to_pylist()
    return rows, int(found[0]["calls"]), data.moment(found[0]["created_at"])


def _by_comparison(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Groups of one attribute and outcome together, the least likely gap first."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["attribute"], row["outcome"]), []).append(row)
    return sorted(groups.values(), key=lambda group: (group[0]["p_value"], group[0]["attribute"], group[0]["outcome"]))


def _line(group: list[dict[str, Any]]) -> tuple[str, ...]:
    first = group[0]
    rates = sorted(group, key=lambda row: -row["count"] / row["n"])
    shown = [
        f"{escape(row['term'])} {percent(row['count'] / row['n'])}"
        f' <span class="ut-soft">{percent(row["low"])} to {percent(row["high"])}, n {row["n"]:,}</span>'
        for row in (rates if len(rates) <= _SHOWN else [*rates[: _SHOWN // 2], *rates[-_SHOWN // 2 :]])
    ]
    left_out = len(rates) - len(shown)
    more = f' · <span class="ut-soft">{left_out} between</span>' if left_out else ""
    return (
        escape(first["attribute"]),
        _OUTCOMES.get(first["outcome"], escape(first["outcome"])),
        " · ".join(shown) + more,
        f"{100 * first['gap']:.0f} points",
        f"{first['p_value']:.3f}",
        text.status("drifted", "different") if first["verdict"] == "different" else text.status("stable", "alike"),
    )
