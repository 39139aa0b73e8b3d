"""Rows, columns and the sentence of the table of topics."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.filters import Window
from dashboard.formats import count, percent, stamp
from dashboard.hierarchy import Hierarchy, build
from dashboard.screen import Screen

QUESTIONS = "prompt"
FIELDS = {"prompt": "Questions", "response": "Answers", "document": "Documents"}
"""What may be divided into topics, as a reader calls it."""

_SUMS = ("turns", "evaluated", "grounded", "cost", "priced", "thumbs", "down")


def hierarchy(field: str) -> Hierarchy:
    """Topics of all levels that belong to a field; where only one field was divided, all of them."""
    whole = build(data.rows("topics"))
    assigned: dict[str, list[int]] = defaultdict(list)
    for row in data.rows("topic_fields"):
        assigned[row["field"]].append(int(row["topic_id"]))
    return whole.among(assigned[field]) if len(assigned) > 1 else whole


def fields() -> list[str]:
    """The texts of calls that were divided into topics, questions first."""
    found = {row["field"] for row in data.rows("topic_fields")}
    return sorted(found, key=lambda name: (list(FIELDS).index(name) if name in FIELDS else len(FIELDS), name))


def table_rows(screen: Screen, known: Hierarchy, field: str = QUESTIONS) -> list[dict[str, Any]]:
    """Topics with their measures in the window and their share before; largest first.

    A topic below the level that calls are assigned to has no measures, only the size that the last fit gave it.
    """
    current = _rolled_up(screen, screen.window, known, field)
    past = _rolled_up(screen, screen.reference, known, field)
    days = _days(screen, known, field)
    total = _total(screen, screen.window)
    before = _total(screen, screen.reference)
    rows = []
    for topic, row in known.rows.items():
        sums = current.get(topic, dict.fromkeys(_SUMS, 0.0))
        share = sums["turns"] / total if total else 0.0
        old = past.get(topic, {}).get("turns", 0.0) / before if before else None
        rows.append(
            {**row, **{f"n_{name}": value for name, value in sums.items()}, "share_now": share, "share_before": old}
        )
        rows[-1]["days"] = days.get(topic, [])
    return sorted(rows, key=lambda r: (-r["n_turns"], -(r["size"] or 0), r["topic_id"]))


def is_counted(rows: list[dict[str, Any]]) -> bool:
    """Whether calls are counted for the topics of these rows, be it through their sub-topics."""
    return not rows or any(row["n_turns"] or row["share_before"] for row in rows)


def sentence(screen: Screen, rows: list[dict[str, Any]]) -> str:
    """What the page found, in words."""
    total = _total(screen, screen.window)
    live = [row for row in rows if row["n_turns"]]
    fresh = [row for row in live if is_new(row)]
    start = f"{len(live)} topics cover {percent(sum(r['share_now'] for r in live))} of {count(total)} turns"
    if fresh:
        newest = max(fresh, key=lambda r: r["share_now"])
        since = stamp(data.moment(newest["first_seen"]), screen.zone)
        return f"{start}; {newest['label']} is new since {since} and already {percent(newest['share_now'])} of them."
    grown = [row for row in live if row["share_before"]]
    if grown:
        top = max(grown, key=lambda r: abs(r["share_now"] - r["share_before"]))
        shares = f"from {percent(top['share_before'], 1)} to {percent(top['share_now'], 1)}"
        return f"{start}; {top['label']} moved most, {shares}."
    return f"{start}."


def is_new(row: dict[str, Any]) -> bool:
    """Whether a topic is provisional, or has turns and had none in a reference that had some."""
    return bool(row["state"] == "provisional" or (row["share_before"] == 0 and row["n_turns"]))


def marked(row: dict[str, Any]) -> str:
    """The label with what is special about the topic."""
    if row["state"] == "provisional":
        return f"{row['label']} (provisional)"
    return f"{row['label']} (new)" if is_new(row) else str(row["label"])


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """What the table shows; percentages as numbers, so that columns sort. Without a past there is no change."""
    table = pd.DataFrame(
        {
            "topic": [marked(row) for row in rows],
            "share": [100 * row["share_now"] for row in rows],
            "change": [
                # Rounded and raised by zero, so that nothing reads "-0.0".
                None if row["share_before"] is None else round(100 * (row["share_now"] - row["share_before"]), 1) + 0.0
                for row in rows
            ],
            "grounded": [100 * row["n_grounded"] / row["n_evaluated"] if row["n_evaluated"] else None for row in rows],
            "cost": [row["n_cost"] if row["n_priced"] else None for row in rows],
            "down": [100 * row["n_down"] / row["n_thumbs"] if row["n_thumbs"] else None for row in rows],
            "turns": [int(row["n_turns"]) for row in rows],
            "days": [row["days"] for row in rows],
        }
    )
    return table.drop(columns="change") if table["change"].isna().all() else table


def sizes(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """What the table shows of topics that no call is counted for."""
    return pd.DataFrame(
        {
            "topic": [marked(row) for row in rows],
            "share": [100 * float(row["share"] or 0) for row in rows],
            "turns": [int(row["size"] or 0) for row in rows],
        }
    )


def columns() -> dict[str, Any]:
    """Titles, units and widths; the column that orders the table is marked."""
    number = st.column_config.NumberColumn
    return {
        "topic": st.column_config.TextColumn("Topic", width=150),
        "share": number("Share ▾", width=66, format="%.1f %%", help="Share of the turns of this time"),
        "change": number("Change", width=62, format="%+.1f", help="Points against the reference"),
        "grounded": number("Grounded", width=76, format="%.0f %%", help="Of the answers that could be evaluated"),
        "cost": number("Cost", width=56, format="$%.2f", help="Of the calls with a known price"),
        "down": number("Negative", width=72, format="%.0f %%", help="Thumbs down, of all thumbs"),
        "turns": number("Turns", format="%d", width=54),
        "days": st.column_config.LineChartColumn("By day", y_min=0, width=70),
    }


def _rolled_up(screen: Screen, window: Window, known: Hierarchy, field: str) -> dict[int, dict[str, float]]:
    """Sums by topic; a topic holds those of all below it."""
    sums: dict[int, dict[str, float]] = defaultdict(lambda: dict.fromkeys(_SUMS, 0.0))
    for row in data.rows("topic_table", screen.filters, window, field=field):
        for topic in known.lineage(row["topic_id"]):
            for name in _SUMS:
                sums[topic][name] += float(row[name] or 0)
    return sums


def _days(screen: Screen, known: Hierarchy, field: str) -> dict[int, list[float]]:
    """Turns by topic and day of the last two weeks at least, whole days counted back from the end."""
    span = screen.timeline()
    width = 86_400
    steps = max(min(round(span.days), 60), 2)
    origin = span.end - timedelta(seconds=width * steps)
    found: dict[int, list[float]] = defaultdict(lambda: [0.0] * steps)
    days = Window(origin, span.end)
    for row in data.rows("topic_days", screen.filters, days, width=width, origin=origin, field=field):
        position = min(int((row["bucket"] - origin).total_seconds() // width), steps - 1)
        for topic in known.lineage(row["topic_id"]):
            found[topic][position] += float(row["turns"])
    return found


def _total(screen: Screen, window: Window) -> float:
    return float(data.read("totals", screen.filters, window)["turns"].iloc[0])
