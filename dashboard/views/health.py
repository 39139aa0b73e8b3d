"""Health: is telemetry arriving, is it analysed, and how much is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import data, screen, telemetry
from dashboard.charts import base
from dashboard.charts import series as charts
from dashboard.components import cards, content, intake, text
from dashboard.formats import ago, count, duration, escape, shorten, stamp_html
from undertow import __version__
from undertow.clock import utc_now
from undertow.collector_metrics import Sample, read_metrics, total
from undertow.telemetry_report import WithoutContent

now = screen.current()


def draw_facts(runs: list[dict[str, Any]], samples: Sequence[Sample] | None) -> None:
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
    running = live is not None and samples is not None
    pairs = [
        ("newest telemetry", stamp_html(now.extent.newest, now.zone)),
        (
            "analysis",
            f"{escape(behind)}, last run {stamp_html(now.extent.analysed, now.zone)}" if runs else "never ran",
        ),
        ("last commit", f"{ago(lag['committed_at'], utc_now())} ago" if lag["committed_at"] is not None else "none"),
        ("data version", count(data.version_of_run())),
        ("collector", text.status("ok", live.http_url) if live and running else text.status("unknown", "not running")),
        ("Undertow", __version__),
    ]
    if samples is not None:
        pairs += [
            ("accepted", count(total(samples, "undertow_accepted_items_total"))),
            ("loaded", count(total(samples, "undertow_loaded_items_total"))),
            ("journal", f"{count(total(samples, 'undertow_journal_bytes'))} bytes"),
            ("load lag", duration(1000 * total(samples, "undertow_load_lag_seconds"))),
        ]
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
    text.heading("Store")
    st.html(f'<p class="ut-small" style="overflow-wrap: anywhere">{escape(data.store().url)}</p>')
    body = [(escape(row["name"]), count(row["n"])) for row in data.rows("table_rows") if row["n"]]
    st.html(cards.table((("table", "wide"), ("rows ▾", "n")), body))


def draw_content(hollow: list[WithoutContent]) -> None:
    """Instrumentations whose calls arrive without text, and what switches it on."""
    text.heading("Content", "the newest calls of each instrumentation")
    if hollow:
        st.html(content.table(hollow))
    else:
        st.html(f'<p class="ut-small">{text.status("ok", "every service sends its text")}</p>')


def draw_arrivals() -> None:
    """Spans by the hour or longer."""
    span = now.timeline(days=7)
    table = data.read("arrivals", window=span)
    text.heading("Telemetry", "spans per hour")
    part = pd.DataFrame({"x": now.local_column(table["bucket"]), "n": table["spans"]})
    figure = charts.counts(part, (), now.local_range(span), "spans")
    st.plotly_chart(figure, config=base.CONFIG, height=190, key="arrivals")


def sentence(runs: list[dict[str, Any]], hollow: list[WithoutContent]) -> tuple[str, list[str]]:
    """What is wrong with the analysis, else that nothing is; and who sends no text."""
    failed = [str(run["analyzer"]) for run in runs if run["status"] == "failed"]
    also = [f"{item.found}." for item in hollow]
    if len(failed) == 1:
        return f"The analyzer {failed[0]} failed in its last run; {len(runs) - 1} others ran well.", also
    if failed:
        return f"{len(failed)} analyzers failed in their last run: {', '.join(failed)}.", also
    if also:
        return also[0], also[1:]
    if not runs:
        return "Telemetry has arrived, but the analysis has never run.", []
    return f"All {len(runs)} analyzers ran well.", []


def draw() -> None:
    """Draw the page."""
    runs = data.rows("last_runs")
    live = data.live_collector()
    samples = read_metrics(live) if live else None
    hollow = telemetry.without_content(now.filters)
    text.lead(*sentence(runs, hollow))
    draw_facts(runs, samples)
    draw_arrivals()
    draw_content(hollow)
    left, right = st.columns([0.64, 0.36], gap="large")
    with left:
        draw_runs(runs)
        seen = telemetry.unread(now.filters)
        intake.sources(seen)
        intake.attributes(seen)
    with right:
        intake.refused(samples)
        chosen = now.filters
        replaced = data.rows("redactions", window=now.window, service=chosen.service, environment=chosen.environment)
        intake.redacted(replaced)
        draw_tables()


draw()
