"""Rates, amounts and latencies over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.base import Letter, Range, add_letters, bar_ms, interval_bars, label_end, styled
from dashboard.formats import escape, wilson
from dashboard.palette import ACCENT, ACCENT_BAND, OTHER, RED, REFERENCE, TOPIC_COLORS


def rate(
    table: pd.DataFrame, letters: Sequence[Letter], x_range: Range, usual: float | None = None, height: int = 190
) -> go.Figure:
    """A share per bucket with its Wilson band.

    Parameters
    ----------
    table : columns ``x`` (naive local), ``k`` and ``n``; buckets without cases are gaps.
    usual : the share of the reference window, drawn as a grey line.
    """
    rates = [wilson(k, n) for k, n in zip(table["k"], table["n"], strict=True)]
    x = list(table["x"])
    figure = go.Figure()
    low = [None if r.low is None else 100 * r.low for r in rates]
    high = [None if r.high is None else 100 * r.high for r in rates]
    middle = [None if r.share is None else 100 * r.share for r in rates]
    for start, end in _runs(middle):
        figure.add_trace(_band(x[start:end], low[start:end], high[start:end]))
    figure.add_trace(
        go.Scatter(
            x=x,
            y=middle,
            mode="lines+markers",
            line={"color": ACCENT, "width": 2},
            marker={"size": 4},
            customdata=[[r.n, a, b] for r, a, b in zip(rates, low, high, strict=True)],
            hovertemplate="%{y:.1f} % (%{customdata[1]:.1f} to %{customdata[2]:.1f}),"
            " n = %{customdata[0]}<extra></extra>",
        )
    )
    styled(figure, height, x_range)
    if usual is not None:
        figure.add_hline(y=100 * usual, line={"color": REFERENCE, "width": 1.2, "dash": "dash"})
    top = max([v for v in high if v is not None] or [1.0])
    figure.update_yaxes(range=[0, min(max(top * 1.08, 1.0), 104)], ticksuffix=" %")
    add_letters(figure, letters, x_range)
    return figure


def _runs(values: Sequence[float | None]) -> list[tuple[int, int]]:
    """Half-open spans of consecutive known values, so that a band never bridges a gap."""
    spans: list[tuple[int, int]] = []
    start: int | None = None
    for index, value in enumerate([*values, None]):
        if value is not None and start is None:
            start = index
        elif value is None and start is not None:
            spans.append((start, index))
            start = None
    return spans


def _band(x: Sequence[datetime], low: Sequence[Any], high: Sequence[Any]) -> go.Scatter:
    return go.Scatter(
        x=[*x, *reversed(x)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=ACCENT_BAND,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
    )


def stacked_cost(
    table: pd.DataFrame,
    spikes: Sequence[datetime],
    letters: Sequence[Letter],
    x_range: Range,
    bucket_s: float,
    height: int = 260,
) -> go.Figure:
    """Cost per bucket by model, the dearest model at the bottom; buckets that are spikes carry a mark.

    Parameters
    ----------
    table : columns ``x``, ``model``, ``cost`` in US dollars.
    bucket_s : width of a bucket.
    """
    figure = go.Figure()
    priced = table[table["cost"].notna()]
    order = list(priced.groupby("model")["cost"].sum().sort_values(ascending=False).index)
    for index, model in enumerate(order):
        part = priced[priced["model"] == model]
        figure.add_trace(
            go.Bar(
                x=part["x"],
                y=part["cost"],
                width=bar_ms(bucket_s),
                name=escape(model),
                marker={"color": TOPIC_COLORS[index] if index < 5 else OTHER, "line": {"width": 0}},
                hovertemplate="$%{y:.3g}<extra>" + escape(model) + "</extra>",
            )
        )
    styled(figure, height, x_range)
    figure.update_layout(
        barmode="stack",
        showlegend=len(order) > 1,
        legend={"orientation": "h", "y": 1.1, "yanchor": "bottom", "x": 0, "xanchor": "left", "font": {"size": 11}},
        margin={"l": 8, "r": 8, "t": 44, "b": 8},
    )
    figure.update_yaxes(rangemode="tozero", tickprefix="$")
    totals = priced.groupby("x")["cost"].sum()
    for spike in spikes:
        if spike in totals.index:
            figure.add_annotation(
                x=spike,
                y=float(totals[spike]),
                text="▼ spike",
                showarrow=False,
                yshift=10,
                font={"size": 11, "color": RED},
            )
    add_letters(figure, letters, x_range)
    return figure


def latency(table: pd.DataFrame, letters: Sequence[Letter], x_range: Range, height: int = 190) -> go.Figure:
    """Median and 95th percentile per bucket, in seconds; columns ``x``, ``p50``, ``p95`` in ms."""
    figure = go.Figure()
    for column, color in (("p95", ACCENT), ("p50", REFERENCE)):
        seconds = table[column].astype(float) / 1000
        figure.add_trace(
            go.Scatter(
                x=table["x"],
                y=seconds,
                mode="lines",
                line={"color": color, "width": 2 if column == "p95" else 1.5},
                hovertemplate=f"{column} %{{y:.2f}} s<extra></extra>",
            )
        )
        known = seconds.dropna()
        if len(known):
            label_end(figure, table["x"].iloc[-1], float(known.iloc[-1]), column, color)
    styled(figure, height, x_range)
    figure.update_layout(margin={"l": 8, "r": 30, "t": 18, "b": 8})
    figure.update_yaxes(rangemode="tozero", ticksuffix=" s")
    add_letters(figure, letters, x_range)
    return figure


def counts(table: pd.DataFrame, letters: Sequence[Letter], x_range: Range, unit: str, height: int = 190) -> go.Figure:
    """A count per hour as bars; columns ``x`` and ``n``."""
    figure = go.Figure(
        go.Bar(
            x=table["x"],
            y=table["n"],
            width=bar_ms(3_600),
            marker={"color": ACCENT, "line": {"width": 0}},
            hovertemplate=f"%{{y:,}} {escape(unit)}<extra></extra>",
        )
    )
    styled(figure, height, x_range)
    figure.update_yaxes(rangemode="tozero")
    add_letters(figure, letters, x_range)
    return figure


def worst_slices(rows: Sequence[Mapping[str, Any]], height: int = 260) -> go.Figure:
    """Share of ungrounded answers per slice with intervals, worst lower bound first.

    Parameters
    ----------
    rows : ``name``, ``k`` (ungrounded) and ``n``, worst first.
    """
    shown = list(rows)[:9][::-1]
    rates = [wilson(row["k"], row["n"]) for row in shown]
    share = [100 * (r.share or 0) for r in rates]
    figure = go.Figure(
        go.Scatter(
            x=share,
            y=[f"{escape(row['name'])} " for row in shown],
            mode="markers",
            marker={"size": 9, "color": ACCENT},
            error_x=interval_bars(rates),
            customdata=[[r.n] for r in rates],
            hovertemplate="%{x:.1f} % not grounded, n = %{customdata[0]}<extra></extra>",
        )
    )
    styled(figure, height)
    figure.update_layout(hovermode="closest", margin={"l": 8, "r": 12, "t": 6, "b": 8})
    figure.update_xaxes(rangemode="tozero", ticksuffix=" %", gridcolor="rgba(128,138,144,.22)", showgrid=True)
    figure.update_yaxes(showgrid=False, nticks=None, tickmode="linear")
    return figure
