"""Overview: what changed, in words; six measures; when; what moved most; what needs a person."""

from __future__ import annotations

import streamlit as st

from dashboard import data, screen, series, telemetry
from dashboard.charts import drift
from dashboard.components import cards, content, strips, text, tile
from dashboard.filters import Window
from dashboard.formats import escape, json_list, percent, points, shorten, wilson
from dashboard.summary import headline
from dashboard.tiles import no_content, rates_line, tiles_of

now = screen.current()


def hollow() -> str:
    """What stands in place of what needs text, when no call of this time carries any."""
    words = no_content(data.read("totals", now.filters, now.window).iloc[0])
    return words[:1].upper() + words[1:]


def draw_tiles() -> None:
    """Six tiles, each opening its page with the same filters."""
    current = data.read("totals", now.filters, now.window).iloc[0]
    past = data.read("totals", now.filters, now.reference).iloc[0]
    buckets = series.steps(now, now.window)
    checked = data.read("drift_in", window=now.window, service=now.filters.service)
    monitors = data.read("monitors_in", window=now.window, service=now.filters.service)
    with st.container(key="tiles"):
        for column, item in zip(st.columns(6), tiles_of(now, current, past, buckets, checked, monitors), strict=True):
            with column:
                tile.draw(item, now.filters.to_query())
    st.html(f'<p class="ut-small">{escape(rates_line(current, past))}</p>')


def draw_timeline() -> None:
    """Evidence of each field over two weeks at least, with the changes as letters."""
    span = now.timeline()
    checked = data.read("drift_in", window=span, service=now.filters.service)
    text.heading(
        "Evidence of drift by field", "bars against the threshold (dashed); red passed it; shaded: before this window"
    )
    if checked.empty and hollow():
        text.empty(hollow(), "Drift is looked for in the text of questions and answers.")
        return
    if checked.empty:
        text.empty(
            "No drift checks in this time",
            "The analysis compares each day with the weeks before it, once there is enough past.",
            "undertow analyze",
        )
        return
    table = series.drift_days(now, drift.strongest(checked))
    ends = series.drift_range(now, table, span)
    st.html(strips.html_of(table, series.letters(now), ends, now.local(now.window.start)))
    text.marks(now)


def draw_moved() -> None:
    """Topics whose share changed most against the reference."""
    text.heading("What moved most", f"share of turns, against {now.reference.days:.0f} days before")
    rows = data.rows("moved_topics", now.filters, Window(now.reference.start, now.window.end), split=now.window.start)
    if not rows and hollow():
        text.empty(hollow(), "Topics are found from the text of the questions.")
        return
    if not rows:
        text.empty(
            "No topics yet", "Topics are found from the text of the questions.", "undertow analyze --only embed,topics"
        )
        return
    ids = [json_list(row["exemplars"])[:1] for row in rows]
    texts = data.texts([i[0] for i in ids if i])
    body = []
    for row, exemplar in zip(rows, ids, strict=True):
        share, before = wilson(row["now"], row["n_now"]), wilson(row["before"], row["n_before"])
        example = texts.get(exemplar[0], {}).get("prompt") if exemplar else None
        fresh = f" {text.status('watch', 'new')}" if row["state"] == "provisional" or not row["before"] else ""
        color = now.colors.get(int(row["topic_id"]), "#9AA2A7")
        body.append(
            (
                f'<span class="ut-dot" style="background:{color}"></span>{escape(row["label"])}{fresh}'
                f'<br><span class="ut-small">{escape(shorten(example or "", 70))}</span>',
                f'<span title="n = {share.n}">{share.text}</span>',
                f'<span title="before: {percent(before.share or 0, 1)}">{points(share.share, before.share)}</span>',
            )
        )
    st.html(cards.table((("topic", "wide"), ("share", "n"), ("change", "n")), body))


def draw_queue() -> None:
    """The head of the review queue."""
    rows = data.rows("queue_head", now.filters, now.window)
    text.heading("What needs a person", "most severe first")
    if not rows:
        text.empty("Nothing waits for review", "No answer of this time is flagged and undecided.")
        return
    body = []
    for row in rows:
        reason = (json_list(row["reasons"]) or ["flagged"])[0]
        body.append(
            (
                text.status("unsupported" if row["severity"] >= 0.7 else "watch", f"{row['severity']:.2f}"),
                f"{escape(shorten(row['prompt'] or 'no content', 80))}"
                f'<br><span class="ut-small">{escape(reason)}</span>',
                series.age(now, row["start_time"]),
            )
        )
    st.html(cards.table((("severity", "n"), ("question and reason", "wide"), ("age", "n")), body))
    with st.container(horizontal=True, gap="medium"):
        st.page_link("views/review.py", label="Open the queue", query_params=now.filters.to_query())
        st.page_link("views/interaction.py", label="All calls", query_params=now.filters.to_query())


def draw() -> None:
    """Draw the page."""
    sentence, also = headline(now)
    text.lead(sentence, also)
    content.notice(telemetry.without_content(now.filters))
    draw_tiles()
    draw_timeline()
    left, right = st.columns(2, gap="large")
    with left:
        draw_moved()
    with right:
        draw_queue()


draw()
