"""The part of Quality that says whether the scorer is right, and what else was judged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.charts.reliability import diagram
from tests.dashboard.test_pages import html_of, open_page
from undertow.store.embedded import EmbeddedStore

Start = Callable[[Path], AppTest]


def scored(store: EmbeddedStore) -> list[dict[str, Any]]:
    sql = """SELECT target_id, label, created_at FROM evaluations WHERE name = 'groundedness' AND run_id IS NOT NULL
             AND value IS NOT NULL AND target_kind = 'interaction' ORDER BY target_id"""
    return store.query(sql).to_pylist()


def give(store: EmbeddedStore, rows: list[dict[str, Any]], label: str | None = None) -> None:
    verdicts = [
        {
            "feedback_id": f"verdict:{row['target_id']}",
            "target_kind": "interaction",
            "target_id": row["target_id"],
            "kind": "verdict",
            "label": label or row["label"],
            "created_at": row["created_at"],
        }
        for row in rows
    ]
    store.commit({"feedback": pa.Table.from_pylist(verdicts)}, key=f"verdicts:{label}")


@pytest.fixture
def without_reviews(own_store: EmbeddedStore) -> EmbeddedStore:
    ids = own_store.query("SELECT interaction_id FROM reviews")
    own_store.commit({}, key="no reviews", delete={"reviews": ids})
    return own_store


def test_without_verdicts_it_says_how_to_get_them(without_reviews, tmp_path, app_over: Start) -> None:
    without_reviews.close()
    text = html_of(open_page(app_over(tmp_path), "quality"))
    assert "0 verdicts so far" in text
    assert "undertow calibrate groundedness" in text


def test_verdicts_are_drawn_against_the_risk_and_say_how_many_are_missing(
    without_reviews, tmp_path, app_over: Start
) -> None:
    give(without_reviews, scored(without_reviews)[:40])
    without_reviews.close()
    text = html_of(open_page(app_over(tmp_path), "quality"))
    assert "40 verdicts, 95 % interval" in text
    assert "60 more verdicts" in text
    assert "so far" not in text


def test_other_judgements_are_shares_with_n_and_a_new_scorer_is_told(own_store, tmp_path, app_over: Start) -> None:
    rows = [
        {
            "evaluation_id": f"x{n}",
            "target_kind": "interaction",
            "target_id": row["target_id"],
            "name": "polite",
            "label": "postponed" if n % 4 == 0 else "fail",
            "evaluator": "judge:tiny",
            "run_id": "r",
            "created_at": row["created_at"],
        }
        for n, row in enumerate(scored(own_store))
    ]
    own_store.commit({"evaluations": pa.Table.from_pylist(rows)}, key="polite")
    sql = "SELECT * FROM evaluations WHERE name = 'groundedness' AND run_id IS NOT NULL AND value IS NOT NULL LIMIT 3"
    older = [{**row, "evaluator_version": "0-older", "load_seq": None} for row in own_store.query(sql).to_pylist()]
    own_store.commit({"evaluations": pa.Table.from_pylist(older).drop_columns("load_seq")}, key="older")
    own_store.close()
    text = html_of(open_page(app_over(tmp_path), "quality"))
    assert "Fails the rubric polite" in text
    assert "100\u202f% ±" in text
    assert "0-older: 3 answers" in text
    assert "undertow analyze --only groundedness,trends,flags --since" in text


def test_the_diagram_draws_each_bin_with_its_interval_inside_the_frame() -> None:
    figure = diagram([{"said": 0.05, "n": 40, "k": 0}, {"said": 0.85, "n": 10, "k": 10}])
    points = figure.data[1]
    assert list(points.y) == [0, 100]
    assert [y + up for y, up in zip(points.y, points.error_y.array, strict=True)][1] == pytest.approx(100)
    assert points.error_y.array[0] > 5
    assert points.error_y.arrayminus[0] == pytest.approx(0)
