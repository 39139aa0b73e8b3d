"""The loader moves each journaled record into the store exactly once, whatever fails on the way."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from collector.assemble import assemble, response_ids, span_rows
from collector.intake import Intake
from collector.journal import Journal
from collector.loader import Loader
from collector.normalise import normalise_logs, normalise_traces
from collector.records import Assembled, Record
from collector.telemetry import Telemetry
from tests.integration.running import new_trace, trace_request
from undertow.errors import StoreError
from undertow.store.embedded import EmbeddedStore

WAIT_S = 10


class Gate(EmbeddedStore):
    """A store whose commits can be held, or made to fail."""

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
            raise StoreError("the store is away")
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
            interval_s=interval_s,
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
    rows = plant.rows(
        "SELECT count(*) AS n, count(DISTINCT load_seq) AS s, count(DISTINCT turn_id) AS t FROM interactions"
    )
    assert rows == [{"n": 3, "s": 1, "t": 1}]


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
