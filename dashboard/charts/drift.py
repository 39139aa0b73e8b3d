"""Evidence of drift over time, and the topics that drive it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.base import Letter, Range, add_letters, shade, styled
from dashboard.formats import escape, shorten
from dashboard.palette import FAINT, OTHER, RED, REFERENCE

FIELDS: Mapping[str, str] = {
    "prompt": "questions",
    "context": "context",
    "response": "answers",
    "behaviour": "behaviour",
}
_HIGHEST = 3.0  # how far above the threshold evidence is drawn; it grows without limit
_COLORS = {"drifted": RED, "stable": REFERENCE, "insufficient": FAINT}


def strongest(table: pd.DataFrame) -> pd.DataFrame:
    """One row per field and day: that of the service with the most evidence against its threshold.

    Parameters
    ----------
    table : rows of ``drift``.

    Returns
    -------
    DataFrame
        With a column ``ratio`` = evidence / threshold.
    """
    if table.empty:
        return table.assign(ratio=pd.Series(dtype=float))
    ratio = table["evidence"].astype(float) / table["threshold"].astype(float).where(lambda t: t > 0)
    ranked = table.assign(ratio=ratio.fillna(0.0)).sort_values(["field", "current_start", "ratio"])
    return ranked.groupby(["field", "current_start"], as_index=False).tail(1).sort_values(["field", "current_start"])


def _bars(part: pd.DataFrame) -> go.Bar:
    return go.Bar(
        x=part["middle"],
        y=part["ratio"],
        width=part["day_ms"] * 0.8,
        marker={"color": [_COLORS.get(verdict, FAINT) for verdict in part["verdict"]], "line": {"width": 0}},
        customdata=[[escape(shorten(s, 160)), e, t, v] for s, e, t, v in _columns(part)],
        hovertemplate="%{customdata[0]}<br>%{customdata[3]}: evidence %{customdata[1]:.1f},"
        " threshold %{customdata[2]:.1f}<extra></extra>",
    )


def _columns(part: pd.DataFrame) -> list[tuple[Any, float, float, str]]:
    return list(zip(part["sentence"], part["evidence"], part["threshold"], part["verdict"], strict=True))


def evidence(
    table: pd.DataFrame, letters: Sequence[Letter], x_range: Range, reference: Range | None = None, height: int = 250
) -> go.Figure:
    """Evidence of one field per day with its threshold; bars are red where the threshold was passed.

    Parameters
    ----------
    table : from `strongest`, one field, with ``middle`` and ``day_ms``.
    reference : naive local ends of the reference of the newest comparison, shaded.
    """
    bars = _bars(table)
    bars.y = table["evidence"]
    figure = go.Figure(bars)
    figure.add_trace(
        go.Scatter(
            x=table["middle"],
            y=table["threshold"],
            mode="lines",
            line={"color": REFERENCE, "width": 1.5, "dash": "dash", "shape": "hvh"},
            hoverinfo="skip",
        )
    )
    styled(figure, height, x_range)
    if reference:
        shade(figure, max(reference[0], x_range[0]), min(reference[1], x_range[1]))
    if len(table):
        last = table.iloc[-1]
        figure.add_annotation(
            x=x_range[0],
            y=float(last["threshold"]),
            text="threshold",
            showarrow=False,
            xanchor="left",
            yanchor="bottom",
            font={"size": 11, "color": REFERENCE},
        )
    figure.update_layout(hovermode="closest")
    figure.update_yaxes(rangemode="tozero", title={"text": "evidence, −log₁₀ p", "font": {"size": 12}})
    add_letters(figure, letters, x_range)
    return figure


def monitors(table: pd.DataFrame, letters: Sequence[Letter], x_range: Range, height: int = 190) -> go.Figure:
    """Evidence of the monitors of one field, a line a service, with the threshold; red from the alarm on.

    Parameters
    ----------
    table : rows of monitors in the order of time, with ``x``, the naive local time of each.
    """
    figure = go.Figure()
    top = float(table["threshold"].max())
    for number, (service, part) in enumerate(table.groupby("segment", dropna=False)):
        shown = part["evidence"].clip(upper=_HIGHEST * top)
        alarmed = (part["verdict"] == "drifted").any()
        figure.add_trace(
            go.Scatter(
                x=part["x"],
                y=shown,
                mode="lines+markers",
                line={"color": RED if alarmed else REFERENCE, "width": 1.5},
                marker={"size": 4, "color": [_COLORS.get(verdict, FAINT) for verdict in part["verdict"]]},
                customdata=[escape(shorten(sentence, 160)) for sentence in part["sentence"]],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
        figure.add_annotation(
            x=part["x"].iloc[-1],
            y=float(shown.iloc[-1]),
            text=escape(str(service or "")),
            showarrow=False,
            xanchor="right",
            yanchor="bottom",
            yshift=12 * number,
            font={"size": 11},
        )
    figure.add_hline(y=top, line={"color": REFERENCE, "width": 1, "dash": "dash"})
    styled(figure, height, x_range)
    figure.update_layout(hovermode="closest")
    figure.update_yaxes(rangemode="tozero", title={"text": "log₁₀ evidence", "font": {"size": 12}})
    add_letters(figure, letters, x_range)
    return figure


def contributions(rows: Sequence[Mapping[str, Any]], colors: Mapping[int, str], height: int = 250) -> go.Figure:
    """Bars: how much of the evidence each topic carries; solid where its share changed, hollow where its inside did.

    Parameters
    ----------
    rows : rows of ``drift_contributions`` with the topic's label, largest first.
    """
    shown = list(rows)[:8][::-1]
    names = [escape(shorten(row["label"] or "no topic", 30)) for row in shown]
    tones = [colors.get(int(row["topic_id"]), OTHER) for row in shown]
    figure = go.Figure(
        go.Bar(
            x=[float(row["contribution"] or 0) for row in shown],
            y=list(range(len(shown))),  # a topic may have two rows, its share and its inside
            customdata=names,
            orientation="h",
            marker={
                "color": [
                    tone if row["kind"] == "share" else "rgba(0,0,0,0)" for row, tone in zip(shown, tones, strict=True)
                ],
                "line": {"color": tones, "width": 1.5},
            },
            text=[_shares(row) for row in shown],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{customdata}: %{x:.2f} of the change<extra></extra>",
        )
    )
    styled(figure, height)
    top = max([float(row["contribution"] or 0) for row in shown] or [1.0])
    figure.update_layout(hovermode="closest", margin={"l": 8, "r": 8, "t": 6, "b": 8})
    figure.update_xaxes(
        range=[min(0.0, *(float(r["contribution"] or 0) for r in shown), 0.0), top * 1.6],
        showticklabels=False,
        ticks="",
    )
    figure.update_yaxes(
        showgrid=False, nticks=None, tickvals=list(range(len(shown))), ticktext=[f"{name} " for name in names]
    )
    return figure


def _shares(row: Mapping[str, Any]) -> str:
    if row["kind"] != "share" or row["share_reference"] is None or row["share_current"] is None:
        return "changed within"
    return f"{100 * float(row['share_reference']):.1f} → {100 * float(row['share_current']):.1f} %"
