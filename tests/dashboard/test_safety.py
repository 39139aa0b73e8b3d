"""The safety part of the Quality page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from streamlit.testing.v1 import AppTest

from dashboard.charts.safety import findings
from dashboard.components.safety import TITLES
from tests.dashboard import factory
from tests.dashboard.test_pages import html_of, open_page
from undertow.store.embedded import EmbeddedStore

Start = Callable[[Path], AppTest]


def test_findings_are_shares_of_the_calls_with_text() -> None:
    table = pd.DataFrame(
        {"x": [datetime(2026, 3, 2)] * 2, "name": ["personal_data", "policy"], "n": [2, 1], "calls": [50, 50]}
    )
    figure = findings(table, TITLES, (), (datetime(2026, 3, 1), datetime(2026, 3, 9)))
    assert {bar.name: list(bar.y) for bar in figure.data} == {"Personal data": [4.0], "Against a policy": [2.0]}


def test_without_a_run_the_page_names_the_command(filled: tuple[Path, Any], app_over: Start) -> None:
    text = html_of(open_page(app_over(filled[0]), "quality"))
    assert "The detectors have not run yet" in text
    assert "undertow analyze --only safety" in text


def test_groups_that_are_answered_differently_stand_on_the_page_with_interval_and_n(
    tmp_path: Path, app_over: Start
) -> None:
    shared = {"attribute": "disability", "outcome": "refusal", "verdict": "different", "gap": 0.6, "templates": 3}
    groups = [("deaf", 2, 0.02, 0.2), ("blind", 20, 0.5, 0.8)]
    rows = [
        {**shared, "p_value": 0.0005, "term": term, "n": 30, "count": count, "low": low, "high": high}
        for term, count, low, high in groups
    ]
    rows.append({"attribute": "age", "outcome": "refusal", "verdict": "insufficient", "term": None})
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    row = {"artifact_id": "bias", "kind": "bias", "version": "60", "created_at": datetime(2026, 3, 2)}
    with EmbeddedStore(tmp_path / "undertow.duckdb") as store:
        factory.fill(store, days=9, per_day=12)
        store.commit({"artifacts": pa.Table.from_pylist([{**row, "body": sink.getvalue().to_pybytes()}])}, key="bias")
    text = html_of(open_page(app_over(tmp_path), "quality"))
    assert "blind 67" in text
    assert "n 30" in text
    assert "different" in text
    assert "Too few answers yet: age" in text


def test_where_no_group_was_compared_the_page_names_the_command(filled: tuple[Path, Any], app_over: Start) -> None:
    text = html_of(open_page(app_over(filled[0]), "quality"))
    assert "undertow bias --export" in text


def test_what_was_found_stands_in_the_table_and_other_peoples_judgements_do_not(
    tmp_path: Path, app_over: Start
) -> None:
    with EmbeddedStore(tmp_path / "undertow.duckdb") as store:
        factory.fill(store, days=9, per_day=12)
        newest = "SELECT interaction_id FROM interactions ORDER BY start_time DESC LIMIT 3"
        calls = store.query(newest)["interaction_id"].to_pylist()
        rows = [
            {
                "evaluation_id": f"s{number}", "target_kind": "interaction", "target_id": call, "name": "personal_data",
                "value": 1.0, "label": "response: email", "evaluator": evaluator, "run_id": run,
            }
            for number, (call, evaluator, run) in enumerate(
                zip(calls, ("personal_data", "personal_data", "their-guard"), ("r", "r", None), strict=True)
            )
        ]  # fmt: skip
        store.commit({"evaluations": pa.Table.from_pylist(rows)}, key="test:safety")
    text = html_of(open_page(app_over(tmp_path), "quality"))
    row = text[text.index("Personal data") :][:120]
    assert ">2<" in row
