"""Numbers, texts, claims and waterfalls as the screen shows them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import formats
from dashboard.components import claims, tile, waterfall
from dashboard.screen import Mark
from dashboard.summary import cause_of

NOW = datetime(2026, 3, 13, 11)


@given(st.integers(0, 500), st.integers(1, 500))
def test_interval_holds_the_share_and_stays_within_bounds(k: int, n: int) -> None:
    rate = formats.wilson(min(k, n), n)
    assert rate.low is not None and rate.high is not None and rate.share is not None
    assert 0 <= rate.low <= rate.share + 1e-12 and rate.share - 1e-12 <= rate.high <= 1


def test_no_cases_is_no_rate() -> None:
    rate = formats.wilson(0, 0)
    assert (rate.share, rate.text, rate.margin) == (None, "–", "")


def test_digits_follow_the_interval() -> None:
    assert formats.wilson(91, 100).text == "91\u202f%"
    assert formats.wilson(9100, 10_000).text == "91.0\u202f%"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "$0"), (41.239, "$41.24"), (1234.5, "$1,234"), (0.00123, "$0.0012"), (None, "–"), (float("nan"), "–")],
)
def test_money(value: float | None, text: str) -> None:
    assert formats.money(value) == text


@given(st.text())
def test_label_holds_no_live_markdown(text: str) -> None:
    shown = formats.plain(text)
    stripped = shown
    for special in r"\`*_{}[]()#+-.!|~$:<>&^=":
        stripped = stripped.replace(f"\\{special}", "")
    assert not set(stripped) & set("`*_{}[]()#+-.!|~$:<>&^=\\\n")


@given(st.text(max_size=200), st.lists(st.tuples(st.integers(-5, 220), st.integers(-5, 220)), max_size=6))
def test_answer_stays_whole_whatever_the_offsets_say(text: str, spans: list[tuple[int, int]]) -> None:
    marked = [
        {"start_char": a, "end_char": b, "verdict": "unsupported", "document_row_id": None, "evidence": None}
        for a, b in sorted(spans)
    ]
    html = claims.answer_html(text, [c for c in marked if c["start_char"] >= 0])
    for number in range(len(spans) + 1):
        html = html.replace(f"<sup>{number}</sup></span>", "")
    bare = (
        html.removeprefix('<div class="ut-text">')
        .removesuffix("</div>")
        .replace('<span class="ut-claim unsupported">', "")
    )
    assert bare == formats.escape(text)


def test_source_marks_the_closest_passage_and_names_the_claims() -> None:
    document = {"document_row_id": "d", "document_id": "<kb>", "rank": 1, "relevance": None, "content": "one two three"}
    shared = {"start_char": 0, "end_char": 1, "verdict": "unsupported", "document_row_id": "d"}
    evidence = ['{"text": "two", "start": 4, "end": 7}', '{"text": "two", "start": 4, "end": 7}', "broken"]
    html = claims.source_html(document, [{**shared, "evidence": item} for item in evidence])
    assert "one <mark>two</mark><sup>1,2</sup> three" in html
    assert "closest to claim 1, 2, 3" in html
    assert "&lt;kb&gt;" in html


def span(key: str, parent: str | None, start: float, length: float) -> dict[str, Any]:
    begin = NOW + timedelta(seconds=start)
    return {
        "span_id": key,
        "parent_span_id": parent,
        "name": f"<{key}>",
        "operation": "chat",
        "start_time": begin,
        "end_time": begin + timedelta(seconds=length),
        "duration_ms": length * 1000,
        "status": "OK",
        "error_type": None,
    }


def test_waterfall_puts_parents_first_and_loses_no_span() -> None:
    spans = [span("child", "root", 1, 1), span("root", None, 0, 3), span("orphan", "never", 2, 1)]
    spans += [span("loop1", "loop2", 4, 1), span("loop2", "loop1", 4, 1)]
    order = [(item["span_id"], depth) for item, depth in waterfall.in_tree_order(spans)]
    assert order[:3] == [("root", 0), ("child", 1), ("orphan", 0)]
    assert {key for key, _ in order} == {"child", "root", "orphan", "loop1", "loop2"}
    assert "&lt;root&gt;" in waterfall.html_of(spans, "root")


def test_sparkline_breaks_where_nothing_is_known() -> None:
    assert tile.sparkline([1.0], "a").startswith("<div")
    assert tile.sparkline([1.0, None, float("nan"), 2.0, 3.0], '"quoted"').startswith(
        '<img class="ut-spark" alt="&quot;quoted'
    )


def test_cause_is_the_nearest_change_of_the_hours_before() -> None:
    marks = [Mark("A", NOW - timedelta(days=3), "model x"), Mark("B", NOW - timedelta(minutes=20), "prompt p v1 → v2")]
    assert cause_of(NOW, marks) == "Prompt p v1 → v2 went live 20\u202fmin before (B)."
    assert cause_of(NOW - timedelta(days=1), marks) == "No change found just before."
    assert cause_of(NOW - timedelta(minutes=20), marks).endswith("at the same time (B).")
