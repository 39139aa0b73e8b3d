"""Health: is telemetry arriving, is it analysed, and how much is there."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import streamlit as st

from dashboard import data, screen
from dashboard.charts import base
from dashboard.charts import series as charts
from dashboard.components import cards, text
from dashboard.formats import ago, count, escape, percent, shorten, stamp_html
from undertow import __version__
from undertow.clock import utc_now

TIMEOUT_S = 0.5
now = screen.current()


def collector_health(url: str) -> dict[str, Any] | None:
    """The collector's own counters, ``None`` when it does not answer.

    The address comes from the endpoint file of our own data folder.
    """
    try:
        host = urlsplit(url)
        connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=TIMEOUT_S)
        connection.request("GET", "/healthz")
        value = json.load(connection.getresponse())
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return value if isinstance(value, dict) else None


def draw_facts(runs: list[dict[str, Any]]) -> None:
    """Where the data stands, in one line of facts."""
    lag = data.rows("lag")[0]
    newest, seen = lag["newest_seq"], lag["analysed_seq"]
    behind = (
        "not analysed yet"
        if seen is None or newest is None
        else "up to date"
        if seen >= newest
        else f"{int(newest - seen):,} commits behind"
    )
    live = data.live_collector()
    health = collector_health(live.http_url) if live else None
    pairs = [
        ("newest telemetry", stamp_html(now.extent.newest, now.zone)),
        (
            "analysis",
            f"{escape(behind)}, last run {stamp_html(now.extent.analysed, now.zone)}" if runs else "never ran",
        ),
        ("last commit", f"{ago(lag['committed_at'], utc_now())} ago" if lag["committed_at"] is not None else "none"),
        ("data version", count(data.version_of_run())),
        ("collector", text.status("ok", live.http_url) if live and health else text.status("unknown", "not running")),
        ("Undertow", __version__),
    ]
    for name in ("accepted", "loaded", "journal_bytes"):
        if health and isinstance(health.get(name), int | float):
            pairs.append((name.replace("_", " "), count(health[name])))
    cells = "".join(f'<div><span class="k">{title}</span>{value}</div>' for title, value in pairs)
    st.html(f'<div class="ut-facts">{cells}</div>')


def draw_runs(runs: list[dict[str, Any]]) -> None:
    """The last run of each analyzer with its error."""
    text.heading("Last run of each analyzer")
    if not runs:
        text.empty(
            "The analysis never ran", "Topics, drift, groundedness, cost and alerts come from it.", "undertow analyze"
        )
        return
    body = []
    for run in runs:
        took = (run["finished_at"] - run["started_at"]).total_seconds() if run["finished_at"] is not None else None
        body.append(
            (
                escape(run["analyzer"]),
                text.status("unknown" if run["status"] == "skipped" else str(run["status"]), str(run["status"])),
                stamp_html(run["started_at"], now.zone),
                "" if took is None else f"{took:.1f}\u202fs",
                count(run["rows"]),
                escape(shorten(run["error"], 200)),
            )
        )
    head = (("analyzer", ""), ("status", ""), ("started", ""), ("took", "n"), ("rows", "n"), ("error", "wide"))
    st.html(cards.table(head, body))


def draw_tables() -> None:
    """Rows per table."""
    text.heading("Store", shorten(data.store().url, 70))
    body = [(escape(row["name"]), count(row["n"])) for row in data.rows("table_rows") if row["n"]]
    st.html(cards.table((("table", "wide"), ("rows ▾", "n")), body))


def draw_content() -> None:
    """Services whose calls arrive without text."""
    hollow = [row for row in data.rows("content_by_service") if row["without_content"]]
    text.heading("Content")
    if not hollow:
        st.html(f'<p class="ut-small">{text.status("ok", "every service sends its text")}</p>')
        return
    body = [
        (
            escape(row["service_name"]),
            count(row["calls"]),
            f"{percent(row['without_content'] / row['calls'])} without text",
        )
        for row in hollow
    ]
    st.html(cards.table((("service", "wide"), ("calls", "n"), ("content", "n")), body))


def draw_arrivals() -> None:
    """Spans by the hour or longer."""
    span = now.timeline(days=7)
    table = data.read("arrivals", window=span)
    text.heading("Telemetry", "spans per hour")
    part = pd.DataFrame({"x": now.local_column(table["bucket"]), "n": table["spans"]})
    figure = charts.counts(part, (), now.local_range(span), "spans")
    st.plotly_chart(figure, config=base.CONFIG, height=190, key="arrivals")


def sentence(runs: list[dict[str, Any]]) -> str:
    """What is wrong, else that nothing is."""
    failed = [str(run["analyzer"]) for run in runs if run["status"] == "failed"]
    if len(failed) == 1:
        return f"The analyzer {failed[0]} failed in its last run; {len(runs) - 1} others ran well."
    if failed:
        return f"{len(failed)} analyzers failed in their last run: {', '.join(failed)}."
    if not runs:
        return "Telemetry has arrived, but the analysis has never run."
    return f"All {len(runs)} analyzers ran well."


def draw() -> None:
    """Draw the page."""
    runs = data.rows("last_runs")
    text.lead(sentence(runs))
    draw_facts(runs)
    draw_arrivals()
    left, right = st.columns([0.64, 0.36], gap="large")
    with left:
        draw_runs(runs)
        draw_content()
    with right:
        draw_tables()


draw()
