"""The map of questions as an ECharts option: one series per topic, sent as Arrow, with names that never overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dashboard.palette import OTHER

FEW_POINTS = 3_000
"""Up to here a point is drawn in full; beyond, smaller and fainter, so that density shows as darkness."""

_LARGEST_SYMBOL, _SMALLEST_SYMBOL = 5.0, 2.2
_FULL, _FAINTEST = 0.6, 0.16
_OUTLIER = -1
_NEVER: list[int] = []


_CHARACTER_PX, _LINE_PX, _NARROW_PX, _HEIGHT_PX = 7.0, 18.0, 350.0, 430.0
_MARGINS = (0.1, 0.4)


@dataclass(frozen=True)
class Group:
    """Topics drawn alike: the name shown on hover, the ids whose points it holds, and its colour."""

    name: str
    topics: frozenset[int]
    color: str


@dataclass(frozen=True)
class Name:
    """A name on the map.

    Attributes
    ----------
    text, x, y
        What and where.
    weight
        In [0, 1]: of two names that overlap the heavier one is shown.
    fine
        Whether it belongs to the next finer level, which appears as the reader zooms in.
    """

    text: str
    x: float
    y: float
    weight: float
    fine: bool = False


def option(
    points: pd.DataFrame, groups: Sequence[Group], names: Sequence[Name], ink: str, *, selected: bool = False
) -> dict[str, Any]:
    """Build the option.

    Parameters
    ----------
    points : topic_id, x, y, and prompt, which is empty where there are too many to send their texts.
    groups : topics with a colour of their own; the points of all others are grey, outliers fainter.
    names : names on the map.
    ink : ``light`` or ``dark``, the theme that the halo of a name blends into.
    selected : whether an area is selected. ECharts draws a selection without laying out labels anew, and shows even
        those that it had hidden, so then only names are given that cannot overlap on the narrowest screen.

    Returns
    -------
    dict
        ECharts renders every text as plain text, so texts from traffic need no escaping here.
    """
    parts = _parts(points, groups)
    worded = bool(points["prompt"].notna().any())
    columns = ["x", "y", "prompt"] if worded else ["x", "y"]
    across, down = _limits(points["x"], _margin(points["x"], names)), _limits(points["y"], 0.08)
    if selected:
        names = apart([name for name in names if not name.fine], across, down)
    size, opacity = _weight(len(points))
    series = [_points(part, index, size, opacity, worded=worded) for index, (part, _) in enumerate(parts)]
    series += [_names([name for name in names if name.fine is fine], ink, fine=fine) for fine in (True, False)]
    return {
        "animation": False,
        "grid": {"left": 4, "right": 4, "top": 4, "bottom": 28},
        "xAxis": {"show": False, "type": "value", **across},
        "yAxis": {"show": False, "type": "value", **down},
        "dataZoom": [_zoom("xAxisIndex"), _zoom("yAxisIndex")],
        "tooltip": {"trigger": "item", "confine": True},
        "dataset": [{"source": frame[columns].reset_index(drop=True)} for _, frame in parts],
        "series": series,
        "toolbox": {
            "show": True,
            "right": 0,
            "bottom": 0,
            "feature": {
                "brush": {"type": ["rect", "clear"], "title": {"rect": "Select an area", "clear": "Clear the area"}},
                "restore": {"title": "Whole map"},
            },
        },
        # Only the geometry is wanted: looking up which of 50,000 points it holds is the store's work.
        "brush": {
            "xAxisIndex": "all",
            "yAxisIndex": "all",
            "seriesIndex": _NEVER,
            "throttleType": "debounce",
            "throttleDelay": 300,
        },
    }


def apart(names: Sequence[Name], across: dict[str, float], down: dict[str, float]) -> list[Name]:
    """The heaviest names that leave each other room when the whole map is seen on a narrow screen."""
    kept: list[Name] = []
    boxes: list[tuple[float, float, float]] = []
    for name in sorted(names, key=lambda name: -name.weight):
        x = (name.x - across["min"]) / (across["max"] - across["min"]) * _NARROW_PX
        y = (name.y - down["min"]) / (down["max"] - down["min"]) * _HEIGHT_PX
        half = len(name.text) * _CHARACTER_PX / 2
        if all(abs(x - a) > half + other or abs(y - b) > _LINE_PX for a, b, other in boxes):
            kept.append(name)
            boxes.append((x, y, half))
    return kept


def _parts(points: pd.DataFrame, groups: Sequence[Group]) -> list[tuple[Group, pd.DataFrame]]:
    """Points by group, the grey ones first, so that colours lie on top."""
    colored = frozenset[int]().union(*(group.topics for group in groups))
    lone = points["topic_id"] == _OUTLIER
    rest = ~lone & ~points["topic_id"].isin(colored)
    return [
        (Group("no topic", frozenset({_OUTLIER}), OTHER), points[lone]),
        (Group("smaller topic", frozenset(), OTHER), points[rest]),
        *((group, points[points["topic_id"].isin(group.topics)]) for group in groups),
    ]


def _weight(n: int) -> tuple[float, float]:
    """Size and opacity of a point among ``n``: their sum of ink grows with the root of n, as density must show."""
    crowd = min(1.0, FEW_POINTS / max(n, 1))
    return (
        round(max(_LARGEST_SYMBOL * crowd**0.25, _SMALLEST_SYMBOL), 1),
        round(max(_FULL * crowd**0.5, _FAINTEST), 2),
    )


def _ends(column: pd.Series) -> tuple[float, float]:
    """All but the outermost hundredth, so that a lone outlier does not shrink the map."""
    return float(column.quantile(0.005)), float(column.quantile(0.995))


def _margin(column: pd.Series, names: Sequence[Name]) -> float:
    """The part of the width to leave free on either side, so that the names at the edges fit on a narrow screen."""
    low, high = _ends(column)
    needed = _MARGINS[0]
    for name in names:
        if not name.fine and high > low:
            half = len(name.text) * _CHARACTER_PX / 2 / _NARROW_PX
            edge = min(name.x - low, high - name.x) / (high - low)
            needed = max(needed, (half - edge) / (1 - 2 * half) if half < 0.5 else 1.0)
    return min(needed, _MARGINS[1])


def _limits(column: pd.Series, margin: float) -> dict[str, float]:
    """Ends of an axis with a part of its length left free on either side."""
    low, high = _ends(column)
    free = margin * (high - low) or 1.0
    return {"min": low - free, "max": high + free}


def _zoom(axis: str) -> dict[str, Any]:
    return {"type": "inside", axis: 0, "filterMode": "none", "minSpan": 2}


def _points(group: Group, index: int, size: float, opacity: float, *, worded: bool) -> dict[str, Any]:
    lone = _OUTLIER in group.topics
    return {
        "type": "scatter",
        "name": group.name,
        "datasetIndex": index,
        "encode": {"x": "x", "y": "y", "tooltip": ["prompt"] if worded else []},
        "tooltip": {"formatter": "{a}<br>{@prompt}" if worded else "{a}"},
        "symbolSize": max(size - 1, 2) if lone else size,
        "itemStyle": {"color": group.color, "opacity": opacity / 2 if lone else opacity},
        "large": True,
        "largeThreshold": FEW_POINTS,
        "progressive": 0,
        "z": 1 if lone else 2,
    }


def _names(names: Sequence[Name], ink: str, *, fine: bool) -> dict[str, Any]:
    """The names of one level. ECharts keeps the label of the larger symbol, so an unseen symbol carries the weight."""
    light = ink != "dark"
    return {
        "type": "scatter",
        "name": "",
        "data": [_item(name) for name in sorted(names, key=lambda name: -name.weight)],
        "silent": True,
        "tooltip": {"show": False},
        "itemStyle": {"color": "transparent"},
        "label": {
            "show": True,
            "formatter": "{b}",
            "position": "inside",
            "fontSize": 11 if fine else 12,
            "fontWeight": 400 if fine else 600,
            "color": "#1b2225" if light else "#e8ecee",
            "textBorderColor": "rgba(255,255,255,0.9)" if light else "rgba(14,17,18,0.9)",
            "textBorderWidth": 3,
            "offset": [0, -10],
            # The wide margin of a finer name keeps it away until there is room for it.
            "padding": [6, 24] if fine else [2, 4],
            "minMargin": 14,
        },
        "labelLayout": {"hideOverlap": True},
        "z": 5,
    }


def _item(name: Name) -> dict[str, Any]:
    return {
        "name": name.text,
        "value": [name.x, name.y],
        "symbolSize": round((1 if name.fine else 20) + 19 * name.weight, 1),
    }
