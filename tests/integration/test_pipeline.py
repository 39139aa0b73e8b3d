"""The whole batch analysis over a real store file, with the real embedding model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from analysis.analyzer import Batch, Context, Shared
from analysis.pipeline import Pipeline
from analysis.turns import Turns, read_turns
from tests.integration.traffic import START, call, write_history
from undertow.errors import ConfigError
from undertow.settings import Settings
from undertow.store.embedded import EmbeddedStore
from undertow.text import content_hash

RESULTS = ("embeddings", "topics", "topic_assignments", "drift", "evaluations", "claims", "costs", "rollups", "reviews")


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedStore, Settings]]:
    folder = tmp_path_factory.mktemp("pipeline")
    settings = Settings(data_dir=folder)
    with EmbeddedStore(folder / "undertow.duckdb") as store:
        write_history(store)
        runs = Pipeline(store, settings).run()
        assert {run.status for run in runs} <= {"ok", "idle"}, runs
        yield store, settings


def one(store: EmbeddedStore, sql: str) -> dict[str, object]:
    return store.query(sql).to_pylist()[0]


def test_every_text_has_one_vector(analysed) -> None:
    store, _ = analysed
    found = one(
        store,
        "SELECT (SELECT count(DISTINCT prompt_text_hash) FROM interactions) AS texts,"
        " (SELECT count(*) FROM embeddings WHERE field = 'prompt') AS vectors",
    )
    assert found["texts"] == found["vectors"]


def test_a_new_subject_is_a_provisional_topic_of_the_days_in_which_it_came(analysed) -> None:
    store, _ = analysed
    (topic,) = store.query("SELECT * FROM topics WHERE state = 'provisional'").to_pylist()
    assert "instant payment" in topic["label"]
    assert (topic["first_seen"] - START).days == 37
    members = one(
        store,
        "SELECT avg(CAST(contains(prompt, 'instant payment') AS INTEGER)) AS purity FROM interactions"
        f" JOIN topic_assignments USING (interaction_id) WHERE topic_id = {topic['topic_id']}",
    )
    assert members["purity"] > 0.9
    assert one(store, "SELECT count(*) AS n FROM alert_events WHERE alert_id = 'builtin:new_topic'")["n"] == 1


def test_the_questions_drifted_when_the_new_subject_came_and_the_sentence_names_it(analysed) -> None:
    store, _ = analysed
    rows = store.query("SELECT * FROM drift WHERE field = 'prompt' AND verdict = 'drifted'").to_pylist()
    hit = [row for row in rows if (row["current_start"] - START).days >= 37]
    assert hit
    assert any("instant payment" in row["sentence"] for row in hit)
    assert all(row["p_value"] <= 0.01 and row["n_reference"] > row["n_current"] > 0 for row in hit)


def test_false_alarms_of_drift_are_rare_in_the_quiet_weeks(analysed) -> None:
    store, _ = analysed
    found = one(
        store,
        "SELECT count(DISTINCT CAST(current_start AS DATE)) AS days FROM drift WHERE verdict = 'drifted'"
        f" AND current_start < TIMESTAMP '{START}' + INTERVAL 37 DAY",
    )
    assert found["days"] <= 2  # of 36 tested days at a false-discovery rate of 1 %


def test_invented_answers_are_ungrounded_with_their_claims_and_in_the_queue(analysed) -> None:
    store, _ = analysed
    found = one(
        store,
        "SELECT count(*) AS answers, count(*) FILTER (e.label = 'ungrounded') AS ungrounded,"
        " count(*) FILTER (r.state = 'open') AS queued, count(DISTINCT c.interaction_id) AS with_claims"
        " FROM interactions i JOIN evaluations e ON e.target_id = i.interaction_id AND e.name = 'groundedness'"
        " LEFT JOIN reviews r USING (interaction_id) LEFT JOIN claims c ON c.interaction_id = i.interaction_id"
        " AND c.verdict = 'unsupported' WHERE contains(i.response, 'Minister')",
    )
    assert found["answers"] == found["ungrounded"] == found["queued"] == found["with_claims"] == 10
    others = one(
        store,
        "SELECT avg(CAST(label = 'grounded' AS INTEGER)) AS share FROM evaluations JOIN interactions"
        " ON target_id = interaction_id WHERE name = 'groundedness' AND NOT contains(response, 'Minister')",
    )
    assert others["share"] > 0.99


def test_claims_point_into_their_answer_and_document(analysed) -> None:
    store, _ = analysed
    rows = store.query(
        "SELECT c.*, i.response, d.content FROM claims c JOIN interactions i USING (interaction_id)"
        " LEFT JOIN documents d USING (document_row_id) LIMIT 50"
    ).to_pylist()
    for row in rows:
        assert row["response"][row["start_char"] : row["end_char"]] == row["text"]
        if row["evidence"]:
            passage = json.loads(row["evidence"])
            assert row["content"][passage["start"] : passage["end"]] == passage["text"]


def test_a_second_run_changes_nothing(analysed) -> None:
    store, settings = analysed
    before = {table: one(store, f"SELECT count(*) AS n FROM {table}")["n"] for table in RESULTS}
    runs = Pipeline(store, settings).run()
    assert {run.status for run in runs} == {"idle"}
    assert {table: one(store, f"SELECT count(*) AS n FROM {table}")["n"] for table in RESULTS} == before


def test_analysing_again_what_was_analysed_gives_the_same_rows(analysed) -> None:
    store, settings = analysed
    before = {table: one(store, f"SELECT count(*) AS n FROM {table}")["n"] for table in RESULTS}
    Pipeline(store, settings, only=["drift", "groundedness", "cost", "flags"]).run(since=timedelta(days=36_500))
    assert {table: one(store, f"SELECT count(*) AS n FROM {table}")["n"] for table in RESULTS} == before


def test_late_traffic_is_picked_up_by_its_sequence_not_its_time(analysed) -> None:
    store, settings = analysed
    write_history(store, days=1, per_day=3, seed=9)  # ids of the first day again, later in sequence
    runs = {run.analyzer: run for run in Pipeline(store, settings, only=["cost", "groundedness"]).run()}
    assert runs["cost"].rows == runs["groundedness"].rows == 3


def test_a_pass_over_a_new_day_reads_its_weeks_alone_and_counts_and_shows_topics_as_before(
    analysed, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, settings = analysed
    Pipeline(store, settings).run()
    before = {row["topic_id"]: row for row in store.query("SELECT * FROM topics").to_pylist()}
    day, oldest = START + timedelta(days=41), []

    def watched(*args: Any, **bounds: Any) -> Turns:
        turns = read_turns(*args, **bounds)
        oldest.append(turns.frame["start_time"].min())
        return turns

    monkeypatch.setattr("analysis.analyzers.topics.read_turns", watched)
    monkeypatch.setattr("analysis.study.read_turns", watched)
    calls = [call(10_000_000 + n, day + timedelta(minutes=n), prompt=f"my card {n}") for n in range(3)]
    calls = [{**row, "prompt_text_hash": content_hash(row["prompt"])} for row in calls]
    store.commit({"interactions": pa.Table.from_pylist(calls)}, key="a new day")
    runs = Pipeline(store, settings).run()
    assert {run.analyzer: run.rows for run in runs}["topics"] == 3
    assert len(oldest) == 3  # topics, drift and its monitor
    assert all(at >= day - timedelta(days=36) for at in oldest)
    after = {row["topic_id"]: row for row in store.query("SELECT * FROM topics").to_pylist()}
    assert after.keys() == before.keys()
    counted = store.query(
        "SELECT topic_id, count(*) AS size, min(start_time) AS first_seen, max(start_time) AS last_seen"
        " FROM topic_assignments JOIN interactions USING (interaction_id) GROUP BY ALL"
    ).to_pylist()
    turns = sum(row["size"] for row in counted)
    for row in counted:
        if row["topic_id"] >= 0:
            topic = after[row["topic_id"]]
            assert {name: topic[name] for name in row} == row
            assert topic["share"] == pytest.approx(row["size"] / turns)
    assert all(after[id_]["exemplars"] == row["exemplars"] for id_, row in before.items())
    assert any(row["exemplars"] != "[]" for row in before.values())


def test_turns_within_bounds_are_those_of_all_turns(analysed) -> None:
    store, settings = analysed
    context = Context(store, settings, "r", START, 0, 10**6, shared=Shared(settings))
    start, end = START + timedelta(days=5, hours=3), START + timedelta(days=9)
    whole, part = read_turns(context), read_turns(context, start=start, end=end)
    inside = ((whole.frame["start_time"] >= start) & (whole.frame["start_time"] < end)).to_numpy()
    assert 0 < len(part) < len(whole)
    assert part.frame["interaction_id"].tolist() == whole.frame.loc[inside, "interaction_id"].tolist()
    for field, vectors in part.vectors.items():
        assert np.array_equal(vectors, whole.vectors[field][inside], equal_nan=True)


def test_topics_go_on_under_another_embedding_model_with_their_ids_and_names(analysed) -> None:
    store, settings = analysed
    free = store.query("SELECT max(topic_id) + 1 AS free FROM topic_history").to_pylist()[0]["free"]
    before = store.query("SELECT * FROM topics WHERE level = 0").to_pylist()
    renamed = max(before, key=lambda row: row["size"])
    artifacts = store.query("SELECT * FROM artifacts WHERE kind IN ('centroids', 'map')").to_pylist()
    version = {**json.loads(artifacts[0]["version"]), "model": "another"}
    store.commit(
        {
            "topics": pa.Table.from_pylist([{**renamed, "label": "my name", "label_source": "human"}]),
            "artifacts": pa.Table.from_pylist([{**row, "version": json.dumps(version)} for row in artifacts]),
        },
        key="another model",
    )
    write_history(store, days=1, per_day=1, seed=11)
    Pipeline(store, settings, only=["topics"]).run()
    topics = {row["topic_id"]: row for row in store.query("SELECT * FROM topics WHERE level = 0").to_pylist()}
    assert topics[renamed["topic_id"]]["label"] == "my name"
    assert renamed["topic_id"] in {
        row["topic_id"] for row in store.query("SELECT DISTINCT topic_id FROM topic_assignments").to_pylist()
    }
    known = {row["topic_id"] for row in before}
    assert len(known & set(topics)) > len(known) / 2
    assert all(topic >= free for topic in set(topics) - known), "an id is never used for another topic"


class Broken:
    name = "broken"
    version = "1"
    requires: tuple[str, ...] = ()

    def run(self, context: Context) -> Iterator[Batch]:
        yield Batch({}, rows=1)
        raise RuntimeError("it broke")


class Dependent(Broken):
    name = "dependent"
    requires = ("broken",)


class Independent(Broken):
    name = "independent"

    def run(self, context: Context) -> Iterator[Batch]:
        yield Batch({}, rows=2)


def test_a_failed_analyzer_is_recorded_skips_what_needs_it_and_stops_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.pipeline.ANALYZERS", (Broken(), Dependent(), Independent()))
    with EmbeddedStore(tmp_path / "u.duckdb") as store:
        runs = Pipeline(store, Settings(data_dir=tmp_path)).run()
        assert [(run.analyzer, run.status) for run in runs] == [
            ("broken", "failed"),
            ("dependent", "skipped"),
            ("independent", "ok"),
        ]
        ledger = store.query("SELECT analyzer, status, watermark, error FROM runs ORDER BY analyzer").to_pylist()
    assert ledger[0] == {"analyzer": "broken", "status": "failed", "watermark": 0, "error": "RuntimeError: it broke"}
    assert ledger[2]["status"] == "ok"


def test_an_unknown_analyzer_is_named(tmp_path: Path) -> None:
    with (
        EmbeddedStore(tmp_path / "u.duckdb") as store,
        pytest.raises(ConfigError, match="no analyzer nonsense; the analyzers are embed"),
    ):
        Pipeline(store, Settings(data_dir=tmp_path), only=["nonsense"])


def test_an_empty_store_gives_no_rows_and_no_failure(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "u.duckdb") as store:
        runs = Pipeline(store, Settings(data_dir=tmp_path)).run()
        assert {run.status for run in runs} == {"idle"}
