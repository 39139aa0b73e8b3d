"""Cost: spend per day by model, spikes, and the models whose price is not known."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import data, screen, series
from dashboard.charts import base
from dashboard.charts import series as charts
from dashboard.components import cards, text
from dashboard.formats import NONE, change_text, count, duration, escape, json_value, money, percent

now = screen.current()
width = now.bucket_s(now.timeline())


def by_model() -> pd.DataFrame:
    """Cost per bucket and model, with local times."""
    span = now.timeline()
    table = data.read("cost_by_model", now.filters, span, width=width, origin=now.origin(span))
    return table.assign(x=now.local_column(table["bucket"]))


def alarms() -> list[dict[str, Any]]:
    """Firings of the monitor of cost, most severe first, of the chosen service where one is chosen."""
    found = []
    for row in data.rows("alert_events", window=now.timeline()):
        service = (json_value(row["evidence"]) or {}).get("service_name")
        if row["alert_id"] == "builtin:cost" and now.filters.service in (None, service):
            found.append(row)
    return sorted(found, key=lambda row: -(row["severity"] or 0))


def spikes(table: pd.DataFrame, fired: list[dict[str, Any]]) -> list[pd.Timestamp]:
    """Buckets in which the monitor of cost fired."""
    starts = sorted(set(table.loc[table["cost"].notna(), "x"]))
    found: set[pd.Timestamp] = set()
    for row in fired:
        moment = pd.Timestamp(now.local(row["happened_at"]))
        found |= {start for start in starts if start <= moment < start + pd.Timedelta(seconds=width)}
    return sorted(found)


def sentence(table: pd.DataFrame, found: list[pd.Timestamp], fired: list[dict[str, Any]]) -> str:
    """Spend against the reference, and the alarm or else the largest spike."""
    totals, past = (data.read("totals", now.filters, window).iloc[0] for window in (now.window, now.reference))
    if not int(totals["priced"]):
        return f"None of {int(totals['calls']):,} calls of this time has a known price."
    scale = now.window.days / max(now.reference.days, 1e-9)
    change = change_text(float(totals["cost"]), None if pd.isna(past["cost"]) else float(past["cost"]) * scale)
    words = f"{money(float(totals['cost']))} for {count(float(totals['priced']))} calls" + (
        f", per day {change}" if change else ""
    )
    told = [row for row in fired if row["happened_at"] >= now.window.start and row["sentence"]]
    if told:
        return f"{words}. {str(told[0]['sentence']).rstrip('.')}."
    recent = [spike for spike in found if spike >= pd.Timestamp(now.local(now.window.start))]
    if recent:
        sums = table.groupby("x")["cost"].sum()
        top = max(recent, key=lambda x: sums[x])
        usual = float(sums.median())
        hour = f" from {top:%H:%M}" if width < 86_400 else ""
        words += f"; it ran at {sums[top] / usual:.0f} times the usual rate on {top:%a} {top.day} {top:%b}{hour}"
    return words + "."


def draw_unknown() -> None:
    """Calls without a price are named, never counted as free."""
    models = data.rows("model_table", now.filters, now.window)
    rows = [row for row in models if row["unpriced"] and row["cost"] is None]
    rest = sum(int(row["unpriced"]) for row in models if row["cost"] is not None)
    if rest:
        st.html(f'<p class="ut-small">{rest:,} calls of priced models have no cost, as they carry no token counts.</p>')
    if not rows:
        return
    names = ", ".join(f"{row['model']} ({int(row['unpriced']):,} calls)" for row in rows)
    text.empty(
        f"Price unknown: {names}",
        "Their cost is not in any figure of this page. Give prices in USD per million tokens in undertow.toml:",
        f'[cost.prices."{rows[0]["model"]}"]\ninput = 0.0\noutput = 0.0',
    )


def draw_models() -> None:
    """Models side by side."""
    rows = data.rows("model_table", now.filters, now.window)
    total = sum(float(row["cost"] or 0) for row in rows)
    body = []
    for row in rows:
        priced = row["cost"] is not None
        calls = int(row["calls"]) - int(row["unpriced"])
        body.append(
            (
                escape(row["model"] or "no model name"),
                count(row["calls"]),
                money(row["cost"]) if priced else text.status("unknown", "unknown"),
                percent(float(row["cost"]) / total) if priced and total else NONE,
                money(float(row["cost"]) / calls * 1000) if priced and calls else NONE,
                count(row["input_tokens"]),
                count(row["output_tokens"]),
                duration(row["p95"]),
            )
        )
    head = (
        ("model", "wide"), ("calls", "n"), ("cost ▾", "n"), ("share", "n"), ("per 1,000 calls", "n"),
        ("tokens in", "n"), ("tokens out", "n"), ("latency p95", "n"),
    )  # fmt: skip
    text.heading("Models")
    st.html(cards.table(head, body))


def draw() -> None:
    """Draw the page."""
    table = by_model()
    if table.empty:
        text.empty("No calls in this time", "Widen the time window, or take a filter away.")
        return
    if table["cost"].notna().sum() == 0:
        text.lead(sentence(table, [], []))
        text.empty(
            "Nothing is priced yet",
            "Prices come from the maintained price list when calls are analysed.",
            "undertow analyze --only cost",
        )
        draw_unknown()
        return
    fired = alarms()
    found = spikes(table, fired)
    text.lead(sentence(table, found, fired))
    bucket = {3_600: "hour", 21_600: "6 hours", 86_400: "day", 604_800: "week"}[width]
    text.heading("Cost by model", f"US dollars per {bucket}")
    figure = charts.stacked_cost(table, found, series.letters(now), now.local_range(now.timeline()), width)
    st.plotly_chart(figure, config=base.CONFIG, height=260, key="cost")
    text.marks(now)
    left, right = st.columns([0.62, 0.38], gap="large")
    with left:
        draw_models()
    with right:
        draw_unknown()


draw()
