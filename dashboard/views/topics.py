"""Topics: what people ask about, how it goes for each, the map, and on selection history and examples."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import streamlit as st

from dashboard import data, screen, search
from dashboard.components import cards, text, topic_detail, topic_map, topics
from dashboard.formats import count, escape, percent, stamp_html
from dashboard.hierarchy import ASSIGNED_LEVEL
from undertow.search import Field

PAGE = 12  # as high as the map, so that what a selected row opens is in sight
SEARCHED: dict[Field, str] = {"prompt": "Questions", "response": "Answers", "document": "Documents"}
now = screen.current()


def draw_table(rows: list[dict[str, Any]], title: str) -> int | None:
    """The table; returns the topic of the selected row."""
    picked = st.query_params.get("picked", "")
    place = next((index for index, row in enumerate(rows) if str(row["topic_id"]) == picked), 0)
    first, last = _page_of(len(rows), title, place)
    shown = rows[first:last]
    chosen = [index for index, row in enumerate(shown) if str(row["topic_id"]) == picked]
    counted = topics.is_counted(rows)
    event = st.dataframe(
        topics.frame(shown) if counted else topics.sizes(shown),
        column_config=topics.columns(),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": chosen}} if chosen else None,
        # A selection is a row number: other rows are another table.
        key=f"topics_{crc32(repr([row['topic_id'] for row in shown]).encode())}",
        height="content",
    )
    if not counted:
        st.html(f'<p class="ut-small">{title} are counted over all data at the last fit, whatever the filters say.</p>')
    selected = event["selection"]["rows"]
    if not selected or selected[0] >= len(shown):
        st.query_params.pop("picked", None)
        return None
    topic = int(shown[selected[0]]["topic_id"])
    st.query_params["picked"] = str(topic)
    return topic


def _page_of(total: int, title: str, place: int) -> tuple[int, int]:
    """The rows of a page; a link to a topic opens the page that it stands on."""
    if total <= PAGE + PAGE // 4:  # a second page of three rows is a nuisance
        return 0, total
    # A key of its own for each number of pages: page 3 of the topics is no page of the themes.
    page = st.pagination(-(-total // PAGE), default=place // PAGE + 1, key=f"topic_page_{title}_{total}")
    return (page - 1) * PAGE, page * PAGE


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


def draw_changes() -> None:
    """What happened to the topics since they were found first."""
    events = data.rows("topic_changes")
    if not events:
        return
    st.divider()
    text.heading(
        "What happened to the topics",
        "births, growth, fading, splits, merges and names since the first fit, newest first",
    )
    body = [
        (
            stamp_html(event["happened_at"], now.zone),
            escape(event["event"]),
            escape(event["sentence"]) + (" (provisional)" if event["state"] == "provisional" else ""),
        )
        for event in events
    ]
    st.html(cards.table((("when", "ut-when"), ("event", ""), ("what happened", "wide")), body))


def choose(name: str, title: str, options: list[Any], default: Any, labels: dict[Any, str]) -> Any:
    """A choice that is drawn only where there is one."""
    if len(options) < 2:
        return default
    return st.segmented_control(
        title,
        options,
        default=default,
        required=True,
        format_func=lambda value: labels.get(value, str(value)),
        label_visibility="collapsed",
        key=name,
    )


def _linked() -> int:
    """The topic that the address names, else one that does not exist."""
    picked = st.query_params.get("picked", "")
    return int(picked) if picked.isdecimal() else -1


def draw() -> None:
    """Draw the page; the map, which is heavy, last."""
    fields = topics.fields() or [topics.QUESTIONS]
    with st.container():
        lead = st.container()
        bar = st.container(horizontal=True, vertical_alignment="center")
    with bar:
        wanted = st.text_input(
            "Search", placeholder="Search topics", label_visibility="collapsed", key="search", width=260
        )
        usual_field = next((name for name in fields if _linked() in topics.hierarchy(name).rows), fields[0])
        field = choose("topic_field", "Topics of", fields, usual_field, topics.FIELDS)
        known = topics.hierarchy(field)
        titles = {level: known.title(level) for level in known.levels}
        usual = ASSIGNED_LEVEL if ASSIGNED_LEVEL in titles else next(iter(titles), ASSIGNED_LEVEL)
        linked = known.rows.get(_linked())
        level = choose("level", "Zoom", list(known.levels), int(linked["level"]) if linked else usual, titles)
    rows = topics.table_rows(now, known, field)
    if not rows:
        with lead:
            st.title("Topics")
            text.empty(
                "No topics yet",
                "Topics are found from the text of the questions, once there are enough.",
                "undertow analyze",
            )
        return
    with lead:
        text.lead(topics.sentence(now, [row for row in rows if row["level"] == usual]))
    needle = (wanted or "").strip().lower()
    shown = [row for row in rows if row["level"] == level and needle in f"{row['label']} {row['keywords']}".lower()]
    left, right = st.columns([0.6, 0.4], gap="medium")
    with left:
        picked = draw_table(shown, titles[level]) if shown else None
        if not shown:
            text.empty(f"No {titles[level].lower()} match “{wanted}”", "Find messages, below, searches their texts.")
        rest = _outside(field)
    if picked is not None:
        topic_detail.draw(picked, now, known, rows, field)
    elif rest is not None:
        topic_detail.draw_rest(rest, now, field)
    draw_search()
    draw_changes()
    with right:
        topic_map.draw(now, known, level, field)


def _outside(field: str) -> str | None:
    """What belongs to no topic: said in a sentence, and shown when asked for."""
    row = data.rows("not_in_topics", now.filters, now.window, field=field)[0]
    total = row["turns"] or 1
    lone, pending, wordless = (int(row[name] or 0) for name in ("outliers", "pending", "wordless"))
    words = [f"{count(lone)} turns ({percent(lone / total)}) belong to no topic"]
    words += [f"{count(pending)} are not assigned yet"] if pending else []
    words += [f"{count(wordless)} have no text"] if wordless else []
    options = [topic_detail.OUTLIERS] * (lone > 0) + [topic_detail.PENDING] * (pending > 0)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.html(
            f'<p class="ut-small">{", ".join(words)}. Select a row for its history and examples.</p>', width="content"
        )
        return _choice_of(options) if options else None


def _choice_of(options: list[str]) -> str | None:
    titles = {topic_detail.OUTLIERS: "Show what belongs to no topic", topic_detail.PENDING: "Show what is not assigned"}
    chosen: str | None = st.pills(
        "Outside the topics", options, format_func=lambda name: titles[name], label_visibility="collapsed", key="rest"
    )
    return chosen


draw()
