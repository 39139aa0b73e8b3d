"""What the scorer said against what people found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from dashboard.charts.base import interval_bars, styled
from dashboard.formats import wilson
from dashboard.palette import ACCENT, REFERENCE


def diagram(rows: Sequence[Mapping[str, Any]], height: int = 260) -> go.Figure:
    """Share that people found ungrounded, by the probability that the scorer gave; the diagonal is what it should be.

    Parameters
    ----------
    rows : ``said`` (mean probability of a bin), ``n`` and ``k``, in the order of ``said``.
    """
    rates = [wilson(row["k"], row["n"]) for row in rows]
    share = [100 * (rate.share or 0) for rate in rates]
    figure = go.Figure(
        go.Scatter(x=[0, 100], y=[0, 100], mode="lines", line={"color": REFERENCE, "width": 1.2, "dash": "dash"})
    )
    figure.update_traces(hoverinfo="skip")
    figure.add_trace(
        go.Scatter(
            x=[100 * row["said"] for row in rows],
            y=share,
            mode="lines+markers",
            line={"color": ACCENT, "width": 1.5},
            marker={"size": 8, "color": ACCENT},
            error_y=interval_bars(rates),
            customdata=[[r.n] for r in rates],
            hovertemplate="said %{x:.0f} %, found %{y:.0f} %, n = %{customdata[0]}<extra></extra>",
        )
    )
    styled(figure, height)
    figure.update_layout(hovermode="closest", margin={"l": 8, "r": 12, "t": 6, "b": 8})
    figure.update_xaxes(
        range=[-3, 103], ticksuffix=" %", title={"text": "risk that the scorer gave", "font": {"size": 12}}
    )
    figure.update_yaxes(range=[-3, 103], ticksuffix=" %", title={"text": "found ungrounded", "font": {"size": 12}})
    return figure
