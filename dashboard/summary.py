"""The sentence that says what changed, from alerts, drift and the changes just before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from dashboard import data
from dashboard.formats import ago, count, json_value
from dashboard.screen import Mark, Screen

JUST_BEFORE = timedelta(hours=6)
ALSO = 3


def headline(screen: Screen) -> tuple[str, list[str]]:
    """The most severe thing of the window as a sentence with its cause, and up to three more."""
    events = [e for e in data.rows("alert_events", window=screen.window) if e["kind"] == "fired" and _within(e, screen)]
    found = _one_each(events)
    if not found:
        found = _drifts(screen)
    if found:
        first, *rest = found
        cause = "" if first["drift"] else f" {cause_of(first['at'], screen.marks)}"
        return f"{first['sentence'].rstrip('.')}.{cause}", [f"{e['sentence'].rstrip('.')}." for e in rest[:ALSO]]
    return _quiet(screen), []


def cause_of(moment: datetime, marks: Sequence[Mark]) -> str:
    """The nearest change in the hours before something began, or that there was none."""
    near = [mark for mark in marks if moment - JUST_BEFORE <= mark.moment <= moment]
    if not near:
        return "No change found just before."
    nearest = max(near, key=lambda mark: mark.moment)
    words = nearest.text[:1].upper() + nearest.text[1:]
    if moment - nearest.moment < timedelta(minutes=1):
        return f"{words} went live at the same time ({nearest.letter})."
    return f"{words} went live {ago(nearest.moment, moment)} before ({nearest.letter})."


def is_drift(alert_id: object) -> bool:
    """Whether an alert is one of drift: its sentence names the change just before by itself."""
    return str(alert_id).startswith("builtin:drift")


def _within(event: dict[str, Any], screen: Screen) -> bool:
    """An alert of another service does not belong on a screen that is restricted to one."""
    service = (json_value(event["evidence"]) or {}).get("service_name")
    return screen.filters.service is None or service in (None, screen.filters.service)


def _one_each(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    best: dict[str, dict[str, Any]] = {}
    for event in sorted(events, key=lambda e: -(e["severity"] or 0)):
        told = {"sentence": event["sentence"] or "", "at": event["happened_at"], "drift": is_drift(event["alert_id"])}
        best.setdefault(event["alert_id"], told)
    return list(best.values())


def _drifts(screen: Screen) -> list[dict[str, Any]]:
    rows = data.rows("drift_in", window=screen.window, service=screen.filters.service)
    drifted = sorted((r for r in rows if r["verdict"] == "drifted"), key=lambda r: -(r["evidence"] or 0))
    best: dict[str, dict[str, Any]] = {}
    for row in drifted:
        best.setdefault(row["field"], {"sentence": row["sentence"] or "", "at": row["current_start"], "drift": True})
    return list(best.values())


def _quiet(screen: Screen) -> str:
    turns = float(data.read("totals", screen.filters, screen.window)["turns"].iloc[0])
    checks = data.read("drift_in", window=screen.window, service=screen.filters.service)
    if checks.empty:
        return f"{count(turns)} turns arrived in this time; none of them was analysed for drift yet."
    return f"Nothing moved beyond chance: {count(turns)} turns, {len(checks)} checks of drift, no alarm."
