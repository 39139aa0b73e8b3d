"""The Drift page: monitors, segments, other windows, pinning and acknowledging."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import data
from tests.dashboard.test_pages import html_of, open_page

Start = Callable[[Path], AppTest]


@pytest.fixture
def app(filled: tuple[Path, Any], tmp_path: Path, app_over: Start) -> AppTest:
    """The page over a copy of the factory's rows, with an alarmed monitor and a segment added."""
    folder = tmp_path / "data"
    shutil.copytree(filled[0], folder)
    return app_over(folder)


def add_monitor(parent: dict[str, Any]) -> None:
    kept = {name: parent[name] for name in ("field", "segment", "current_start", "current_end", "reference_start")}
    kept |= {"reference_end": parent["reference_end"], "run_id": "r", "n_current": 40, "n_reference": 400}
    monitor = kept | {
        "drift_id": "m", "statistic": "monitor", "value": 1e5, "evidence": 5.0, "threshold": 2.0, "verdict": "drifted",
        "sentence": "Prompts of bank-assistant have moved away from those of March", "parent_id": None,
    }  # fmt: skip
    segment = kept | {
        "drift_id": "s",
        "statistic": "mmd",
        "value": 1.0,
        "evidence": 3.0,
        "threshold": 2.0,
        "verdict": "drifted",
        "sentence": "model x: changed",
        "parent_id": parent["drift_id"],
        "effect": 0.2,
        "p_value": 0.001,
    }
    segment |= {"segment": "model=gpt-small"}
    data.store().commit(
        {"drift": pa.Table.from_pylist([monitor | {"effect": None, "p_value": 1e-5}, segment])}, key="added"
    )


def rows(sql: str) -> list[dict[str, Any]]:
    return data.store().query(sql).to_pylist()


def alarmed() -> dict[str, Any]:
    sql = "SELECT * FROM drift WHERE verdict = 'drifted' AND field = 'prompt' ORDER BY current_start DESC LIMIT 1"
    return rows(sql)[0]


def test_monitors_and_segments_stand_beside_the_daily_evidence_and_count_as_neither_days_nor_fields(
    app: AppTest,
) -> None:
    open_page(app, "drift", field="prompt")
    add_monitor(alarmed())
    app.run()
    text = html_of(app)
    assert "have moved away from those of March" in text
    assert "model gpt-small" in text
    assert len([option for option in app.selectbox[-1].options if "bank-assistant" in option]) == 8
    app.switch_page("views/overview.py").run()
    overview = html_of(app)
    assert "2 of 4" in overview
    assert "1 of 1 monitors" in overview


def test_an_acknowledged_alarm_says_so_and_stands_in_the_audit_log(app: AppTest) -> None:
    open_page(app, "drift", field="prompt")
    add_monitor(alarmed())
    app.run()
    app.button(key="ack-bank-assistant").click().run()
    assert "Acknowledged" in html_of(app)
    assert json.loads(rows("SELECT arguments FROM requests")[0]["arguments"])["field"] == "prompt"
    assert rows("SELECT action FROM audit_log WHERE action LIKE 'drift%'") == [{"action": "drift.acknowledge"}]


def test_a_pinned_reference_can_be_unpinned(app: AppTest) -> None:
    open_page(app, "drift", field="prompt")
    app.button(key="pin").click().run()
    pinned = json.loads(rows("SELECT arguments FROM requests")[0]["arguments"])
    assert datetime.fromisoformat(pinned["end"]) - datetime.fromisoformat(pinned["start"]) == timedelta(days=28)
    app.button(key="unpin").click().run()
    assert len(rows("SELECT * FROM requests WHERE kind = 'pin'")) == 2
    assert app.button(key="pin")


def asked(app: AppTest) -> dict[str, Any]:
    open_page(app, "drift", field="prompt")
    app.text_input(key="compare_a").set_value("14d")
    app.text_input(key="compare_b").set_value("24h")
    next(button for button in app.button if button.label == "Compare").click().run()
    assert not app.exception
    return rows("SELECT * FROM requests")[0]


def put(row: dict[str, Any], **changed: Any) -> None:
    table = pa.Table.from_pylist([{name: value for name, value in (row | changed).items() if value is not None}])
    data.store().commit({"requests": table}, key=f"put:{changed}")


def test_a_comparison_that_nobody_takes_says_that_no_analysis_runs(app: AppTest) -> None:
    row = asked(app)
    assert row["state"] == "asked"
    assert json.loads(row["arguments"]) == {"reference": "14d", "current": "24h", "field": "prompt", "service": None}
    assert "Waiting for the analysis" in html_of(app)
    put(row, requested_at=row["requested_at"] - timedelta(seconds=30))
    app.run()
    assert "No analysis is running" in html_of(app)


def test_a_finished_comparison_is_told_with_its_interval_and_a_failed_one_with_its_reason(app: AppTest) -> None:
    row = asked(app)
    contribution = {"topic_id": 3, "label": "<b>cards</b>", "kind": "share", "share_reference": 0.01}
    result = {
        "verdict": "drifted", "sentence": "Since Tue 14:00, everything changed.", "effect": 0.07,
        "effect_interval": [0.05, 0.09], "method": "session permutation", "exemplars": [{"question": "why <i>now</i>"}],
        "contributions": [contribution | {"share_current": 0.08, "contribution": 0.6}],
    }  # fmt: skip
    put(row, state="done", result=json.dumps(result))
    app.run()
    text = html_of(app)
    assert "everything changed" in text
    assert "95 % interval 0.050 to 0.090" in text
    assert "<b>cards</b>" not in text
    assert "<i>now</i>" not in text
    put(row, state="failed", error="'x' selects nothing")
    app.run()
    assert "selects nothing" in html_of(app)
