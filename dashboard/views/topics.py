"""Topics: what people ask about, how it goes for each, the map, and on selection history and examples."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import streamlit as st

from dashboard import actions, data, screen, search
from dashboard.charts import topic_map
from dashboard.components import cards, text, topics
from dashboard.formats import count, escape, json_list, percent, stamp_html
from undertow.errors import StoreError
from undertow.search import Field

PAGE = 25
POINTS = 3_000
SEARCHED: dict[Field, str] = {"prompt": "Questions", "response": "Answers", "document": "Documents"}
now = screen.current()


def draw_table(rows: list[dict[str, Any]]) -> int | None:
    """The table; returns the topic of the selected row."""
    first, last = _page_of(len(rows))
    shown = rows[first:last]
    picked = st.query_params.get("picked", "")
    chosen = [index for index, row in enumerate(shown) if str(row["topic_id"]) == picked]
    event = st.dataframe(
        topics.frame(shown),
        column_config=topics.columns(),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": chosen}} if chosen else None,
        # A selection is a row number: other rows are another table.
        key=f"topics_{crc32(repr([row['topic_id'] for row in shown]).encode())}",
        height="content",
    )
    selected = event["selection"]["rows"]
    if not selected or selected[0] >= len(shown):
        st.query_params.pop("picked", None)
        return None
    topic = int(shown[selected[0]]["topic_id"])
    st.query_params["picked"] = str(topic)
    return topic


def _page_of(total: int) -> tuple[int, int]:
    if total <= PAGE:
        return 0, total
    page = st.pagination(-(-total // PAGE), key="topic_page")
    return (page - 1) * PAGE, page * PAGE


@st.fragment
def draw_map() -> None:
    """The map; a rectangle drawn on it lists what lies inside."""
    points = data.read("topic_points", now.filters, now.window, limit=POINTS)
    if points.empty:
        text.empty("No map yet", "The map is drawn by the analysis of topics.", "undertow analyze --only embed,topics")
        return
    centres = data.read("topics")[["topic_id", "x", "y"]].dropna()
    option = topic_map.option(points, now.labels, now.colors, centres)
    event = st.echarts_chart(
        option, height=430, key="map", on_select="rerun", alt="Map of questions; near points mean similar questions"
    )
    areas = [area for area in event["selection"]["areas"] if area.get("brush_type") == "rect"]
    if areas:
        (x0, x1), (y0, y1) = areas[0]["coord_range"]
        rows = data.rows("points_in", now.filters, now.window, x0=x0, x1=x1, y0=y0, y1=y1)
        text.heading("Inside the rectangle", f"newest {len(rows)}")
        _examples(rows, 5)


def draw_detail(topic: int) -> None:
    """Keywords, history, examples and the name of one topic."""
    found = data.rows("topic_row", topic=topic)
    if not found:
        return
    row = found[0]
    st.divider()
    left, right = st.columns([0.58, 0.42], gap="large")
    with left:
        color = now.colors.get(topic, "#9AA2A7")
        words = " · ".join(escape(word) for word in json_list(row["keywords"]))
        st.html(
            f'<p class="ut-h"><span class="ut-dot" style="background:{color}"></span>{escape(row["label"])}'
            f"<small>{words}</small></p>"
        )
        _examples(data.rows("topic_examples", now.filters, now.window, chosen=topic), 6)
    with right:
        text.heading("History")
        events = data.rows("topic_history", topic=topic)
        body = [(stamp_html(e["happened_at"], now.zone), escape(e["event"]), escape(e["sentence"])) for e in events]
        st.html(cards.table((("when", ""), ("event", ""), ("what happened", "wide")), body))
        _rename(topic, str(row["label"]))
        query = {**now.filters.narrowed(topic=topic).to_query()}
        st.page_link("views/overview.py", label="Restrict every page to this topic", query_params=query)


def draw_search() -> None:
    """Find messages by what they mean or say, within the filters of the page."""
    st.divider()
    text.heading("Find messages", "by meaning and by words, in the time and the filters above")
    with st.container(horizontal=True, vertical_alignment="center"):
        asked = st.text_input(
            "Find messages",
            placeholder="A word, or a sentence that means what you look for",
            label_visibility="collapsed",
            key="find",
            bind="query-params",
            width=440,
        )
        field = st.segmented_control(
            "In",
            list(SEARCHED),
            default="prompt",
            required=True,
            format_func=lambda name: SEARCHED[name],
            label_visibility="collapsed",
            key="find_in",
        )
    if not (asked or "").strip():
        return
    found, without_meaning = search.find(str(asked), field, now)
    if without_meaning:
        st.html(f'<p class="ut-small">Found by words alone: {escape(without_meaning)}</p>')
    if not found:
        text.empty("Nothing was found", "Other words, a wider time window or fewer filters may help.")
    left, right = st.columns(2, gap="large")
    for number, item in enumerate(found):
        with left if number % 2 == 0 else right:
            cards.found(item, now)


def _examples(rows: list[dict[str, Any]], limit: int) -> None:
    if not rows:
        text.empty("No example in this time", "Widen the time window to see one.")
    for row in rows[:limit]:
        cards.example(row, now, "Open", answer=True)


def _rename(topic: int, label: str) -> None:
    with st.form(f"rename_{topic}", border=False):
        name = st.text_input("Name of this topic", value=label, max_chars=80, key=f"name_{topic}")
        if st.form_submit_button("Rename") and name and name != label:
            try:
                actions.rename_topic(data.store(), topic, name, author=actions.author_name())
            except StoreError as error:
                text.empty("The name was not changed", str(error))
                return
            st.rerun()


def draw() -> None:
    """Draw the page."""
    rows = topics.table_rows(now)
    if not rows:
        st.title("Topics")
        text.empty(
            "No topics yet",
            "Topics are found from the text of the questions, once there are enough.",
            "undertow analyze",
        )
        return
    levels = sorted({row["level"] for row in rows})
    text.lead(topics.sentence(now, [row for row in rows if row["level"] == 0]))
    with st.container(horizontal=True, vertical_alignment="center"):
        wanted = st.text_input(
            "Search", placeholder="Search topics", label_visibility="collapsed", key="search", width=260
        )
        level = levels[0]
        if len(levels) > 1:
            names = {0: "Topics", 1: "Sub-topics"}
            level = st.segmented_control(
                "Zoom",
                levels,
                default=levels[0],
                required=True,
                format_func=lambda v: names.get(v, f"Level {v}"),
                label_visibility="collapsed",
                key="level",
            )
    needle = (wanted or "").lower()
    shown = [row for row in rows if row["level"] == level and needle in f"{row['label']} {row['keywords']}".lower()]
    left, right = st.columns([0.6, 0.4], gap="medium")
    with left:
        picked = draw_table(shown)
        hint = "Select a row for its history and examples, or draw a rectangle on the map."
        st.html(f'<p class="ut-small">{_outliers()} {hint}</p>')
    with right:
        draw_map()
    if picked is not None:
        draw_detail(picked)
    draw_search()


def _outliers() -> str:
    table = data.read("topic_table", now.filters, now.window)
    total = float(table["turns"].sum()) or 1.0
    lone = float(table[table["topic_id"] == -1]["turns"].sum())
    pending = float(table[table["topic_id"].isna()]["turns"].sum())
    return f"{count(lone)} turns ({percent(lone / total)}) belong to no topic, {count(pending)} are not assigned yet."


draw()
