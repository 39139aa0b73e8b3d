"""Drift: did questions, context, answers or behaviour change, what drives it, and what does it look like."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import data, screen, series
from dashboard.charts import base, drift
from dashboard.components import cards, drift_tools, text
from dashboard.filters import Window
from dashboard.formats import escape, json_list, span_text, stamp

now = screen.current()


def checks_of(field: str) -> list[dict[str, Any]]:
    """Checks of one field in the window, alarms first, then the newest."""
    rows = [r for r in data.rows("drift_in", window=now.window, service=now.filters.service) if r["field"] == field]
    rows.sort(key=lambda r: (r["current_start"], r["evidence"] or 0), reverse=True)
    return sorted(rows, key=lambda r: r["verdict"] != "drifted")


def day_text(start: datetime) -> str:
    """The start of a check; of a whole day only its date."""
    there = now.local(start)
    return f"{there:%a} {there.day} {there:%b}" if there.time() == time() else stamp(start, now.zone)


def choose(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The check that the page explains: the one named in the URL, else the first."""
    ids = [row["drift_id"] for row in rows]
    by_id = dict(zip(ids, rows, strict=True))
    wanted = st.query_params.get("check", "")

    def show(drift_id: str) -> str:
        row = by_id[drift_id]
        return f"{day_text(row['current_start'])} · {row['segment']} · {row['verdict']}"

    chosen = st.selectbox(
        "Check",
        ids,
        index=ids.index(wanted) if wanted in by_id else 0,
        format_func=show,
        label_visibility="collapsed",
        width=360,
    )
    if chosen != ids[0] or wanted:
        st.query_params["check"] = chosen
    row: dict[str, Any] = by_id[chosen]
    return row


def draw_evidence(field: str, check: Mapping[str, Any]) -> None:
    """Evidence by day with its threshold, the reference shaded."""
    span = now.timeline(days=21)
    table = data.read("drift_in", window=span, service=now.filters.service)
    part = series.drift_days(now, drift.strongest(table[table["field"] == field]))
    text.heading("Evidence by day", "red passed the threshold; the reference of this check is shaded")
    reference = (now.local(check["reference_start"]), now.local(check["reference_end"]))
    figure = drift.evidence(part, series.letters(now), series.drift_range(now, part, span), reference)
    st.plotly_chart(figure, config=base.CONFIG, height=250, key="evidence")
    text.marks(now)


def draw_contributions(check: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Which topics carry the change; solid: their share changed, hollow: what is said within them did."""
    text.heading("Contribution by topic", "solid: share · hollow: within")
    rows = data.rows("contributions", drift=check["drift_id"])
    if not rows:
        why = (
            "No topic stands out." if check["verdict"] != "drifted" else "Topics were not known when this was checked."
        )
        text.empty("No contribution by topic", why)
        return rows
    st.plotly_chart(drift.contributions(rows, now.colors), config=base.CONFIG, height=250, key="contributions")
    return rows


def draw_examples(check: Mapping[str, Any], parts: list[dict[str, Any]]) -> None:
    """Messages before and after, side by side; those that drive the change carry their topic."""
    answer = check["field"] in ("response", "behaviour")
    drivers = [(i, part) for part in parts for i in json_list(part["exemplars"])[:2]][:5]
    found = data.texts([i for i, _ in drivers])
    left, right = st.columns(2, gap="large")
    with left:
        text.heading("Before", span_text(check["reference_start"], check["reference_end"], now.zone))
        _sample(check, "reference", answer=answer)
    with right:
        text.heading("After", span_text(check["current_start"], check["current_end"], now.zone))
        if not found:
            _sample(check, "current", answer=answer)
        for key, part in drivers:
            if key in found:
                fresh = " · new" if not part["share_reference"] and part["kind"] == "share" else ""
                cards.example(found[key], now, f"{part['label'] or 'no topic'}{fresh}: open", answer=answer)


def _sample(check: Mapping[str, Any], side: str, *, answer: bool) -> None:
    window = Window(check[f"{side}_start"], check[f"{side}_end"])
    rows = data.rows("before_examples", window=window, service=check["segment"], topic=None)
    if not rows:
        text.empty("No message of this time is left", "It may have been removed by the retention setting.")
    for row in rows:
        st.html(cards.quote(row, now, current=side == "current", answer=answer))


def method_line(check: Mapping[str, Any]) -> str:
    """How it was tested: method, sizes, effect, p with its floor, groups."""
    p, floor = check["p_value"], check["p_floor"]
    parts = [
        f"loudest statistic: {str(check['statistic'] or '').replace('_', ' ')}",
        f"n = {check['n_current'] or 0:,} against {check['n_reference'] or 0:,}",
        _effect(check),
        f"p = {p:.2g}" + (f" (cannot be below {floor:.2g})" if floor is not None else "")
        if p is not None
        else "no p-value",
        f"groups: {check['grouping']}" if check["grouping"] else "",
        f"method version {check['method_version']}" if check["method_version"] else "",
    ]
    return "Method: " + " · ".join(part for part in parts if part)


def _effect(check: Mapping[str, Any]) -> str:
    if check["effect"] is None:
        return ""
    known = check["effect_low"] is not None
    within = f" (95 % interval {check['effect_low']:.2g} to {check['effect_high']:.2g})" if known else ""
    return f"effect {check['effect']:.3g}{within}"


def sentence_of(field: str, check: Mapping[str, Any]) -> str:
    """The verdict in the words of the analysis, which name the change just before."""
    first = (check["sentence"] or f"The {drift.FIELDS[field]} were compared").rstrip(".")
    if check["verdict"] == "insufficient":
        return f"Too little data for a verdict on {check['segment']}: {first}."
    return f"{first}."


def draw() -> None:
    """Draw the page."""
    head = st.container()
    bar = st.container(horizontal=True, vertical_alignment="center")
    names = list(drift.FIELDS)
    st.session_state.setdefault("field", _default_field())
    picked = bar.segmented_control(
        "Field", names, key="field", required=True, format_func=_tab, label_visibility="collapsed"
    )
    field = str(picked or names[0])
    st.query_params["field"] = field
    rows = checks_of(field)
    if not rows:
        text.empty(
            f"No check of {drift.FIELDS[field]} in this time",
            "Each day is compared with the weeks before it, once there is enough past.",
            "undertow analyze --only embed,topics,drift",
        )
        drift_tools.draw_compare(now, None, field)
        return
    with bar:
        check = choose(rows)
        drift_tools.draw_pin(now, check)
    with head:
        text.lead(sentence_of(field, check))
    left, right = st.columns([0.58, 0.42], gap="large")
    with left:
        draw_evidence(field, check)
        drift_tools.draw_monitor(now, field)
    with right:
        parts = draw_contributions(check)
        drift_tools.draw_segments(check)
    draw_examples(check, parts)
    drift_tools.draw_compare(now, check, field)
    st.html(f'<p class="ut-small">{escape(method_line(check))}</p>')


def _tab(name: str) -> str:
    rows = data.read("drift_in", window=now.window, service=now.filters.service)
    drifted = ((rows["field"] == name) & (rows["verdict"] == "drifted")).any() if len(rows) else False
    return f"{drift.FIELDS[name].capitalize()}{' ▲' if drifted else ''}"


def _default_field() -> str:
    """The field of the URL, else the one with the strongest alarm, else questions."""
    wanted = st.query_params.get("field", "")
    if wanted in drift.FIELDS:
        return wanted
    rows = data.read("drift_in", window=now.window, service=now.filters.service)
    alarms = rows[rows["verdict"] == "drifted"] if len(rows) else pd.DataFrame()
    return str(alarms.sort_values("evidence").iloc[-1]["field"]) if len(alarms) else "prompt"


draw()
