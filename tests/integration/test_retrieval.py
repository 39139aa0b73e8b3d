"""Relevance, use of documents and consistency over a small store, with the real embedding model."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from analysis.pipeline import Pipeline
from tests.integration.traffic import START, call
from undertow.settings import Settings
from undertow.store.embedded import EmbeddedStore
from undertow.text import content_hash

QUESTION = "How much does the debit card cost per month?"
CARD = "The debit card costs 2.50 euros per month. A replacement debit card costs 12 euros."
HOURS = "The branch in Harbour Street is open from nine to five on weekdays."
GOOD, WRONG = "The debit card costs 2.50 euros per month.", "The debit card costs 9.90 euros per month."
ONLY = ["embed", "retrieval", "consistency"]


def asked(number: int, answer: str, prompt: str = QUESTION, **columns: Any) -> dict[str, Any]:
    texts = {"prompt_hash": "a version", "prompt": prompt, "prompt_text_hash": content_hash(prompt), "response": answer}
    at = START + timedelta(minutes=number)
    return call(number, at, response_text_hash=content_hash(answer), **{**texts, **columns})


def documents(row: dict[str, Any], *contents: str) -> list[dict[str, Any]]:
    return [
        {
            "document_row_id": f"{row['trace_id']}:{rank}",
            "interaction_id": row["interaction_id"],
            "rank": rank,
            "content": content,
            "content_hash": content_hash(content),
        }
        for rank, content in enumerate(contents)
    ]


CALLS = [
    *(asked(n, GOOD) for n in range(3)),
    asked(3, WRONG),
    asked(4, GOOD, prompt="How much does the debit card cost for each month?"),
    asked(5, "Die Karte kostet 2,50 Euro im Monat.", prompt="Was kostet die Karte im Monat?", language="de"),
    asked(6, GOOD, prompt_hash="another version"),
    asked(
        7,
        "The weather at the coast stays mild and dry for the rest of this week, and the sea is calm.",
        prompt="what documents do I need to open an account",
    ),
]
GIVEN = [row for call_ in CALLS[:7] for row in documents(call_, CARD, HOURS)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path / "u.duckdb") as opened:
        opened.commit({"interactions": pa.Table.from_pylist(CALLS), "documents": pa.Table.from_pylist(GIVEN)}, key="t")
        runs = Pipeline(opened, Settings(data_dir=tmp_path), only=ONLY).run()
        assert {run.status for run in runs} == {"ok"}, runs
        yield opened


def judged(store: EmbeddedStore, name: str, kind: str = "interaction") -> dict[str, dict[str, Any]]:
    sql = "SELECT * FROM evaluations WHERE name = $name AND target_kind = $kind ORDER BY target_id"
    return {row["target_id"]: row for row in store.query(sql, {"name": name, "kind": kind}).to_pylist()}


def of(rows: dict[str, dict[str, Any]], number: int) -> dict[str, Any]:
    return rows[CALLS[number]["interaction_id"]]


def test_answers_and_documents_about_the_question_are_relevant_and_others_are_not(store) -> None:
    answers, context = judged(store, "answer_relevance"), judged(store, "context_relevance")
    assert of(answers, 0)["label"] == "relevant"
    assert of(answers, 7)["label"] == "irrelevant"
    assert of(context, 0)["label"] == "relevant"
    assert "1 of 2 documents" in of(context, 0)["explanation"]
    single = judged(store, "context_relevance", "document")
    first, second = (single[f"{CALLS[0]['trace_id']}:{rank}"]["value"] for rank in (0, 1))
    assert first > 0.9
    assert second < 0.1
    assert all(row["calibration_set"] for row in answers.values())


def test_use_of_the_context_names_the_documents_that_the_answer_took_from(store) -> None:
    single = judged(store, "context_utilisation", "document")
    assert [single[f"{CALLS[0]['trace_id']}:{rank}"]["label"] for rank in (0, 1)] == ["used", "unused"]
    assert 0 < of(judged(store, "context_utilisation"), 0)["value"] < 0.5


def test_where_text_or_language_is_missing_nothing_is_judged_and_the_reason_is_given(store) -> None:
    assert "no documents" in of(judged(store, "context_relevance"), 7)["explanation"]
    german = of(judged(store, "answer_relevance"), 5)
    assert (german["label"], german["value"]) == ("not_evaluated", None)
    assert "(de)" in german["explanation"]


def test_the_answer_that_says_otherwise_is_inconsistent_also_with_a_near_identical_question(store) -> None:
    rows = judged(store, "consistency")
    assert [of(rows, n)["label"] for n in range(5)] == ["consistent"] * 3 + ["inconsistent", "consistent"]
    assert "it says 9.9 where another says 2.5" in of(rows, 3)["explanation"]
    assert "answered 5 times" in of(rows, 4)["explanation"]


def test_a_question_answered_once_under_a_prompt_version_is_not_evaluated(store) -> None:
    rows = judged(store, "consistency")
    assert {of(rows, n)["label"] for n in (5, 6, 7)} == {"not_evaluated"}


def test_a_later_answer_changes_its_whole_group_and_running_again_changes_nothing(store, tmp_path) -> None:
    late = [asked(n, WRONG) for n in range(10, 20)]
    given = [row for call_ in late for row in documents(call_, CARD, HOURS)]
    store.commit({"interactions": pa.Table.from_pylist(late), "documents": pa.Table.from_pylist(given)}, key="late")
    pipeline = Pipeline(store, Settings(data_dir=tmp_path), only=ONLY)
    pipeline.run()
    rows = judged(store, "consistency")
    assert of(rows, 0)["label"] == "inconsistent"
    assert of(rows, 3)["label"] == "consistent"
    count = "SELECT count(*) AS n FROM evaluations"
    before = store.query(count).to_pylist()
    assert {run.status for run in pipeline.run()} == {"idle"}
    pipeline.run(since=timedelta(days=36_000))
    assert store.query(count).to_pylist() == before
