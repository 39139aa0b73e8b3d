"""Quality: groundedness, refusals, errors and feedback over time with intervals, and the worst slices."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import data, screen, series
from dashboard.charts import base
from dashboard.charts import series as charts
from dashboard.components import bias, safety, text, trust
from dashboard.formats import percent, wilson

MIN_SLICE = 10
DAY_S = 86_400
now = screen.current()

# Title, what is counted, out of what, what is missing when there is nothing to divide by.
RATES = (
    ("Grounded answers", "grounded", "evaluated", "No answer was evaluated", "undertow analyze --only groundedness"),
    ("Negative feedback", "down", "thumbs", "No feedback has arrived; send it to POST /v1/feedback", ""),
    ("Refusals", "refusals", "with_content", "No calls", ""),
    ("Errors", "errors", "calls", "No calls", ""),
)


def draw_rate(spec: tuple[str, str, str, str, str], table: pd.DataFrame, totals: pd.Series, past: pd.Series) -> None:
    """One rate over time; the dashed line is the reference."""
    title, counted, of, missing, command = spec
    rate, usual = wilson(totals[counted], totals[of]), wilson(past[counted], past[of])
    if not float(table[of].sum()):
        text.heading(title)
        why = why_nothing(of, totals) or missing
        text.empty(f"{title}: nothing to show", why, "" if why != missing else command)
        return
    before = f", reference {usual.text}" if usual.share is not None else ""
    text.heading(title, f"{rate.text} {rate.margin} of {rate.n:,}{before}, by day, 95 % interval")
    part = pd.DataFrame({"x": table["x"], "k": table[counted], "n": table[of]})
    figure = charts.rate(part, series.letters(now), now.local_range(now.timeline()), usual.share)
    st.plotly_chart(figure, config=base.CONFIG, height=190, key=f"rate_{counted}")


def why_nothing(of: str, totals: pd.Series) -> str:
    """Why nothing could be judged, where a command would not help."""
    reason = totals["why_not_evaluated"]
    if of == "evaluated" and isinstance(reason, str):
        return f"No answer could be judged, most often because {reason}."
    hollow = int(totals["without_content"])
    if hollow and of in ("evaluated", "with_content"):
        return f"no content ({hollow:,} calls): nothing can be judged without text."
    return ""


def slices() -> list[dict[str, Any]]:
    """Slices with enough answers, by the lower end of their interval."""
    rows = [
        {"name": f"{row['slice']}: {row['name']}", "k": row["ungrounded"], "n": row["evaluated"]}
        for row in data.rows("slices", now.filters, now.window)
        if row["name"] is not None and row["evaluated"] >= MIN_SLICE
    ]
    return sorted(rows, key=lambda r: -(wilson(r["k"], r["n"]).low or 0))


def draw_slices(rows: list[dict[str, Any]]) -> None:
    """The slices whose answers are least grounded."""
    text.heading(
        "Where answers are least grounded",
        f"share not grounded, slices of {MIN_SLICE} or more",
    )
    if not rows:
        text.empty("No slice is large enough", f"A slice is shown from {MIN_SLICE} evaluated answers on.")
        return
    st.plotly_chart(charts.worst_slices(rows), config=base.CONFIG, height=260, key="slices")
    st.page_link("views/review.py", label="Review flagged answers", query_params=now.filters.to_query())


def sentence(rows: list[dict[str, Any]]) -> str:
    """Groundedness against the reference and the worst slice, in words."""
    totals = data.read("totals", now.filters, now.window).iloc[0]
    past = data.read("totals", now.filters, now.reference).iloc[0]
    rate, usual = wilson(totals["grounded"], totals["evaluated"]), wilson(past["grounded"], past["evaluated"])
    if rate.share is None:
        return f"No answer was evaluated for groundedness among {int(totals['calls']):,} calls of this time."
    text_now = f"{rate.text} {rate.margin} of {rate.n:,} evaluated answers are grounded"
    if (
        usual.share is not None
        and usual.low is not None
        and usual.high is not None
        and rate.low is not None
        and rate.high is not None
    ):
        apart = rate.high < usual.low or rate.low > usual.high
        text_now += f" (before: {usual.text})" if apart else f", about as before ({usual.text})"
    if rows and (wilson(rows[0]["k"], rows[0]["n"]).low or 0) > 1 - rate.share:
        worst = rows[0]
        text_now += f"; worst is {worst['name']}, where {percent(worst['k'] / worst['n'])} of {worst['n']} are not"
    return text_now + "."


def draw() -> None:
    """Draw the page."""
    rows = slices()
    text.lead(sentence(rows))
    table = series.buckets(now, now.timeline(), DAY_S)
    totals, past = (data.read("totals", now.filters, window).iloc[0] for window in (now.window, now.reference))
    left, right = st.columns(2, gap="large")
    for index, spec in enumerate(RATES):
        with left if index % 2 == 0 else right:
            draw_rate(spec, table, totals, past)
    text.marks(now)
    trust.draw_versions(now)
    safety.draw(now, table)
    left, right = st.columns(2, gap="large")
    with left:
        draw_slices(rows)
    with right:
        text.heading("Latency", "seconds per day")
        figure = charts.latency(
            table.dropna(subset=["p95"]), series.letters(now), now.local_range(now.timeline()), height=260
        )
        st.plotly_chart(figure, config=base.CONFIG, height=260, key="latency")
    left, right = st.columns(2, gap="large")
    with left:
        trust.draw_reliability(now)
    with right:
        trust.draw_judgements(now)
        trust.draw_documents(now, MIN_SLICE)
    bias.draw(now)


draw()
