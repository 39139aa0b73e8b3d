"""What the six tiles of Overview say; pure, from one row of totals per window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import pandas as pd

from dashboard.charts.drift import FIELDS as TITLES
from dashboard.components.tile import Tile
from dashboard.formats import NONE, change_text, count, duration, money, percent, points, wilson
from dashboard.screen import Screen

Totals: TypeAlias = Mapping[str, Any]


def tiles_of(  # noqa: PLR0913, PLR0917 - one table a source
    screen: Screen,
    now: Totals,
    past: Totals,
    buckets: pd.DataFrame,
    checked: pd.DataFrame,
    monitors: pd.DataFrame | None = None,
) -> list[Tile]:
    """Volume, groundedness, feedback, cost, latency, drift."""
    days, past_days = screen.window.days, max(screen.reference.days, 1e-9)
    return [
        _volume(now, past, days / past_days, buckets),
        _grounded(now, past, buckets),
        _feedback(now, past, buckets),
        _cost(now, past, days / past_days, buckets),
        _latency(now, past, buckets),
        _drifted(now, checked, monitors),
    ]


def rates_line(now: Totals, past: Totals) -> str:
    """Rates that deserve a line and no tile."""
    calls = float(now["calls"])
    parts = []
    for title, key, of in (
        ("errors", "errors", "calls"),
        ("refusals", "refusals", "with_content"),
        ("cut off by length", "truncated", "calls"),
    ):
        rate, usual = wilson(now[key], float(now[of])), wilson(past[key], float(past[of]))
        tail = f" (before {usual.text})" if usual.share is not None else ""
        shown = no_content(now) if of == "with_content" and rate.share is None else ""
        parts.append(f"{title} {shown or rate.text}{tail}")
    first = f"time to first token {duration(now['ttft50'])} median, {duration(now['ttft95'])} p95"
    unpriced = int(now["unpriced"])
    parts += [first, f"{count(calls)} calls in {count(float(now['turns']))} turns"]
    return " · ".join([*parts, f"{count(unpriced)} calls without a price"] if unpriced else parts)


def no_content(totals: Totals) -> str:
    """What stands in place of a measure of text when no call carries any; empty when some do."""
    calls, hollow = int(totals["calls"]), int(totals["without_content"])
    return f"no content ({calls:,} calls)" if calls and hollow == calls else ""


def _volume(now: Totals, past: Totals, scale: float, buckets: pd.DataFrame) -> Tile:
    turns = float(now["turns"])
    change = change_text(turns, float(past["turns"]) * scale)
    return Tile(
        "Volume",
        count(turns),
        "turns",
        change,
        basis=f"{count(float(now['calls']))} calls of models; the change is that of turns per day",
        page="views/topics.py",
        series=list(buckets["turns"]),
    )


def _grounded(now: Totals, past: Totals, buckets: pd.DataFrame) -> Tile:
    rate, usual = wilson(now["grounded"], now["evaluated"]), wilson(past["grounded"], past["evaluated"])
    title, page = "Grounded answers", "views/quality.py"
    if rate.share is None:
        return _without(title, page, now, "not evaluated")
    better = None if usual.share is None or abs(rate.share - usual.share) < 0.005 else rate.share > usual.share
    shares = [None if n == 0 else k / n for k, n in zip(buckets["grounded"], buckets["evaluated"], strict=True)]
    basis = (
        f"{count(rate.n)} answers evaluated; 95 % interval {percent(rate.low or 0, 1)} to {percent(rate.high or 0, 1)}"
    )
    return Tile(title, rate.text, rate.margin, points(rate.share, usual.share), better, basis, page, series=shares)


def _feedback(now: Totals, past: Totals, buckets: pd.DataFrame) -> Tile:
    rate, usual = wilson(now["down"], now["thumbs"]), wilson(past["down"], past["thumbs"])
    title, page = "Negative feedback", "views/quality.py"
    if rate.share is None:
        return Tile(title, "no feedback", "", "send it to POST /v1/feedback", page=page, words=True)
    better = None if usual.share is None or abs(rate.share - usual.share) < 0.005 else rate.share < usual.share
    shares = [None if n == 0 else k / n for k, n in zip(buckets["down"], buckets["thumbs"], strict=True)]
    basis = f"{count(rate.n)} thumbs; 95 % interval {percent(rate.low or 0, 1)} to {percent(rate.high or 0, 1)}"
    return Tile(title, rate.text, rate.margin, points(rate.share, usual.share), better, basis, page, series=shares)


def _cost(now: Totals, past: Totals, scale: float, buckets: pd.DataFrame) -> Tile:
    unpriced = int(now["calls"]) - int(now["priced"])
    if not int(now["priced"]):
        return Tile("Cost", "not priced", "", f"{count(float(now['calls']))} calls", page="views/cost.py", words=True)
    before = None if pd.isna(past["cost"]) else float(past["cost"]) * scale
    change = change_text(float(now["cost"]), before)
    better = None if not change or change == "unchanged" or before is None else float(now["cost"]) < before
    basis = f"{count(float(now['priced']))} calls priced, {count(unpriced)} of unknown models"
    return Tile(
        "Cost", money(float(now["cost"])), "", change, better, basis, "views/cost.py", series=list(buckets["cost"])
    )


def _latency(now: Totals, past: Totals, buckets: pd.DataFrame) -> Tile:
    p95, before = _number(now["p95"]), _number(past["p95"])
    change = change_text(p95, before)
    better = None if not change or change == "unchanged" or p95 is None or before is None else p95 < before
    basis = f"median {duration(_number(now['p50']))}; {count(float(now['calls']))} calls"
    return Tile(
        "Latency p95", duration(p95), "", change, better, basis, "views/quality.py", series=list(buckets["p95"])
    )


def _drifted(now: Totals, checked: pd.DataFrame, monitors: pd.DataFrame | None = None) -> Tile:
    if checked.empty:
        words = no_content(now)
        change = "" if words else "undertow analyze"
        return Tile("Drifted", words or "not checked", "", change, page="views/drift.py", words=True)
    drifted = checked[checked["verdict"] == "drifted"]["field"].nunique()
    decided = checked[checked["verdict"] != "insufficient"]["field"].nunique()
    if not decided:
        return Tile("Drifted", "too little data", "", f"{len(checked)} checks", page="views/drift.py", words=True)
    ratio = (checked["evidence"] / checked["threshold"]).groupby(checked["current_start"]).max()
    change = "no alarm" if not drifted else "all fields" if drifted == len(TITLES) else ", ".join(_names(checked))
    return Tile(
        "Drifted",
        f"{drifted} of {len(TITLES)}",
        "fields",
        " · ".join(part for part in (change, _alarmed(monitors)) if part),
        None if not drifted else False,
        f"{len(checked)} checks in this window",
        "views/drift.py",
        series=list(ratio),
    )


def _alarmed(monitors: pd.DataFrame | None) -> str:
    """How many of the continuous monitors stand in alarm at the end of the window."""
    if monitors is None or monitors.empty:
        return ""
    last = monitors.groupby(["segment", "field"], dropna=False).tail(1)
    return f"{(last['verdict'] == 'drifted').sum()} of {len(last)} monitors"


def _names(checked: pd.DataFrame) -> list[str]:
    found = set(checked[checked["verdict"] == "drifted"]["field"])
    return [title for field, title in TITLES.items() if field in found]


def _without(title: str, page: str, now: Totals, otherwise: str) -> Tile:
    """No content is not the same as nothing evaluated."""
    calls, words = int(now["calls"]), no_content(now)
    if words:
        return Tile(title, words, "", "", page=page, words=True)
    return Tile(title, otherwise if calls else NONE, "", f"{count(calls)} calls", page=page, words=True)


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)
