"""The map of questions as an ECharts option: one series per topic, sent as Arrow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dashboard.palette import OTHER


def option(
    points: pd.DataFrame,
    labels: Mapping[int, str],
    colors: Mapping[int, str],
    centres: pd.DataFrame,
) -> dict[str, Any]:
    """Build the option.

    Parameters
    ----------
    points : interaction_id, topic_id, x, y, prompt.
    labels : topic's label by id.
    colors : colour by topic id; topics without one share grey.
    centres : topic_id, x, y of the labels; only those with a colour are named on the map.

    Returns
    -------
    dict
        ECharts renders every text as plain text, so texts from traffic need no escaping here.
    """
    named = [topic for topic in colors if topic in labels]
    rest = points[~points["topic_id"].isin(named)]
    groups = [("other", rest, OTHER)] + [(labels[t], points[points["topic_id"] == t], colors[t]) for t in named]
    datasets = [{"source": frame[["x", "y", "prompt"]].reset_index(drop=True)} for _, frame, _ in groups]
    series: list[dict[str, Any]] = [
        _points(name, index, color, faint=index == 0) for index, (name, _, color) in enumerate(groups)
    ]
    series += [
        _label(row, labels[int(row["topic_id"])]) for _, row in centres.iterrows() if int(row["topic_id"]) in named
    ]
    return {
        "animation": False,
        "grid": {"left": 4, "right": 4, "top": 4, "bottom": 4},
        "xAxis": {"show": False, "type": "value", **_limits(points["x"])},
        "yAxis": {"show": False, "type": "value", **_limits(points["y"])},
        "tooltip": {"trigger": "item", "confine": True},
        "dataset": datasets,
        "series": series,
        "toolbox": {"show": True, "right": 0, "bottom": 0, "feature": {"brush": {"type": ["rect", "clear"]}}},
        "brush": {
            "xAxisIndex": "all",
            "yAxisIndex": "all",
            "throttleType": "debounce",
            "throttleDelay": 300,
            "inBrush": {"opacity": 1},
        },
    }


def _limits(column: pd.Series) -> dict[str, float]:
    """Ends of an axis: all but the outermost hundredth, so that a lone outlier does not shrink the map."""
    low, high = float(column.quantile(0.005)), float(column.quantile(0.995))
    margin = 0.12 * (high - low) or 1.0
    return {"min": low - margin, "max": high + margin}


def _points(name: str, index: int, color: str, *, faint: bool) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": name,
        "datasetIndex": index,
        "encode": {"x": "x", "y": "y", "tooltip": ["prompt"]},
        "symbolSize": 4 if faint else 5,
        "itemStyle": {"color": color, "opacity": 0.35 if faint else 0.6},
    }


def _label(row: pd.Series, text: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "data": [[float(row["x"]), float(row["y"])]],
        "symbolSize": 1,
        "silent": True,
        "tooltip": {"show": False},
        "itemStyle": {"color": "rgba(0,0,0,0)"},
        "label": {
            "show": True,
            "formatter": text.replace("{", "(").replace("}", ")"),
            "fontSize": 12,
            "fontWeight": 600,
            "position": "top",
            "distance": 14,
        },
        "labelLayout": {"hideOverlap": True, "moveOverlap": "shiftY"},
        "z": 5,
    }
