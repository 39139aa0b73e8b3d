"""The loader moves each journaled record into the store exactly once, whatever fails on the way."""

from __future__ import annotations

import errno
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from collector.assemble import assemble, response_ids, span_rows
from collector.courtesy import Courtesy, Pace
from collector.intake import Intake
from collector.journal import Journal
from collector.loader import Loader
from collector.normalise import normalise_logs, normalise_traces
from collector.records import Assembled, Record
from collector.segments import SEGMENT_HEADER
from collector.server import Collector
from collector.telemetry import Telemetry
from tests.integration.running import free_port, new_trace, trace_request
from tests.telemetry_factory import TRACE, chat, spans_body
from undertow.config import load_settings
from undertow.errors import NotDurableError, StoreError
from undertow.store.embedded import EmbeddedStore

WAIT_S = 120


class Gate(EmbeddedStore):
    """A store whose commits can be held, or made to fail."""

    error: Exception = StoreError("the store is away")

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.open = threading.Event()
        self.open.set()
        self.failures = 0
        self.commits = 0

    def commit(self, tables: Mapping[str, pa.Table], *, key: str, delete: Mapping[str, pa.Table] | None = None) -> int:
        self.open.wait()
        if self.failures:
            self.failures -= 1
            raise self.error
        self.commits += 1
        return super().commit(tables, key=key, delete=delete)


class NoRedaction:
    """Leaves everything as it is."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def records(self, records: list[Record]) -> None:
        return


class BrokenRedaction(NoRedaction):
    """A rule that fails."""

    def records(self, records: list[Record]) -> None:
        raise RuntimeError("the rule failed on secret text")


class Plant:
    """Journal, intake, loader and store in this process, over a folder that outlives them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.telemetry = Telemetry()
        self.stack = ExitStack()
        self.store = self.stack.enter_context(Gate(folder / "store.duckdb"))
        self.journal = Journal(folder / "journal", segment_bytes=2**20, max_bytes=2**26)
        self.intake = self.with_redactor(NoRedaction())
        self.loader: Loader | None = None

    def with_redactor(self, redactor: NoRedaction) -> Intake:
        return Intake(
            self.journal,
            normalisers={"traces": normalise_traces, "logs": normalise_logs},
            redactor=redactor,
            courtesy=Courtesy(),
            telemetry=self.telemetry,
            max_body_bytes=2**20,
            max_backlog_bytes=2**22,
        )

    def load(self, assembling: Callable[[Sequence[Record]], Assembled] = assemble, interval_s: float = 0.01) -> Loader:
        self.loader = Loader(
            self.journal,
            self.store,
            span_rows=span_rows,
            assemble=assembling,
            response_ids=response_ids,
            telemetry=self.telemetry,
            pace=Pace(interval_s, Courtesy()),
            aside=self.folder / "aside",
        )
        self.loader.start()
        return self.loader

    def send(self, trace: str, spans: int = 1, **more: Any) -> None:
        self.intake.submit("traces", trace_request(trace, spans, **more), encoding="protobuf").durable.result(WAIT_S)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.store.query(sql).to_pylist()
        return found

    def spans(self) -> int:
        return int(self.rows("SELECT count(*) AS n FROM spans")[0]["n"])

    def close(self, drain_s: float = WAIT_S) -> bool:
        self.store.open.set()
        self.journal.close()
        drained = self.loader.stop(drain_s) if self.loader else True
        self.stack.close()
        return drained


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    made = Plant(tmp_path)
    yield made
    made.close()


def test_a_stalled_store_stalls_no_acknowledgement_and_a_flush_waits_for_it(plant: Plant) -> None:
    loader = plant.load()
    plant.store.open.clear()
    for number in range(1, 51):
        plant.send("a" * 32, first=number)
    flushed = loader.flushed()
    with pytest.raises(TimeoutError):
        flushed.result(0.3)
    plant.store.open.set()
    assert flushed.result(WAIT_S) == loader.last_load_seq
    assert plant.spans() == 50


def test_a_store_that_fails_is_tried_again_until_it_works(plant: Plant) -> None:
    loader = plant.load()
    plant.store.failures = 2
    plant.send("a" * 32, 3)
    loader.flushed().result(WAIT_S)
    assert plant.spans() == 3
    assert plant.telemetry.total("undertow_load_failures_total") == 2


def test_an_error_that_nobody_foresaw_ends_no_loader_and_is_told_without_its_text(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    loader = plant.load()
    plant.store.error = KeyError("what somebody wrote")
    plant.store.failures = 2
    plant.send("a" * 32, 3)
    loader.flushed().result(WAIT_S)
    assert plant.spans() == 3
    assert plant.telemetry.total("undertow_load_failures_total") == 2
    assert "KeyError" in caplog.text
    assert "somebody" not in caplog.text


@pytest.mark.parametrize("restart", [False, True], ids=["running on", "after a restart"])
def test_a_disk_that_was_full_twice_in_a_row_stops_no_loader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restart: bool
) -> None:
    def full_disk(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    plant = Plant(tmp_path)
    loader = plant.load()
    plant.send("a" * 32)
    loader.flushed().result(WAIT_S)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", full_disk)
        for _ in range(2):
            with pytest.raises(NotDurableError):
                plant.send("b" * 32)
    if restart:
        plant.close()
        plant = Plant(tmp_path)
        loader = plant.load()
    loader.flushed().result(WAIT_S)
    plant.send("c" * 32)
    loader.flushed().result(WAIT_S)
    assert loader.alive
    assert plant.rows("SELECT DISTINCT trace_id FROM spans ORDER BY 1") == [
        {"trace_id": "a" * 32},
        {"trace_id": "c" * 32},
    ]
    assert plant.close()


def test_frames_that_the_disk_lost_while_they_waited_stop_no_other(plant: Plant) -> None:
    plant.send("a" * 32)
    (segment,) = (plant.folder / "journal").glob("*.seg")
    os.truncate(segment, SEGMENT_HEADER)
    loader = plant.load()
    loader.flushed().result(WAIT_S)
    assert plant.journal.pending_bytes == 0
    assert loader.alive


def test_a_collector_whose_loader_has_ended_is_not_ready(tmp_path: Path) -> None:
    ports = ("collector.http_port", "collector.grpc_port", "store.port")
    flags: dict[str, Any] = {"data_dir": str(tmp_path), **{name: free_port() for name in ports}}
    settings = load_settings(flags, env={}, folder=tmp_path).settings
    with ExitStack() as stack:
        collector = Collector(settings, stack)
        collector._ready = True
        assert collector.ready()
        assert collector._loader.stop(0)
        assert not collector.ready()


def test_a_flush_does_not_wait_for_the_interval(plant: Plant) -> None:
    loader = plant.load(interval_s=3600)
    for _ in range(3):
        plant.send(new_trace())
        loader.flushed().result(WAIT_S)
    assert plant.spans() == 3


def test_what_was_journaled_before_a_stop_is_loaded_after_the_next_start_once(tmp_path: Path) -> None:
    first = Plant(tmp_path)
    first.send("a" * 32, 4)
    first.load().flushed().result(WAIT_S)
    first.send("b" * 32, 4)
    first.close()
    second = Plant(tmp_path)
    second.send("a" * 32, 4)
    second.load().flushed().result(WAIT_S)
    assert second.rows("SELECT trace_id, count(*) AS n FROM interactions GROUP BY 1 ORDER BY 1") == [
        {"trace_id": "a" * 32, "n": 4},
        {"trace_id": "b" * 32, "n": 4},
    ]
    assert second.close()


def test_a_transaction_that_was_committed_before_a_crash_is_not_loaded_again(tmp_path: Path) -> None:
    first = Plant(tmp_path)
    first.send("a" * 32, 4)
    loader = first.load()
    loader.flushed().result(WAIT_S)
    seq = loader.last_load_seq
    first.close()
    second = Plant(tmp_path)
    assert second.load().flushed().result(WAIT_S) == seq
    assert second.store.commits == 0
    second.close()


def test_a_late_part_of_a_trace_replaces_what_was_assembled_without_it(plant: Plant) -> None:
    loader = plant.load()
    for number in (3, 1, 2):
        plant.send("a" * 32, first=number)
        loader.flushed().result(WAIT_S)
    assert plant.rows("SELECT count(*) AS n, count(DISTINCT turn_id) AS t FROM interactions") == [{"n": 3, "t": 1}]


RAG: list[dict[str, Any]] = [
    {"id": 1, "end": 900},
    {
        "id": 2,
        "parent": 1,
        "start": 5,
        "end": 8,
        "attributes": {
            "openinference.span.kind": "RETRIEVER",
            "input.value": "where",
            "retrieval.documents.0.document.content": "Paris is in France.",
        },
    },
    chat(3, parent=1, start=10),
    chat(4, parent=1, start=50),
]


def sequence(plant: Plant) -> dict[str, int]:
    sql = """
        SELECT interaction_id AS id, load_seq FROM interactions
        UNION ALL SELECT document_row_id, load_seq FROM documents
        UNION ALL SELECT feedback_id, load_seq FROM feedback
    """
    return {row["id"]: row["load_seq"] for row in plant.rows(sql)}


def load_spans(plant: Plant, loader: Loader, *spans: dict[str, Any]) -> dict[str, int]:
    plant.intake.submit("traces", spans_body(*spans), encoding="protobuf").durable.result(WAIT_S)
    loader.flushed().result(WAIT_S)
    return sequence(plant)


def give_thumb(plant: Plant, loader: Loader, name: str, **target: str) -> dict[str, int]:
    plant.intake.submit_feedback({"target": target, "kind": "thumb", "value": 1, "id": name})[1].durable.result(WAIT_S)
    loader.flushed().result(WAIT_S)
    return sequence(plant)


def test_feedback_and_resends_move_no_row_that_they_do_not_change(plant: Plant) -> None:
    loader = plant.load()
    before = load_spans(plant, loader, *RAG)
    assert len(before) == 3
    first = give_thumb(plant, loader, "f1", trace_id=TRACE)
    assert {key: first[key] for key in before} == before
    second = give_thumb(plant, loader, "f2", trace_id=TRACE)
    assert {key: second[key] for key in first} == first
    assert give_thumb(plant, loader, "f2", trace_id=TRACE) == second
    assert load_spans(plant, loader, *RAG) == second


def test_a_late_span_moves_only_the_rows_that_it_changes(plant: Plant) -> None:
    def telling_the_time(records: Sequence[Record]) -> Assembled:
        found = assemble(records)
        last = max(found.interactions, key=lambda row: int(row["start_time"]))
        last["agent_name"] = str(len(records))
        return found

    loader = plant.load(telling_the_time)
    before = load_spans(plant, loader, *RAG[2:])
    after = load_spans(plant, loader, {"id": 9, "parent": 3, "start": 11, "end": 12})
    assert {key for key in before if after[key] != before[key]} == {f"{TRACE}:{4:016x}"}


def test_a_document_that_comes_late_moves_the_answer_it_belongs_to(plant: Plant) -> None:
    loader = plant.load()
    before = load_spans(plant, loader, RAG[0], *RAG[2:])
    after = load_spans(plant, loader, RAG[1])
    (joined,) = plant.rows("SELECT interaction_id FROM documents")
    assert after[joined["interaction_id"]] > before[joined["interaction_id"]]


def test_rows_that_a_late_span_makes_wrong_are_removed(plant: Plant) -> None:
    def by_size(records: Sequence[Record]) -> Assembled:
        found = assemble(records)
        return replace(found, documents=found.documents if len(records) < 4 else [])

    loader = plant.load(by_size)
    load_spans(plant, loader, *RAG[:3])
    assert len(plant.rows("SELECT 1 FROM documents")) == 1
    load_spans(plant, loader, RAG[3])
    assert plant.rows("SELECT 1 FROM documents") == []


def test_a_request_that_cannot_be_assembled_keeps_its_spans_and_stops_no_other(plant: Plant) -> None:
    def picky(records: Sequence[Record]) -> Assembled:
        if any(record["trace_id"] == "b" * 32 for record in records):
            raise ValueError("unforeseen")
        return assemble(records)

    for name in "abc":
        plant.send(name * 32, 2)
    plant.load(picky).flushed().result(WAIT_S)
    assert plant.spans() == 6
    assert plant.rows("SELECT DISTINCT trace_id FROM interactions ORDER BY 1") == [
        {"trace_id": "a" * 32},
        {"trace_id": "c" * 32},
    ]
    assert plant.telemetry.total("undertow_unassembled_requests_total") == 1


def test_bytes_that_are_no_records_are_kept_in_a_file_and_stop_no_other(plant: Plant) -> None:
    plant.journal.append(b'[{"strange": true}]', 1).result(WAIT_S)
    plant.send("a" * 32)
    plant.load().flushed().result(WAIT_S)
    assert plant.spans() == 1
    (kept,) = (plant.folder / "aside").iterdir()
    assert kept.read_bytes() == b'[{"strange": true}]'


def test_a_failing_redaction_lets_nothing_through(plant: Plant) -> None:
    closed = plant.with_redactor(BrokenRedaction())
    with pytest.raises(RuntimeError):
        closed.submit("traces", trace_request("a" * 32), encoding="protobuf")
    assert plant.journal.durable == 0
    assert plant.telemetry.total("undertow_accepted_items_total") == 0


def test_text_with_surrogates_nul_and_huge_numbers_is_loaded(plant: Plant) -> None:
    def strange(body: bytes, *, encoding: str) -> Any:
        made = normalise_traces(body, encoding="protobuf")
        made.records[0]["attributes"] = {"text": "nul \x00 lone \ud800 end", "number": 2**80}
        return made

    plant.intake._normalisers = {"traces": strange}
    plant.send("a" * 32)
    plant.load().flushed().result(WAIT_S)
    (row,) = plant.rows("SELECT attributes FROM spans")
    assert "lone" in row["attributes"]
