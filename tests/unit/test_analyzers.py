"""What analyzers do when traffic comes late, changes, or stays away; small stores, no embedding model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import analysis.pipeline
from analysis.pipeline import Pipeline
from tests.integration.traffic import call
from undertow.settings import Settings
from undertow.store import data_version
from undertow.store.embedded import EmbeddedStore

NOW = datetime(2026, 4, 20, 12)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path / "u.duckdb") as opened:
        yield opened


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def commit(store: EmbeddedStore, **tables: list[dict[str, Any]]) -> None:
    store.commit({name: pa.Table.from_pylist(rows) for name, rows in tables.items()}, key=f"test:{data_version(store)}")


def rows(store: EmbeddedStore, sql: str) -> list[dict[str, Any]]:
    return store.query(sql).to_pylist()


def evaluation(id_: str, target: str, name: str, **columns: Any) -> dict[str, Any]:
    row = {"evaluation_id": id_, "target_kind": "interaction", "target_id": target, "name": name, "run_id": None}
    return {**row, "value": None, "label": None, "evaluator": None, "created_at": NOW, **columns}


def thumb(number: int, target: str, value: float | None) -> dict[str, Any]:
    row = {"feedback_id": f"f{number}", "target_kind": "interaction", "target_id": target, "kind": "thumb"}
    return {**row, "value": value, "created_at": NOW}


# --- What is read -------------------------------------------------------------------------------


def test_analysing_the_last_day_again_leaves_nothing_older_unanalysed(store, settings) -> None:
    old, recent = datetime(2026, 3, 2, 9), analysis.pipeline.utc_now() - timedelta(hours=2)
    commit(store, interactions=[call(1, old), call(2, recent)])
    Pipeline(store, settings, only=["cost"]).run(since=timedelta(hours=24))
    Pipeline(store, settings, only=["cost"]).run()
    assert rows(store, "SELECT count(*) AS n FROM costs") == [{"n": 2}]


def test_analysing_the_past_again_reads_what_was_analysed_before(store, settings) -> None:
    recent = analysis.pipeline.utc_now() - timedelta(hours=2)
    commit(store, interactions=[call(1, datetime(2026, 3, 2, 9)), call(2, recent)])
    Pipeline(store, settings, only=["cost"]).run()
    (run,) = Pipeline(store, settings, only=["cost"]).run(since=timedelta(hours=24))
    assert run.rows == 1


def test_a_document_without_text_keeps_its_number_in_citations(store, settings) -> None:
    said = "Dogs are not allowed on board [2]. Tickets cost 24 euros [1]."
    texts = [None, "Dogs are not allowed on board."]
    documents = [
        {"document_row_id": f"d{rank}", "interaction_id": "t:a", "trace_id": "t", "rank": rank, "content": text}
        for rank, text in enumerate(texts)
    ]
    answer = {**call(1, NOW), "interaction_id": "t:a", "response": said, "response_text_hash": "h", "language": "en"}
    commit(store, interactions=[answer], documents=documents)
    Pipeline(store, settings, only=["groundedness"]).run()
    found = rows(store, "SELECT verdict, document_row_id FROM claims ORDER BY start_char")
    assert [row["verdict"] for row in found] == ["supported", "unsupported"]
    assert found[0]["document_row_id"] == "d1"


def test_a_thumb_without_a_value_counts_as_nothing(store, settings) -> None:
    commit(store, interactions=[call(1, NOW)], feedback=[thumb(1, call(1, NOW)["interaction_id"], None)])
    Pipeline(store, settings, only=["trends", "flags"]).run()
    assert rows(store, "SELECT * FROM rollups WHERE metric = 'feedback_negative'") == []
    assert rows(store, "SELECT * FROM reviews") == []


def test_evaluations_of_others_with_the_names_of_ours_change_nothing(store, settings) -> None:
    target = call(1, NOW)["interaction_id"]
    own = {"value": 0.1, "label": "ungrounded", "run_id": "r", "evaluator": "lexical"}
    other = {"value": 0.9, "label": "ungrounded", "evaluator": "their judge"}
    commit(
        store,
        interactions=[call(1, NOW)],
        evaluations=[
            evaluation("1", target, "groundedness", **own),
            evaluation("2", target, "groundedness", **other),
            evaluation("3", target, "groundedness", **other),
            evaluation("4", target, "refusal", **other),
        ],
    )
    runs = Pipeline(store, settings, only=["trends", "flags"]).run()
    assert [run.status for run in runs] == ["ok", "ok"]
    (review,) = rows(store, "SELECT * FROM reviews")
    assert "risk 0.90" in review["reasons"]
    assert "refuses" not in review["reasons"]
    counted = {row["metric"]: (row["n"], row["total"]) for row in rows(store, "SELECT * FROM rollups")}
    assert counted["ungrounded"] == (1, 1.0)
    assert counted["refusals"] == (1, 0.0)
    assert counted["tokens"][0] == 1


def test_the_share_of_a_call_in_its_turn_counts_all_calls_of_the_turn(store, settings) -> None:
    late, later = datetime(2026, 4, 1, 9, 59), datetime(2026, 4, 1, 10, 1)
    commit(store, interactions=[call(1, late, turn_id="t")])
    Pipeline(store, settings, only=["trends"]).run()
    commit(store, interactions=[call(2, later, turn_id="t")])
    Pipeline(store, settings, only=["trends"]).run()
    found = rows(store, "SELECT hour, total FROM rollups WHERE metric = 'turns' ORDER BY hour")
    assert [row["total"] for row in found] == [0.5, 0.5]


# --- Nothing new --------------------------------------------------------------------------------


def test_an_analyzer_that_found_nothing_is_not_behind_and_an_idle_pass_writes_nothing(store, settings) -> None:
    commit(store, interactions=[call(1, NOW, operation="embeddings", response=None, prompt=None)])
    names = ["groundedness", "refusals", "cost", "trends", "alerts", "flags"]
    for expected in ({"ok", "idle"}, {"idle"}, {"idle"}):
        assert {run.status for run in Pipeline(store, settings, only=names).run()} == expected
        seen = rows(store, "SELECT analyzer, max(watermark) AS seen FROM runs WHERE status = 'ok' GROUP BY ALL")
        assert {row["analyzer"] for row in seen} == set(names)
        assert min(row["seen"] for row in seen) >= 1
    version = data_version(store)
    Pipeline(store, settings, only=names).run()
    assert data_version(store) == version
    commit(store, interactions=[call(2, NOW, operation="embeddings", response=None, prompt=None)])
    Pipeline(store, settings, only=names).run()
    ledger = rows(store, "SELECT run_id FROM runs WHERE run_id LIKE 'idle:%' AND analyzer = 'groundedness'")
    assert ledger == [{"run_id": "idle:groundedness"}]


# --- Judgements that no longer hold -------------------------------------------------------------


def test_an_answer_that_no_longer_refuses_loses_its_refusal(store, settings) -> None:
    commit(store, interactions=[call(1, NOW, response="I'm sorry, but I can't help with that request.")])
    Pipeline(store, settings, only=["refusals"]).run()
    assert rows(store, "SELECT label FROM evaluations") == [{"label": "refusal"}]
    commit(store, interactions=[call(1, NOW, response="The card costs EUR 2.50 per month.")])
    Pipeline(store, settings, only=["refusals"]).run()
    assert rows(store, "SELECT label FROM evaluations") == []


@pytest.mark.parametrize(("taken", "left"), [({}, 0), ({"decided_by": "ada"}, 1), ({"assignee": "ada"}, 1)])
def test_a_review_that_nothing_speaks_for_any_more_is_closed_unless_a_person_took_it_up(
    store, settings, taken, left
) -> None:
    commit(store, interactions=[call(1, NOW, status="ERROR", error_type="timeout")])
    Pipeline(store, settings, only=["flags"]).run()
    (review,) = rows(store, "SELECT * FROM reviews")
    commit(store, reviews=[{**review, **taken}])
    commit(store, interactions=[call(1, NOW)])
    Pipeline(store, settings, only=["flags"]).run()
    assert len(rows(store, "SELECT * FROM reviews")) == left


# --- Alerts -------------------------------------------------------------------------------------


def failures(first_hour: int, hours: int, start: int = 1000) -> list[dict[str, Any]]:
    day = datetime(2026, 4, 10)
    return [
        call(start + n, day + timedelta(hours=first_hour + n % hours, minutes=n % 60), status="ERROR")
        for n in range(20 * hours)
    ]


def usual() -> list[dict[str, Any]]:
    return [
        call(n, datetime(2026, 4, 1) + timedelta(days=n // 50, hours=8 + n % 10), status="OK") for n in range(10 * 50)
    ]


def test_a_burst_that_grows_stays_one_alert_and_is_told_anew(store, settings) -> None:
    commit(store, interactions=usual() + failures(10, 2))
    Pipeline(store, settings, only=["trends", "alerts"]).run()
    (first,) = rows(store, "SELECT * FROM alert_events")
    for more in (failures(12, 2, 2000), failures(9, 1, 3000)):  # it goes on; and it had begun earlier
        commit(store, interactions=more)
        Pipeline(store, settings, only=["trends", "alerts"]).run()
    (grown,) = rows(store, "SELECT * FROM alert_events")
    assert grown["event_id"] == first["event_id"]
    facts = json.loads(grown["evidence"])
    assert facts["start"] == "2026-04-10T09:00:00"
    assert facts["end"] == "2026-04-10T14:00:00"
    assert facts["value"] == 100
    assert grown["happened_at"] == datetime(2026, 4, 10, 9)


def test_an_alert_whose_burst_is_gone_stays(store, settings) -> None:
    commit(store, interactions=usual() + failures(10, 2))
    Pipeline(store, settings, only=["trends", "alerts"]).run()
    told = rows(store, "SELECT * FROM alert_events")
    commit(store, interactions=[{**row, "status": "OK"} for row in failures(10, 2)])
    Pipeline(store, settings, only=["trends", "alerts"]).run()
    assert rows(store, "SELECT * FROM alert_events") == told


def test_the_sentence_of_a_burst_speaks_the_time_of_the_configured_zone(store, settings) -> None:
    commit(store, interactions=usual() + failures(21, 2))
    berlin = settings.model_copy(update={"timezone": "Europe/Berlin"})
    Pipeline(store, berlin, only=["trends", "alerts"]).run()
    (alert,) = rows(store, "SELECT * FROM alert_events")
    assert "from Fri 10 Apr 23:00 to Sat 11 Apr 01:00" in alert["sentence"]
    assert alert["happened_at"] == datetime(2026, 4, 10, 21)


def drift_row(day: datetime, verdict: str) -> dict[str, Any]:
    return {
        "drift_id": f"bank:prompt:{day:%Y-%m-%d}",
        "field": "prompt",
        "segment": "bank",
        "current_start": day,
        "current_end": day + timedelta(days=1),
        "effect": 0.2,
        "p_value": 0.001,
        "sentence": "Prompts changed.",
        "verdict": verdict,
    }


def test_drift_of_a_day_is_alerted_when_the_day_is_over_even_if_nothing_new_came(store, settings, monkeypatch) -> None:
    day = datetime(2026, 4, 20)
    commit(store, interactions=[call(1, day)], drift=[drift_row(day, "drifted")])
    for hour, expected in ((12, 0), (24, 1), (36, 1)):
        monkeypatch.setattr(analysis.pipeline, "utc_now", lambda hour=hour: day + timedelta(hours=hour))
        Pipeline(store, settings, only=["trends", "alerts"]).run()
        assert len(rows(store, "SELECT * FROM alert_events")) == expected
