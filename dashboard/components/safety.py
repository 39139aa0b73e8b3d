"""The safety part of the Quality page: what the detectors found, how often, and the worst case of each."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import data, series
from dashboard.charts import base
from dashboard.charts import safety as charts
from dashboard.components import cards, text
from dashboard.formats import plain, wilson
from dashboard.screen import Screen

DAY_S = 86_400
TITLES = {
    "prompt_injection": "Attempts to take over",
    "document_injection": "Instructions in documents",
    "system_prompt_leakage": "System prompt given away",
    "personal_data": "Personal data",
    "offensive_language": "Offensive wording",
    "unsafe_tool_call": "Unsafe tool calls",
    "policy": "Against a policy",
    "context_access": "Forbidden documents",
}


def draw(screen: Screen, daily: pd.DataFrame) -> None:
    """Findings by day beside a table of the detectors.

    Parameters
    ----------
    daily : rows of :func:`dashboard.series.buckets` by day, for the calls with text.
    """
    now, past = (
        {row["name"]: row for row in data.rows("safety_found", screen.filters, window)}
        for window in (screen.window, screen.reference)
    )
    calls, before = (
        int(data.read("totals", screen.filters, window).iloc[0]["with_content"] or 0)
        for window in (screen.window, screen.reference)
    )
    left, right = st.columns(2, gap="large")
    with left:
        _chart(screen, daily, sum(row["found"] for row in now.values()), calls)
    with right:
        text.heading("What the detectors found", "share of calls with text, 95 % interval")
        st.html(_table(screen, now, past, calls, before))
        _worst(screen, now)


def _chart(screen: Screen, daily: pd.DataFrame, found: int, calls: int) -> None:
    table = data.read(
        "safety_days", screen.filters, screen.timeline(), width=DAY_S, origin=screen.origin(screen.timeline())
    )
    text.heading("Safety", f"findings by day, share of calls with text; {found:,} in {calls:,} calls of this window")
    if table.empty:
        ran = int(data.read("safety_runs")["n"].iloc[0])
        why = "The detectors found nothing in this time." if ran else "The detectors have not run yet."
        text.empty("Safety: nothing to show", why, "" if ran else "undertow analyze --only safety")
        return
    counted = daily[["bucket", "x", "with_content"]].rename(columns={"with_content": "calls"})
    shares = table.merge(counted, on="bucket")
    shares = shares[shares["calls"] > 0]
    figure = charts.findings(shares, TITLES, series.letters(screen), screen.local_range(screen.timeline()))
    st.plotly_chart(figure, config=base.CONFIG, height=260, key="safety")


def _table(
    screen: Screen, now: dict[str, dict[str, object]], past: dict[str, dict[str, object]], calls: int, before: int
) -> str:
    body = []
    for name, title in TITLES.items():
        row = now.get(name, {})
        found = int(str(row.get("found", 0)))
        rate, usual = wilson(found, calls), wilson(int(str(past.get(name, {}).get("found", 0))), before)
        newest = data.moment(row.get("newest"))
        unjudged = int(str(row.get("not_evaluated", 0)))
        body.append(
            (
                title,
                f"{found:,}",
                f"{rate.text} {rate.margin}" if found else rate.text,
                usual.text,
                f"{unjudged:,}" if unjudged else "",
                series.age(screen, newest) if newest else "",
            )
        )
    head = (("detector", "wide"), ("found ▾", "n"), ("share", "n"), ("before", "n"), ("not judged", "n"), ("age", "n"))
    return cards.table(head, sorted(body, key=lambda cells: -int(cells[1].replace(",", ""))))


def _worst(screen: Screen, now: dict[str, dict[str, object]]) -> None:
    """One link to the worst open case of each detector that found something."""
    worst = [(TITLES[name], str(row["worst"])) for name, row in now.items() if name in TITLES and row["worst"]]
    with st.container(gap=None):
        for title, key in worst[:4]:
            query = {**screen.filters.to_query(), "item": key}
            st.page_link("views/review.py", label=plain(f"Review the worst: {title.lower()}"), query_params=query)
