"""Answers and documents get topics of their own where they are asked for, and names that people gave stay."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from analysis.analyzer import Context, Shared
from analysis.analyzers.topics import Topics
from analysis.topics import TopicModel
from tests.integration.traffic import call
from undertow.search import load_vectors, pack_vectors
from undertow.settings import Settings
from undertow.store.embedded import EmbeddedStore
from undertow.text import content_hash

START = datetime(2026, 3, 2)
MODEL = "made:32"
SUBJECTS = ("refund policy", "opening hours", "delivery fee", "gift voucher")
AXES = np.linalg.qr(np.random.default_rng(3).normal(size=(32, 32)))[0]


class Named:
    name = MODEL


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path / "u.duckdb") as opened:
        yield opened


@pytest.fixture(autouse=True)
def map_without_layout_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What places rows on the map is tested elsewhere, and is slow to load."""
    monkeypatch.setattr("analysis.topics.map.FEWEST_ROWS_FOR_UMAP", 10**6)


def write(store: EmbeddedStore, numbers: range) -> None:
    """One call for each number, whose question, answer and document are of the same subject."""
    rng = np.random.default_rng(numbers.start)
    rows, documents, tables = [], [], {}
    fields: dict[str, list[str]] = {"prompt": [], "response": [], "document": []}
    for number in numbers:
        subject = SUBJECTS[number % 4]
        word = "".join(chr(97 + int(digit)) for digit in str(number))
        said = {"prompt": f"what about the {subject} {word}", "response": f"our {subject} is {word}"}
        document = f"all about the {subject}, part {word}"
        hashes = {f"{name}_text_hash": content_hash(text) for name, text in said.items()}
        row = call(number, START + timedelta(hours=number), **said, **hashes)
        rows.append(row)
        documents.append(given(row, document))
        for name, text in (*said.items(), ("document", document)):
            fields[name].append(text)
    vectors = AXES[[number % 4 for number in numbers]]
    for name, texts in fields.items():
        near = (vectors + 0.05 * rng.normal(size=vectors.shape)).astype(np.float32)
        tables[name] = pack_vectors([content_hash(text) for text in texts], name, MODEL, near)
    store.commit(
        {
            "interactions": pa.Table.from_pylist(rows),
            "documents": pa.Table.from_pylist(documents),
            "embeddings": pa.concat_tables(tables.values()),
        },
        key=f"rows {numbers}",
    )


def given(row: dict[str, Any], content: str) -> dict[str, Any]:
    return {
        "document_row_id": f"d{row['interaction_id']}",
        "interaction_id": row["interaction_id"],
        "rank": 0,
        "content_hash": content_hash(content),
        "content": content,
    }


def analyse(store: EmbeddedStore, fields: tuple[str, ...], after: int = 0) -> int:
    """Analyse what came after a commit; return the last commit that was seen."""
    head = int(store.query("SELECT max(load_seq) AS head FROM interactions").to_pylist()[0]["head"])
    settings = Settings.model_validate({"analysis": {"topic_fields": fields}})
    context = Context(store, settings, f"run{head}", START, after, head, shared=Shared(settings))
    context.shared.__dict__["embedder"] = Named()
    for number, batch in enumerate(Topics().run(context)):
        store.commit(batch.tables, delete=batch.delete, key=f"run{head}:{number}")
    return head


def assigned(store: EmbeddedStore, field: str) -> dict[str, int]:
    rows = store.query("SELECT interaction_id, topic_id FROM topic_assignments WHERE field = $field", {"field": field})
    return {row["interaction_id"]: row["topic_id"] for row in rows.to_pylist()}


def test_only_questions_are_divided_unless_more_is_asked_for(store):
    write(store, range(120))
    analyse(store, ("prompt",))
    assert store.query("SELECT DISTINCT field FROM topic_assignments").to_pylist() == [{"field": "prompt"}]


def test_every_field_has_topics_with_ids_of_its_own(store):
    write(store, range(120))
    analyse(store, ("prompt", "response", "document"))
    ids = [set(assigned(store, field).values()) - {-1} for field in ("prompt", "response", "document")]
    assert all(len(found) == 4 for found in ids)
    assert len(set.union(*ids)) == 12
    sizes = store.query("SELECT sum(size) AS n FROM topics WHERE level = 0 GROUP BY topic_id // 100").to_pylist()
    assert sum(row["n"] for row in sizes) > 0.85 * 360


def test_new_answers_go_to_the_topics_that_exist_and_a_refit_keeps_names_of_people(store):
    write(store, range(120))
    seen = analyse(store, ("prompt", "response"))
    before = assigned(store, "response")
    chosen = max(before.values())
    row = store.query("SELECT * FROM topics WHERE topic_id = $id", {"id": chosen}).to_pylist()[0]
    named = pa.Table.from_pylist([{**row, "label": "my own name", "label_source": "human"}])
    store.commit({"topics": named}, key="renamed")
    for numbers in (range(120, 140), range(140, 240)):
        write(store, numbers)
        seen = analyse(store, ("prompt", "response"), seen)
        after = assigned(store, "response")
        assert len(after) == numbers.stop
        assert set(after.values()) == set(before.values())
        kept = store.query("SELECT label FROM topics WHERE topic_id = $id", {"id": chosen}).to_pylist()
        assert kept == [{"label": "my own name"}]


def test_topics_of_every_field_go_on_under_another_embedding_model(store, monkeypatch):
    write(store, range(120))
    seen = analyse(store, ("prompt", "response"))
    before = {field: assigned(store, field) for field in ("prompt", "response")}
    write(store, range(120, 124))
    monkeypatch.setattr(Named, "name", "another:32")
    for field in before:
        hashes, X = load_vectors(store, field, MODEL)
        store.commit({"embeddings": pack_vectors(hashes.tolist(), field, "another:32", X[:, ::-1])}, key=field)
    analyse(store, ("prompt", "response"), seen)
    for field, topics in before.items():
        after = assigned(store, field)
        assert len(after) == 124
        assert set(after.values()) == set(topics.values()), "no topic is new, none is gone"
        assert np.mean([after[call] == topic for call, topic in topics.items()]) > 0.9
    events = store.query("SELECT event, count(*) AS n FROM topic_history GROUP BY event").to_pylist()
    assert events == [{"event": "born", "n": 8}]


def test_topics_form_themes_that_keep_their_ids_and_survive_storage():
    rng = np.random.default_rng(0)
    theme, topic = np.repeat(np.arange(4), 4), np.arange(16)
    centres = AXES[theme] + 0.7 * AXES[4 + topic]
    y = np.repeat(topic, 25)
    X = centres[y] + 0.04 * rng.normal(size=(len(y), 32))
    texts = [
        f"about {chr(97 + i)}{chr(97 + i)}{chr(97 + i)} {''.join(chr(97 + int(c)) for c in str(n))}"
        for n, i in enumerate(y)
    ]
    model = TopicModel(seed=0).fit(X, texts)
    assert 14 <= len(model.topics_) <= 18
    assert len(model.themes_) == 4
    assert {topic.parent_id for topic in model.topics_} == {found.topic_id for found in model.themes_}
    assert all(found.level == -1 and found.parent_id is None and found.label for found in model.themes_)
    again = TopicModel.from_arrays(model.to_arrays())
    assert again.themes_ == model.themes_
    again.refit(X, texts)
    assert {found.topic_id for found in again.themes_} == {found.topic_id for found in model.themes_}
