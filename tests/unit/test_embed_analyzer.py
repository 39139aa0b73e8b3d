"""Each distinct text is embedded once, whatever carries it, and a run that was killed goes on where it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from analysis.analyzer import Context, Shared
from analysis.analyzers import embed
from tests.integration.traffic import call
from undertow.embedding import Progress
from undertow.settings import Settings
from undertow.store.embedded import EmbeddedStore
from undertow.text import content_hash

START = datetime(2026, 3, 2)


class Counting:
    """Remembers what it was asked for."""

    name = "counting:2"
    dim = 2

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str], *, progress: Progress | None = None) -> np.ndarray:
        self.asked += texts
        if progress:
            progress(len(texts), len(texts))
        return np.array([[len(text), 1.0] for text in texts], np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path / "u.duckdb") as opened:
        yield opened


def write(store: EmbeddedStore, number: int, prompt: str, response: str, document: str) -> None:
    said = {"prompt": prompt, "response": response}
    hashes = {f"{name}_text_hash": content_hash(text) for name, text in said.items()}
    row = call(number, START + timedelta(hours=number), **said, **hashes)
    given = {
        "document_row_id": f"d{number}",
        "interaction_id": row["interaction_id"],
        "content_hash": content_hash(document),
        "content": document,
    }
    tables = {"interactions": pa.Table.from_pylist([row]), "documents": pa.Table.from_pylist([given])}
    store.commit(tables, key=f"row {number}")


def embedded(store: EmbeddedStore, batches: int | None = None) -> list[str]:
    """Run the analyzer, or only so many batches of it as a killed run leaves; return the texts it embedded."""
    counting, shown = Counting(), []
    settings = Settings()
    context = Context(
        store, settings, "run", START, 0, 10, shared=Shared(settings), report=lambda *at: shown.append(at)
    )
    context.shared.__dict__["embedder"] = counting
    for number, batch in enumerate(embed.Embed().run(context)):
        if number == batches:
            break
        store.commit(batch.tables, key=f"{len(store.query('SELECT * FROM embeddings'))}:{number}")
    assert batches is not None or not counting.asked or shown[-1][0] == shown[-1][1]
    return counting.asked


def vectors(store: EmbeddedStore) -> dict[str, int]:
    return {
        row["field"]: row["n"]
        for row in store.query("SELECT field, count(*) AS n FROM embeddings GROUP BY field").to_pylist()
    }


def test_a_text_in_several_fields_or_calls_is_embedded_once_and_has_a_vector_in_each(store):
    write(store, 1, "same", "same", "same")
    write(store, 2, "same", "another answer", "a document")
    assert sorted(embedded(store)) == ["a document", "another answer", "same"]
    assert vectors(store) == {"prompt": 1, "response": 2, "document": 2}
    write(store, 3, "a document", "same", "another answer")
    assert embedded(store) == []
    assert vectors(store) == {"prompt": 2, "response": 2, "document": 3}
    stored = store.query("SELECT count(DISTINCT vector) AS n FROM embeddings GROUP BY content_hash").to_pylist()
    assert stored == [{"n": 1}] * 3


def test_a_killed_run_goes_on_where_it_was(store, monkeypatch):
    monkeypatch.setattr(embed, "_BATCH", 2)
    for number in range(4):
        write(store, number, f"question {number}", f"answer {number}", f"document {number}")
    embedded(store, batches=3)
    before = vectors(store)
    assert sum(before.values()) == 6
    rest = embedded(store)
    assert len(rest) == 6
    assert vectors(store) == {"prompt": 4, "response": 4, "document": 4}
    assert embedded(store) == []
