"""`undertow calibrate groundedness` over a small store: too few, learned, applied, taken back."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from analysis.analyzers.groundedness import GroundednessAnalyzer
from analysis.calibrate_cli import calibrate
from analysis.pipeline import Pipeline
from analysis.scoring import configured_scorer, history_row, holding
from tests.integration.traffic import START, call
from undertow.clock import utc_now
from undertow.settings import Settings
from undertow.store.embedded import EmbeddedStore
from undertow.text import content_hash

DOCUMENT = "The standard card costs 2.50 euros a month. A replacement takes 5 days. Branches open at nine on Mondays."
EXTRA = " Minister Alder of Lufthansa approved 700 bonus miles in 1984."
ANSWERS = 130


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERTOW_DATA_DIR", str(tmp_path))
    with EmbeddedStore(tmp_path / "undertow.duckdb") as store:
        answers = [f"The standard card {n} costs 2.50 euros a month." + EXTRA * (n % 2) for n in range(ANSWERS)]
        calls = [call(n, START, response=text, response_text_hash=content_hash(text)) for n, text in enumerate(answers)]
        documents = [
            {"document_row_id": f"d{n}", "interaction_id": row["interaction_id"], "content": DOCUMENT, "rank": 0}
            | {"content_hash": content_hash(DOCUMENT)}
            for n, row in enumerate(calls)
        ]
        store.commit(
            {"interactions": pa.Table.from_pylist(calls), "documents": pa.Table.from_pylist(documents)}, key="c"
        )
        Pipeline(store, Settings(data_dir=tmp_path), only=["groundedness", "flags"]).run()
    return tmp_path


def give(folder: Path, numbers: range, **columns: Any) -> None:
    """Verdicts: what the extra sentence invents is ungrounded in three of four cases only."""
    rng = np.random.default_rng(0)
    wrong = rng.random(ANSWERS) < 0.25
    rows = [
        {
            "feedback_id": f"v{n}",
            "target_kind": "interaction",
            "target_id": call(n, START)["interaction_id"],
            "kind": "verdict",
            "label": "ungrounded" if (n % 2 == 1) != wrong[n] else "grounded",
            "created_at": START,
            **columns,
        }
        for n in numbers
    ]
    with EmbeddedStore(folder / "undertow.duckdb") as store:
        store.commit({"feedback": pa.Table.from_pylist(rows)}, key=f"verdicts:{numbers}:{columns}")


def run(*options: str) -> tuple[Result, dict[str, Any]]:
    result = CliRunner().invoke(calibrate, ["groundedness", *options, "--json"])
    return result, json.loads(result.stdout)


def stored(folder: Path) -> list[dict[str, Any]]:
    with EmbeddedStore(folder / "undertow.duckdb") as store:
        sql = "SELECT * FROM evaluations WHERE name = 'groundedness' ORDER BY target_id"
        return [{k: v for k, v in row.items() if k != "load_seq"} for row in store.query(sql).to_pylist()]


def test_with_too_few_verdicts_it_says_how_many_are_missing_and_changes_nothing(folder) -> None:
    give(folder, range(60))
    before = stored(folder)
    result, body = run("--apply")
    assert result.exit_code == 1
    assert (body["status"], body["missing"]["verdicts"]) == ("insufficient", 40)
    assert "40 more verdicts" in body["sentence"]
    assert stored(folder) == before


def test_what_was_withdrawn_or_is_about_another_flag_does_not_count(folder) -> None:
    give(folder, range(110))
    give(folder, range(20), label="withdrawn")
    give(folder, range(20, 30), label="confirmed")
    other = [
        {"interaction_id": call(n, START)["interaction_id"], "state": "resolved", "severity": 0.4}
        | {"reasons": '["Negative user feedback: 1 signal."]', "decided_by": "ada", "decided_at": START}
        for n in range(20, 30)
    ]
    with EmbeddedStore(folder / "undertow.duckdb") as store:
        store.commit({"reviews": pa.Table.from_pylist(other)}, key="reviews")
    assert run()[1]["missing"]["verdicts"] == 20


def test_decisions_of_review_about_groundedness_count_without_feedback(folder) -> None:
    decided = [
        {"interaction_id": call(n, START)["interaction_id"], "state": "resolved" if n % 2 else "archived"}
        | {
            "severity": 0.5,
            "reasons": '["Possibly ungrounded: 1 of 2 claims."]',
            "decided_by": "ada",
            "decided_at": START,
        }
        for n in range(ANSWERS)
    ]
    with EmbeddedStore(folder / "undertow.duckdb") as store:
        store.commit({"reviews": pa.Table.from_pylist(decided)}, key="reviews")
    body = run()[1]
    assert (body["status"], body["study"]["n"], body["study"]["positive"]) == ("learned", ANSWERS, ANSWERS // 2)


def test_learning_changes_nothing_until_it_is_applied(folder) -> None:
    give(folder, range(ANSWERS))
    before = stored(folder)
    result, body = run()
    assert (result.exit_code, body["status"], body["mapped_rows"]) == (0, "learned", 0)
    assert body["study"]["after"]["brier"]["value"] < body["study"]["before"]["brier"]["value"]
    assert stored(folder) == before


def test_applied_it_maps_what_is_stored_and_what_comes_later_and_says_so(folder) -> None:
    give(folder, range(ANSWERS))
    before = stored(folder)
    body = run("--apply")[1]
    after = stored(folder)
    assert body["mapped_rows"] == ANSWERS
    assert [row["uncalibrated"] for row in after] == [row["value"] for row in before]
    assert {row["calibration_set"] for row in after} == {f"{ANSWERS} human verdicts until {START.date()}"}
    assert all(row["evaluator_version"].endswith("+" + body["version"]) for row in after)
    order = np.argsort([row["value"] for row in before], kind="stable")
    assert (np.diff(np.array([row["value"] for row in after])[order]) >= -1e-9).all()
    own = Settings(data_dir=folder)
    with EmbeddedStore(folder / "undertow.duckdb") as store:
        # Scored anew, the answers get what mapping gave them.
        Pipeline(store, own, only=[GroundednessAnalyzer.name]).run(since=timedelta(days=36_000))
        scorer = configured_scorer(store, own)
        result = scorer.score("The standard card costs 9.99 euros a month.", [DOCUMENT])
    again = stored(folder)
    assert [row["value"] for row in again] == pytest.approx([row["value"] for row in after])
    assert [row["label"] for row in again] == [row["label"] for row in after]
    assert [row["explanation"] for row in again] == [row["explanation"] for row in after]
    assert (result.threshold, result.version) == (body["threshold_after"], again[0]["evaluator_version"])
    assert result.uncalibrated is not None


def test_taken_back_everything_is_as_before(folder) -> None:
    give(folder, range(ANSWERS))
    before = stored(folder)
    first = run("--apply")[1]
    mapped = stored(folder)
    give(folder, range(0, ANSWERS, 3), label="grounded")
    second = run("--apply")[1]
    assert first["version"] != second["version"]
    assert run("--apply")[1]["version"] == second["version"]  # the same once more is no further step
    assert run("--revert")[1]["version"] == first["version"]
    assert [row["value"] for row in stored(folder)] == pytest.approx([row["value"] for row in mapped])
    assert run("--revert")[1]["version"] == "none"
    assert stored(folder) == [{**row, "value": pytest.approx(row["value"])} for row in before]
    result, body = run("--revert")
    assert (result.exit_code, body["status"]) == (1, "nothing_to_revert")


def test_a_recalibration_of_another_version_of_the_scorer_is_not_used_and_says_so(folder, monkeypatch, caplog) -> None:
    give(folder, range(ANSWERS))
    run("--apply")
    monkeypatch.setattr("analysis.groundedness.lexical.LexicalScorer.version", "2-other")
    with EmbeddedStore(folder / "undertow.duckdb") as store:
        for _ in range(2):
            assert configured_scorer(store, Settings(data_dir=folder)).version == "2-other"
    assert caplog.text.count("so lexical 2-other judges with its own probability") == 1
    result, body = run()
    assert result.exit_code == 1
    assert "another scorer or version" in body["sentence"]


def test_taking_back_to_one_of_another_version_says_that_the_scorer_judges_by_itself(folder, monkeypatch) -> None:
    give(folder, range(ANSWERS))
    older = run("--apply")[1]["version"]
    monkeypatch.setattr("analysis.groundedness.lexical.LexicalScorer.version", "2-newer")
    with EmbeddedStore(folder / "undertow.duckdb") as store:
        held = holding(store)
        newer = replace(held.applied.recalibration, scorer_version="2-newer")
        store.commit({"artifacts": history_row(newer, held.artifact_id, utc_now())}, key="newer")
    sentence = run("--revert")[1]["sentence"]
    assert f"the scorer's own probability holds again ({older} belongs to lexical" in sentence


def test_applying_and_reverting_at_once_is_refused(folder) -> None:
    assert CliRunner().invoke(calibrate, ["groundedness", "--apply", "--revert"]).exit_code == 2
