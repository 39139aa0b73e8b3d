"""What all figures share: quiet axes, fixed height, letters for changes, a shaded reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import plotly.graph_objects as go

from dashboard.formats import Rate
from dashboard.palette import FAINT, REFERENCE, SHADE

CONFIG: dict[str, Any] = {"displayModeBar": False, "scrollZoom": False}
Range = tuple[datetime, datetime]


@dataclass(frozen=True)
class Letter:
    """A change as a thin vertical; time naive local."""

    letter: str
    moment: datetime


def bar_ms(bucket_s: float) -> float:
    """Width of the bar of a bucket on an axis of times; left to itself, plotly draws an only one a millisecond wide."""
    return 800 * bucket_s


def styled(figure: go.Figure, height: int, x_range: Range | None = None) -> go.Figure:
    """Set the size, take away what distracts, and give all charts of a page the same x-range."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 18, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=False,
        hovermode="x unified",
        hoverlabel={"font": {"size": 12}},
        font={"size": 12},
        dragmode=False,
        bargap=0.25,
    )
    dates: dict[str, Any] = {}
    if x_range is not None:
        dates = {
            "range": list(x_range),
            "type": "date",
            "tickformatstops": [
                {"dtickrange": [None, 43_200_000], "value": "%H:%M\n%-d %b"},
                {"dtickrange": [43_200_000, None], "value": "%-d %b"},
            ],
            "hoverformat": "%a %-d %b %H:%M",
        }
    figure.update_xaxes(
        showgrid=False,
        zeroline=False,
        ticks="outside",
        ticklen=3,
        tickcolor=FAINT,
        fixedrange=True,
        automargin=True,
        **dates,
    )
    figure.update_yaxes(gridcolor=FAINT, zeroline=False, fixedrange=True, automargin=True, nticks=5)
    return figure


def add_letters(figure: go.Figure, letters: Sequence[Letter], x_range: Range) -> None:
    """Draw each change within the range as a vertical over the whole height, its letter above."""
    shown = [letter for letter in letters if x_range[0] <= letter.moment <= x_range[1]]
    if not shown:
        return
    line = {"type": "line", "xref": "x", "yref": "paper", "y0": 0, "y1": 1}
    line["line"] = {"color": REFERENCE, "width": 1, "dash": "dot"}
    name = {"xref": "x", "yref": "paper", "y": 1, "yanchor": "bottom", "showarrow": False}
    name["font"] = {"size": 11, "color": REFERENCE}
    # All at once: `add_shape` and `add_annotation` check what is there again for each one that comes.
    layout = figure.layout
    layout.shapes = [*layout.shapes, *({**line, "x0": at.moment, "x1": at.moment} for at in shown)]
    layout.annotations = [
        *layout.annotations,
        *({**name, "x": at.moment, "text": f"<b>{at.letter}</b>"} for at in shown),
    ]


def shade(figure: go.Figure, start: datetime, end: datetime) -> None:
    """Shade the reference window."""
    figure.add_shape(
        type="rect",
        x0=start,
        x1=end,
        y0=0,
        y1=1,
        yref="paper",
        xref="x",
        fillcolor=SHADE,
        line={"width": 0},
        layer="below",
    )


def interval_bars(rates: Sequence[Rate]) -> dict[str, Any]:
    """Error bars of shares in per cent, for ``error_x`` or ``error_y``."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [100 * ((rate.high or 0) - (rate.share or 0)) for rate in rates],
        "arrayminus": [100 * ((rate.share or 0) - (rate.low or 0)) for rate in rates],
        "color": REFERENCE,
        "thickness": 1.5,
        "width": 0,
    }


def label_end(figure: go.Figure, x: Any, y: float, text: str, color: str) -> None:
    """Name a line at its end instead of in a legend; ``text`` must be escaped."""
    figure.add_annotation(
        x=x,
        y=y,
        text=text,
        showarrow=False,
        xanchor="left",
        xshift=5,
        font={"size": 11, "color": color},
        xref="x",
        yref="y",
    )
