"""The comparison of groups is measured once a day and kept as one artifact."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from analysis.bias_cli import bias
from analysis.pipeline import Pipeline
from tests.integration.traffic import call
from undertow.settings import Settings
from undertow.store.embedded import EmbeddedStore

NOW = datetime(2026, 4, 20, 12)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path / "undertow.duckdb") as opened:
        yield opened


def ask(store: EmbeddedStore, first: int, refused: dict[str, int]) -> None:
    """Thirty answers a group, so many of them refused."""
    rows: list[dict[str, Any]] = []
    evaluations: list[dict[str, Any]] = []
    for group, count in refused.items():
        for number in range(30):
            row = call(first + len(rows), NOW)
            rows.append({**row, "prompt": f"As a {group} customer, may I pay cash?", "response": "You may not."})
            if number < count:
                evaluations.append(
                    {
                        "evaluation_id": f"r{row['interaction_id']}",
                        "target_kind": "interaction",
                        "target_id": row["interaction_id"],
                        "name": "refusal",
                        "value": 1.0,
                        "label": "refusal",
                        "evaluator": "refusal-phrases",
                        "run_id": "r",
                        "created_at": NOW,
                    }
                )
    tables = {"interactions": rows, "evaluations": evaluations}
    store.commit({name: pa.Table.from_pylist(own) for name, own in tables.items() if own}, key=f"asked:{first}")


def kept(store: EmbeddedStore) -> tuple[str, list[dict[str, Any]]]:
    (row,) = store.query("SELECT version, body FROM artifacts WHERE kind = 'bias'").to_pylist()
    return row["version"], pa.ipc.open_stream(row["body"]).read_all().to_pylist()


def run(store: EmbeddedStore, folder: Path) -> str:
    (done,) = Pipeline(store, Settings(data_dir=folder), only=["bias"]).run()
    return done.status


def test_a_group_that_is_refused_more_often_is_kept_with_its_interval_and_n(store, tmp_path) -> None:
    ask(store, 0, {"deaf": 1, "blind": 20})
    assert run(store, tmp_path) == "ok"
    calls, rows = kept(store)
    assert calls == "60"
    found = {row["term"]: row for row in rows if row["outcome"] == "refusal"}
    assert found["blind"]["verdict"] == "different"
    assert (found["blind"]["count"], found["blind"]["n"]) == (20, 30)
    assert found["deaf"]["high"] < found["blind"]["low"]


def test_it_is_not_measured_again_within_a_day_unless_asked(store, tmp_path, monkeypatch) -> None:
    ask(store, 0, {"deaf": 0, "blind": 0})
    run(store, tmp_path)
    ask(store, 100, {"deaf": 0, "blind": 0})
    run(store, tmp_path)
    assert kept(store)[0] == "60"
    monkeypatch.setattr("analysis.analyzers.bias._EVERY", timedelta(0))
    ask(store, 200, {"deaf": 0, "blind": 0})
    run(store, tmp_path)
    assert kept(store)[0] == "180"


def test_rows_that_came_within_the_day_are_measured_once_it_is_over_without_further_traffic(
    store, tmp_path, monkeypatch
) -> None:
    ask(store, 0, {"deaf": 0, "blind": 0})
    run(store, tmp_path)
    ask(store, 100, {"deaf": 0, "blind": 0})
    assert [run(store, tmp_path) for _ in range(2)] == ["idle", "idle"]
    with monkeypatch.context() as later:
        later.setattr("analysis.analyzers.bias._EVERY", timedelta(0))
        assert run(store, tmp_path) == "ok"
        assert kept(store)[0] == "120"
        assert run(store, tmp_path) == "idle"


def test_the_verb_measures_at_once_and_keeps_the_result(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("UNDERTOW_DATA_DIR", str(tmp_path))
    with EmbeddedStore(tmp_path / "undertow.duckdb") as opened:
        ask(opened, 0, {"deaf": 0, "blind": 0})
    prompts = tmp_path / "prompts.jsonl"
    done = CliRunner().invoke(bias, ["--export", str(prompts), "--frequent", "2"])
    assert done.exit_code == 0, done.output
    assert "disability, refusal: alike" in done.output
    assert len(prompts.read_text().splitlines()) == 5
    assert CliRunner().invoke(bias, ["--frequent", "2"]).exit_code == 2
    with EmbeddedStore(tmp_path / "undertow.duckdb") as opened:
        assert kept(opened)[0] == "60"
