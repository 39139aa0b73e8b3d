"""What replaced what is discovered from spans: prompts, models, documents, embedding models, deployments."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analysis.pipeline import Pipeline
from tests.integration.test_loader import Plant
from tests.telemetry_factory import START_NS, chat, retrieval, spans_body
from undertow.settings import Settings

DAY_MS = 86_400_000
DAYS, CHANGED = 12, 9
SEND_S = 20
BEGAN = datetime.fromtimestamp(START_NS / 1e9, UTC).replace(tzinfo=None)


def day_of_traffic(day: int) -> bytes:
    """One question of a day; from day nine on everything about the service is another."""
    new = day >= CHANGED
    given = [{"id": f"d{n}", "content": f"Text {n} of {'the new' if new else 'the old'} index."} for n in range(10)]
    instructions = "Answer stiffly." if new else "Answer kindly."
    at, trace = day * DAY_MS, f"{day + 1:032x}"
    about: dict[str, Any] = {
        "gen_ai.prompt.name": "answer",
        "gen_ai.system_instructions": [{"type": "text", "content": instructions}],
        "gen_ai.request.model": "gpt-5" if new else "gpt-4o-mini",
    }
    embedding = {"gen_ai.operation.name": "embeddings", "gen_ai.provider.name": "openai"}
    return spans_body(
        {"id": 1, "trace": trace, "name": "turn", "start": at, "end": at + 90},
        {"id": 2, "parent": 1, "trace": trace, "name": "embeddings", "start": at + 1, "end": at + 5}
        | {"attributes": embedding | {"gen_ai.request.model": f"embed-{2 if new else 1}"}},
        retrieval(3, given, parent=1, trace=trace, start=at + 10, end=at + 20),
        chat(4, parent=1, trace=trace, start=at + 30, end=at + 80, extra=about),
        resource={"service.name": "shop", "service.version": "1.1" if new else "1.0"},
    )


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """What the pipeline wrote into `changes`, after it ran twice."""
    folder: Path = tmp_path_factory.mktemp("changes")
    plant = Plant(folder)
    for day in range(DAYS):
        plant.intake.submit("traces", day_of_traffic(day), encoding="protobuf").durable.result(SEND_S)
    plant.load().flushed().result(SEND_S)
    for _ in range(2):
        assert not [
            run for run in Pipeline(plant.store, Settings(data_dir=folder), only=["prompts"]).run() if run.error
        ]
    yield plant.rows('SELECT kind, name, before, after, "at", source, service_name FROM changes ORDER BY kind')
    plant.close()


def test_each_kind_is_discovered_once_with_its_service(changes) -> None:
    kinds = [row["kind"] for row in changes]
    assert kinds == ["deployment", "embedding_model", "knowledge_base", "model", "prompt"]
    assert {row["source"] for row in changes} == {"telemetry"}
    assert {row["service_name"] for row in changes} == {"shop"}


@pytest.mark.parametrize(
    ("kind", "name", "before", "after"),
    [
        ("deployment", "shop", "1.0", "1.1"),
        ("embedding_model", "shop", "embed-1", "embed-2"),
        ("model", "shop", "gpt-4o-mini", "gpt-5"),
    ],
)
def test_a_change_names_what_was_replaced_by_what(changes, kind: str, name: str, before: str, after: str) -> None:
    (row,) = [row for row in changes if row["kind"] == kind]
    assert (row["name"], row["before"], row["after"]) == (name, before, after)


def test_a_prompt_without_a_version_is_told_apart_by_its_hash(changes) -> None:
    (row,) = [row for row in changes if row["kind"] == "prompt"]
    assert row["name"] == "answer"
    assert row["before"] != row["after"]
    assert len(row["after"]) == 8


def test_new_texts_of_known_documents_are_a_change_of_the_knowledge_base(changes) -> None:
    (row,) = [row for row in changes if row["kind"] == "knowledge_base"]
    assert row["after"].startswith("10 new texts from ")


def test_a_change_is_dated_when_it_was_first_seen(changes) -> None:
    first = BEGAN + timedelta(days=CHANGED)
    assert all(first <= row["at"] <= first + timedelta(minutes=1) for row in changes)
