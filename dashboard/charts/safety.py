"""Findings of the safety detectors over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.base import Letter, Range, add_letters, bar_ms, styled
from dashboard.palette import TOPIC_COLORS


def findings(
    table: pd.DataFrame, titles: Mapping[str, str], letters: Sequence[Letter], x_range: Range, height: int = 260
) -> go.Figure:
    """Findings per day and detector as a share of the calls with text, stacked.

    Parameters
    ----------
    table : columns ``x`` (naive local), ``name``, ``n`` and ``calls``, the calls with text of the day.
    titles : what each detector looks for; its order gives the colours.
    """
    figure = go.Figure()
    for index, (name, title) in enumerate(titles.items()):
        part = table[table["name"] == name]
        if part.empty:
            continue
        figure.add_trace(
            go.Bar(
                x=part["x"],
                y=100 * part["n"] / part["calls"],
                name=title,
                width=bar_ms(86_400),
                marker={"color": TOPIC_COLORS[index % len(TOPIC_COLORS)], "line": {"width": 0}},
                customdata=part[["n", "calls"]],
                hovertemplate="%{y:.2f} % (%{customdata[0]} of %{customdata[1]:,})<extra>" + title + "</extra>",
            )
        )
    styled(figure, height, x_range)
    figure.update_layout(
        barmode="stack",
        showlegend=True,
        legend={"orientation": "h", "y": 1.1, "yanchor": "bottom", "x": 0, "xanchor": "left", "font": {"size": 11}},
        margin={"l": 8, "r": 8, "t": 44, "b": 8},
    )
    figure.update_yaxes(rangemode="tozero", ticksuffix=" %")
    add_letters(figure, letters, x_range)
    return figure
