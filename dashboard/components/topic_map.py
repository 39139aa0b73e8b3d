"""The map of topics with what lies inside an area that a reader selects."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.charts import topic_map
from dashboard.components import cards, text
from dashboard.formats import count, escape, percent
from dashboard.hierarchy import ASSIGNED_LEVEL, Hierarchy
from dashboard.palette import TOPIC_COLORS
from dashboard.screen import Screen

POINTS, TEXTS, LEAST = 50_000, 4_000, 40
HEIGHT = 470
_EXAMPLES = 5
_INSIDE = 6


@st.fragment
def draw(screen: Screen, known: Hierarchy, level: int, field: str) -> None:
    """The map at one level of topics; an area selected on it lists what lies inside."""
    points = data.read(
        "topic_points", screen.filters, screen.window, field=field, limit=POINTS, texts=TEXTS, least=LEAST
    )
    if points.empty:
        text.empty("No map yet", "The map is drawn by the analysis of topics.", "undertow analyze --only embed,topics")
        return
    option = topic_map.option(
        points, groups(known, level, screen), names(points, known, level), _ink(), selected=bool(_areas())
    )
    event = st.echarts_chart(
        option, height=HEIGHT, key="map", on_select="rerun", alt="Map of messages; near points mean similar messages"
    )
    st.html(f'<p class="ut-small">{_caption(points)}</p>')
    if areas := _areas(event):
        (x0, x1), (y0, y1) = areas[0]["coord_range"]
        _inside(screen, known, {"x0": x0, "x1": x1, "y0": y0, "y1": y1, "field": field})


def _areas(event: Any = None) -> list[dict[str, Any]]:
    """Rectangles that are selected: of the chart, or as it was when this run started."""
    state = st.session_state.get("map") if event is None else event
    return [area for area in state["selection"]["areas"] if area.get("brush_type") == "rect"] if state else []


def groups(known: Hierarchy, level: int, screen: Screen) -> list[topic_map.Group]:
    """Topics with a colour: those that have one on every page, or at a coarser level the largest of it."""
    if known.title(level) != "Themes":
        chosen = [topic for topic in screen.colors if topic in known.rows]
        return [topic_map.Group(screen.labels[t], frozenset(_assigned(known, t)), screen.colors[t]) for t in chosen]
    rows = sorted((row for row in known.rows.values() if row["level"] == level), key=lambda row: -(row["size"] or 0))
    largest = sorted(int(row["topic_id"]) for row in rows[: len(TOPIC_COLORS)])
    return [
        topic_map.Group(str(known.rows[theme]["label"]), frozenset(_assigned(known, theme)), color)
        for theme, color in zip(largest, TOPIC_COLORS, strict=False)
    ]


def names(points: pd.DataFrame, known: Hierarchy, level: int) -> list[topic_map.Name]:
    """The topics of the level and, for the reader who zooms in, of the next finer one; each amid its points."""
    amid = _centres(points, known)
    largest = max((float(row["size"] or 0) for row in known.rows.values()), default=1.0) or 1.0
    return [
        topic_map.Name(str(row["label"]), *amid[topic], (float(row["size"] or 0) / largest) ** 0.5, shown != level)
        for shown in (level, known.finer(level))
        for topic, row in known.rows.items()
        if shown is not None and row["level"] == shown and topic in amid
    ]


def _centres(points: pd.DataFrame, known: Hierarchy) -> dict[int, tuple[float, float]]:
    """Where the points of a topic are densest, roughly: their median; of one without points, where the fit put it."""
    own = points[points["topic_id"].notna() & (points["topic_id"] >= 0)]
    middle = own.groupby("topic_id")[["x", "y"]].agg(["median", "size"])
    found: dict[int, tuple[float, float]] = {}
    most: dict[int, float] = {}
    for topic, row in middle.iterrows():
        place = (float(row[("x", "median")]), float(row[("y", "median")]))
        size = float(row[("x", "size")])
        # A theme may be scattered: its name stands at its largest topic, not in the empty middle.
        for ancestor in known.lineage(topic):
            if size > most.get(ancestor, 0.0):
                found[ancestor], most[ancestor] = place, size
    below = (known.levels.index(ASSIGNED_LEVEL) if ASSIGNED_LEVEL in known.levels else 0) + 1
    for topic, row in known.rows.items():
        if row["level"] in known.levels[below:] and row["parent_id"] in found and pd.notna(row["x"]):
            found[topic] = (float(row["x"]), float(row["y"]))
    return found


def _assigned(known: Hierarchy, topic: int) -> set[int]:
    """A topic with everything below it."""
    return {topic, *(key for key in known.rows if topic in known.lineage(key))}


def _ink() -> str:
    return st.context.theme.type or "light"


def _caption(points: pd.DataFrame) -> str:
    places = int(points["of_all"].iloc[0])
    shown = (
        f"{count(places)} distinct messages"
        if places <= len(points)
        else f"A sample of {count(len(points))} of {count(places)} distinct messages, every topic in its share"
    )
    return f"{shown}. Scroll or pinch to zoom in: finer names appear. Select an area to read what lies in it."


def _inside(screen: Screen, known: Hierarchy, area: dict[str, Any]) -> None:
    """How much lies in the area, of which topics, and the newest of it."""
    found = data.rows("topics_in", screen.filters, screen.window, **area)
    total = sum(int(row["turns"]) for row in found)
    if not total:
        text.empty("Nothing lies in this area", "Select a larger one.")
        return
    text.heading("Inside the area", f"{count(total)} turns")
    shares = [
        f"{escape(_name(row['topic_id'], known))} {percent(row['turns'] / total)}"
        for row in found[:_INSIDE]
        if row["turns"]
    ]
    rest = len(found) - _INSIDE
    more = f" · and {rest} more" if rest > 0 else ""
    st.html(f'<p class="ut-small">{" · ".join(shares)}{more}</p>')
    for row in data.rows("points_in", screen.filters, screen.window, **area)[:_EXAMPLES]:
        cards.example(row, screen, "Open", answer=True)


def _name(topic: Any, known: Hierarchy) -> str:
    if topic is None:
        return "not assigned yet"
    return "no topic" if int(topic) not in known.rows else str(known.rows[int(topic)]["label"])
