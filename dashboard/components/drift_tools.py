"""What one does about a drift: look inside, watch the monitor, compare other windows, pin, acknowledge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from dashboard import actions, data, series
from dashboard.charts import base, drift
from dashboard.components import cards, text
from dashboard.formats import escape, json_value, plain, shorten, span_text, stamp
from dashboard.queries import NAMED
from dashboard.screen import Screen
from undertow.clock import utc_now
from undertow.errors import StoreError

PATIENCE = timedelta(seconds=5)
ASKED = "_asked"
_FORMS = "2026-11-01 · 2026-11-01..2026-11-07 · 2026-11-01T10:00.. · 7d · prompt:NAME@VERSION · version:3 · model:NAME"


def draw_monitor(screen: Screen, field: str) -> None:
    """Evidence of the continuous monitors of a field against their threshold; an alarm can be acknowledged."""
    span = screen.timeline(days=21)
    table = data.read("monitors_in", window=span, service=screen.filters.service)
    table = table[table["field"] == field]
    text.heading(
        "Evidence of the monitor, live", "grows only when messages move away from the reference; dashed: alarm"
    )
    if table.empty:
        why = "Answers to the same questions have none." if field == "behaviour" else "It begins after the first weeks."
        text.empty("No monitor of this field yet", why)
        return
    shown = table.assign(x=screen.local_column(table["current_end"]).clip(upper=screen.local(screen.newest)))
    figure = drift.monitors(shown, series.letters(screen), screen.local_range(span))
    st.plotly_chart(figure, config=base.CONFIG, height=190, key="monitor")
    last = table.groupby("segment", dropna=False).tail(1)
    alarmed = last[last["verdict"] == "drifted"].to_dict("records")
    done = _acknowledged()
    for row in alarmed:
        at = done.get((row["segment"] or "", field))
        st.html(f'<p class="ut-small">{text.status("drifted")} {escape(row["sentence"])}</p>')
        if at is not None and at >= row["current_start"]:
            st.html(
                f'<p class="ut-small">Acknowledged {stamp(at, screen.zone)}; it begins anew with the next analysis.</p>'
            )
        else:
            st.button(
                plain(f"Acknowledge: {row['segment']}"),
                key=f"ack-{row['segment']}",
                help="The last four weeks become its reference, and its evidence begins anew.",
                on_click=_do,
                args=(actions.acknowledge, row["segment"] or "", field, row["drift_id"]),
            )


def draw_segments(check: Mapping[str, Any]) -> None:
    """Where inside an alarm: by model, prompt version, language, topic."""
    rows = data.rows("segments_of", drift=check["drift_id"])
    if not rows:
        return
    text.heading("Where inside", "segments are tested only inside an alarm")
    body = [
        (
            escape(row["label"] or row["segment"].replace("_", " ").replace("=", " ")),
            text.status(row["verdict"]),
            f"{100 * min(row['effect'] or 0.0, 1.0):.1f} %",
            f"{row['p_value']:.2g}",
            f"{row['n_current']:,} / {row['n_reference']:,}",
        )
        for row in rows
    ]
    head = (("segment", "wide"), ("verdict", ""), ("effect", "n"), ("p", "n"), ("n after / before", "n"))
    st.html(cards.table(head, body))


def draw_pin(screen: Screen, check: Mapping[str, Any]) -> None:
    """Pin the reference of the shown check for its service, or let it go."""
    service = check["segment"] or ""
    pinned = _pinned().get(service)
    if pinned is not None:
        start, end = (datetime.fromisoformat(pinned[name]) for name in ("start", "end"))
        span = span_text(start, end, screen.zone)
        st.button(
            plain(f"Unpin the reference {span}"),
            key="unpin",
            help="Days are compared with the weeks before them again.",
            on_click=_do,
            args=(actions.pin_reference, service, None, None),
        )
        return
    st.button(
        "Pin this reference",
        key="pin",
        help=f"Later days of {plain(service or 'this service')} are compared with it, and its monitors begin anew.",
        on_click=_do,
        args=(actions.pin_reference, service, check["reference_start"], check["reference_end"]),
    )


def draw_compare(screen: Screen, check: Mapping[str, Any] | None, field: str) -> None:
    """Ask for a comparison of any two windows or versions, and show how it goes."""
    text.heading("Compare any two", "windows, prompt versions or models")
    before, after = ("14d", "24h")
    if check is not None:
        before, after = (_span(check, side, screen) for side in ("reference", "current"))
    with st.form("compare", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        reference = st.text_input("Before", before, help=_FORMS, key="compare_a")
        current = st.text_input("After", after, help=_FORMS, key="compare_b")
        asked = st.form_submit_button("Compare")
    if asked:
        _do(actions.ask_compare, reference, current, field, screen.filters.service, key=ASKED)
    if st.session_state.get(ASKED):
        _progress()


def _progress() -> None:
    request = str(st.session_state[ASKED])
    over = _state(request).get("state") in ("done", "failed", None)

    @st.fragment(run_every=None if over else 1.0)
    def shown() -> None:
        row = _state(request)
        if not over and row.get("state") in ("done", "failed"):
            st.rerun()
        _draw_request(row)

    shown()


def _draw_request(row: Mapping[str, Any]) -> None:
    state = row.get("state")
    if state == "done":
        _draw_result(json_value(row["result"]) or {})
    elif state == "failed":
        text.empty("The comparison was not possible", str(row["error"]))
    elif state == "running":
        st.html('<p class="ut-small">Comparing …</p>')
    elif state == "asked" and utc_now() - row["requested_at"] > PATIENCE:
        text.empty(
            "No analysis is running", "The comparison begins as soon as one does.", "undertow analyze --watch 60s"
        )
    elif state == "asked":
        st.html('<p class="ut-small">Waiting for the analysis to take it …</p>')


def _draw_result(result: Mapping[str, Any]) -> None:
    st.html(f"<p>{text.status(result['verdict'])} {escape(result['sentence'])}</p>")
    low, high = result["effect_interval"]
    if low is not None:
        told = f"effect {result['effect']:.3f}, 95 % interval {low:.3f} to {high:.3f}; {result['method']}"
        st.html(f'<p class="ut-small">{escape(told)}</p>')
    body = [
        (
            escape(item["label"] or f"topic {item['topic_id']}"),
            escape(item["kind"]),
            f"{100 * item['share_reference']:.1f} %",
            f"{100 * item['share_current']:.1f} %",
        )
        for item in result["contributions"][:8]
    ]
    if body:
        st.html(cards.table((("topic", "wide"), ("kind", ""), ("before", "n"), ("after", "n")), body))
    for item in result["exemplars"]:
        st.html(f'<div class="ut-quote now">{escape(shorten(item["question"], 240))}</div>')


def _state(request: str) -> dict[str, Any]:
    """The row of a request as it is now; a screen's cached reads would show how it was."""
    rows = data.store().query(NAMED["request_of"], {"request": request}).to_pylist()
    return dict(rows[0]) if rows else {}


def _do(action: Any, *arguments: Any, key: str = "_done") -> None:
    """Write what was chosen; a store that refuses is told above the page."""
    try:
        st.session_state[key] = action(data.store(), *arguments, author=actions.author_name())
    except StoreError as error:
        st.session_state[key] = None
        st.toast(plain(str(error)))


def _choices(kind: str) -> Sequence[tuple[dict[str, Any], datetime]]:
    rows = data.rows("choices_made")
    return [(json_value(row["arguments"]) or {}, row["requested_at"]) for row in rows if row["kind"] == kind]


def _pinned() -> dict[str, dict[str, Any]]:
    newest = {chosen.get("service", ""): chosen for chosen, _ in _choices("pin")}
    return {service: chosen for service, chosen in newest.items() if chosen.get("start")}


def _acknowledged() -> dict[tuple[str, str], datetime]:
    return {(chosen.get("service", ""), chosen.get("field", "")): at for chosen, at in _choices("acknowledge")}


def _span(check: Mapping[str, Any], side: str, screen: Screen) -> str:
    """A window as the verb reads it, in the zone of day buckets."""
    ends = (check[f"{side}_{end}"] for end in ("start", "end"))
    first, last = (moment.replace(tzinfo=None) for moment in (_in_zone(at, screen) for at in ends))
    return f"{first:%Y-%m-%dT%H:%M}..{last:%Y-%m-%dT%H:%M}"


def _in_zone(at: datetime, screen: Screen) -> datetime:
    return at.replace(tzinfo=UTC).astimezone(screen.day_zone)
