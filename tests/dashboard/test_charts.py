"""Figures: pure functions from tables."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from dashboard.charts import base, drift, series, topic_map
from dashboard.components import strips
from dashboard.palette import TOPIC_COLORS, topic_colors

START = datetime(2026, 3, 1)
RANGE = (START, START + timedelta(days=10))
LETTERS = [base.Letter("A", START + timedelta(days=3)), base.Letter("Z", START - timedelta(days=30))]


def checks() -> pd.DataFrame:
    rows = []
    for field in drift.FIELDS:
        for day in range(10):
            for segment, evidence in (("one", 0.4), ("two", 3.0 if day == 9 and field == "prompt" else 0.2)):
                rows.append(
                    {
                        "field": field,
                        "segment": segment,
                        "current_start": START + timedelta(days=day),
                        "middle": START + timedelta(days=day, hours=12),
                        "day_ms": 86_400_000.0,
                        "evidence": evidence,
                        "threshold": 2.0,
                        "verdict": "drifted" if evidence > 2 else "stable",
                        "sentence": "<b>sentence</b>",
                    }
                )
    return pd.DataFrame(rows)


def test_timeline_shows_the_loudest_service_of_each_day() -> None:
    best = drift.strongest(checks())
    assert len(best) == len(drift.FIELDS) * 10
    top = best.sort_values("ratio").iloc[-1]
    assert (top["field"], top["segment"], top["ratio"]) == ("prompt", "two", 1.5)


def test_strips_draw_letters_inside_the_range_only_and_escape_sentences() -> None:
    told = strips.html_of(drift.strongest(checks()), LETTERS, RANGE, START + timedelta(days=5))
    assert ">A</span>" in told
    assert ">Z</span>" not in told
    assert "<b>sentence" not in told
    assert told.count('class="bar drifted"') == 1
    assert 'class="past" style="width:50.00%"' in told
    assert 'aria-label="questions: 1 of 10 days drifted"' in told


def test_a_day_with_too_few_messages_tells_no_evidence() -> None:
    table = checks().assign(evidence=None, verdict="insufficient")
    told = strips.html_of(drift.strongest(table), LETTERS, RANGE, START)
    assert 'class="bar insufficient"' in told
    assert "nan" not in told


def test_charts_of_a_page_have_a_fixed_height_and_the_same_range() -> None:
    table = pd.DataFrame({"x": [START], "k": [1], "n": [2]})
    day = drift.strongest(checks())
    figures = [drift.evidence(day[day["field"] == "prompt"], [], RANGE), series.rate(table, [], RANGE)]
    assert all(figure.layout.height for figure in figures)
    assert all(tuple(figure.layout.xaxis.range) == RANGE for figure in figures)


def test_empty_tables_make_figures() -> None:
    empty = checks().iloc[:0]
    strips.html_of(drift.strongest(empty), LETTERS, RANGE, START)
    drift.evidence(drift.strongest(empty), LETTERS, RANGE)
    drift.contributions([], {})
    series.rate(pd.DataFrame({"x": [], "k": [], "n": []}), LETTERS, RANGE)
    series.latency(pd.DataFrame({"x": [], "p50": [], "p95": []}), LETTERS, RANGE)
    series.stacked_cost(pd.DataFrame({"x": [], "model": [], "cost": []}), [], LETTERS, RANGE, 86_400)
    series.worst_slices([])


def test_band_of_a_rate_does_not_bridge_days_without_cases() -> None:
    days = [START + timedelta(days=i) for i in range(5)]
    table = pd.DataFrame({"x": days, "k": [1, 1, 0, 1, 1], "n": [2, 2, 0, 2, 2]})
    figure = series.rate(table, [], RANGE, usual=0.5)
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    assert len(bands) == 2
    assert figure.data[-1].y[2] is None


def test_hollow_bars_are_changes_within_a_topic() -> None:
    rows = [
        {
            "topic_id": 1,
            "label": "a",
            "contribution": 0.6,
            "kind": "share",
            "share_reference": 0.0,
            "share_current": 0.2,
        },
        {
            "topic_id": 2,
            "label": "<i>b",
            "contribution": 0.2,
            "kind": "within",
            "share_reference": 0.1,
            "share_current": 0.1,
        },
    ]
    bar = drift.contributions(rows, {1: "#0072B2"}).data[0]
    assert list(bar.text) == ["changed within", "0.0 → 20.0 %"]
    assert bar.marker.color[0] == "rgba(0,0,0,0)"
    assert "<i>" not in "".join(bar.customdata)


def map_points(n: int = 5) -> pd.DataFrame:
    ids = [1, 1, 2, -1, None]
    return pd.DataFrame({"topic_id": [ids[i % 5] for i in range(n)], "x": range(n), "y": range(n), "prompt": "p"})


ONE = topic_map.Group("one", frozenset({1}), "#0072B2")


def map_option(points: pd.DataFrame, names: list[topic_map.Name], **more: Any) -> dict[str, Any]:
    option = topic_map.option(points, [ONE], names, "light", **more)
    json.dumps({key: value for key, value in option.items() if key != "dataset"}, allow_nan=False)
    return option


def test_map_keeps_outliers_and_smaller_topics_apart_from_the_coloured_ones() -> None:
    option = map_option(map_points(), [])
    assert [s["name"] for s in option["series"][:3]] == ["no topic", "smaller topic", "one"]
    assert [len(d["source"]) for d in option["dataset"]] == [1, 2, 2]


def test_map_of_many_points_draws_them_smaller_and_fainter_and_sends_no_text() -> None:
    few, many = map_option(map_points(), []), map_option(map_points(50_000).assign(prompt=None), [])
    (small, thin), (large, full) = (
        (option["series"][2]["symbolSize"], option["series"][2]["itemStyle"]["opacity"]) for option in (many, few)
    )
    assert small < large
    assert thin < full
    assert list(many["dataset"][2]["source"].columns) == ["x", "y"]
    assert list(few["dataset"][2]["source"].columns) == ["x", "y", "prompt"]


def test_a_heavier_name_has_the_larger_unseen_symbol_so_that_it_wins_where_names_overlap() -> None:
    names = [
        topic_map.Name("sub", 1, 1, 1.0, fine=True),
        topic_map.Name("small", 1, 1, 0.1),
        topic_map.Name("{large}", 1, 1, 0.9),
    ]
    fine, coarse = map_option(map_points(), names)["series"][-2:]
    assert [item["name"] for item in coarse["data"]] == ["{large}", "small"]
    sizes = [item["symbolSize"] for item in (*coarse["data"], *fine["data"])]
    assert sizes == sorted(sizes, reverse=True)


def test_the_map_leaves_room_for_the_names_at_its_edges() -> None:
    short, long = (
        map_option(map_points(1000), [topic_map.Name("n" * length, 999, 5, 0.5)])["xAxis"] for length in (4, 20)
    )
    width = long["max"] - long["min"]
    assert (long["max"] - 999) / width * 350 >= 20 * 7 / 2
    assert short["max"] - short["min"] < width


def test_with_an_area_selected_only_names_that_cannot_overlap_are_drawn() -> None:
    names = [topic_map.Name(f"a name of some length {i}", i % 20, i % 20, i / 100) for i in range(60)]
    option = map_option(map_points(20), names, selected=True)
    drawn = [item["name"] for series in option["series"][-2:] for item in series["data"]]
    assert 1 < len(drawn) <= 20
    assert drawn[0] == "a name of some length 59"


@pytest.mark.parametrize("grown", [1, 12])
def test_topic_keeps_its_colour_when_another_one_grows(grown: int) -> None:
    topics = [{"topic_id": i, "level": 0, "state": "stable", "size": 100 - i} for i in range(1, 11)]
    reordered = sorted(topics, key=lambda row: row["topic_id"] != grown)
    assert topic_colors(topics) == topic_colors(reordered)
    assert len(set(topic_colors(topics).values())) == len(TOPIC_COLORS)


def test_new_topic_has_a_colour_though_it_is_small() -> None:
    topics = [{"topic_id": i, "level": 0, "state": "stable", "size": 100 - i} for i in range(1, 15)]
    topics.append({"topic_id": 99, "level": 0, "state": "provisional", "size": 3})
    assert 99 in topic_colors(topics)
