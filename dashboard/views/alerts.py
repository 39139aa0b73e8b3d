"""Alerts: what the built-in monitors found, most recent first, with the figures behind each sentence."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import data, screen, series
from dashboard.components import cards, text
from dashboard.formats import escape, json_value, stamp_html
from dashboard.summary import cause_of, is_drift

SERIOUS = 0.7
PAGE = 25
now = screen.current()


def events() -> list[dict[str, Any]]:
    """Firings of the window, of the chosen service where the evidence names one."""
    service = now.filters.service
    rows = []
    for row in data.rows("alert_events", window=now.window):
        evidence = json_value(row["evidence"])
        evidence = evidence if isinstance(evidence, dict) else {}
        if service is None or evidence.get("service_name") in (None, service):
            rows.append({**row, "evidence": evidence})
    return rows


def row_html(row: dict[str, Any]) -> tuple[str, str, str]:
    """Cells of one firing."""
    severity = float(row["severity"] or 0)
    evidence = row["evidence"]
    metric = str(evidence.get("metric") or "value").replace("_", " ")
    figures = [
        f"{name} {_number(evidence[key])}"
        for name, key in ((metric, "value"), ("usual", "expected"), ("n", "n"))
        if evidence.get(key) is not None
    ]
    monitor = str(row["alert_id"]).removeprefix("builtin:").replace("_", " ").replace(":", ", ")
    cause = "" if is_drift(row["alert_id"]) else cause_of(row["happened_at"], now.marks)
    rest = " · ".join(part for part in (monitor, ", ".join(figures), cause) if part)
    where = f"{stamp_html(row['happened_at'], now.zone)} · {escape(rest)}"
    return (
        text.status("drifted" if severity >= SERIOUS else "watch", f"{severity:.1f}"),
        f'{escape(row["sentence"])}<br><span class="ut-small">{where}</span>',
        series.age(now, row["happened_at"]),
    )


def draw() -> None:
    """Draw the page."""
    rows = events()
    if not rows:
        text.lead("No alert fired in this time.")
        watched = "Groundedness, feedback, errors, refusals, cost, new topics and drift are watched at each analysis."
        text.empty("Nothing fired", watched, "undertow analyze")
        return
    top = max(rows, key=lambda row: row["severity"] or 0)
    text.lead(f"{len(rows)} alerts fired; the most severe: {str(top['sentence']).rstrip('.')}.")
    pages = -(-len(rows) // PAGE)
    page = st.pagination(pages, key="alerts_page") if pages > 1 else 1
    head = (("severity", ""), ("what happened, with its figures", "wide"), ("age ▴", "n"))
    st.html(cards.table(head, [row_html(row) for row in rows[(page - 1) * PAGE : page * PAGE]]))
    text.heading("Changes in this time")
    text.marks(now)


def _number(value: Any) -> str:
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


draw()
