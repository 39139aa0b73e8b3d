"""Clients that give everything one trace id, and very deep traces, cost no more than others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from collector import recall
from collector.assemble import assemble, response_ids, span_rows
from collector.courtesy import Courtesy, Pace
from collector.journal import Journal
from collector.loader import Loader
from collector.normalise import normalise_traces
from collector.packs import MOST_IN_A_PACK, as_payload, from_payload, pack_rows, unpack
from collector.records import Assembled, Record
from collector.telemetry import Telemetry
from tests.telemetry_factory import TRACE, chat, spans, spans_body
from undertow.store.embedded import EmbeddedStore

WAIT_S = 30
WINDOW = 20


class Line:
    """Journal, loader and store, loaded by hand one request at a time."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.telemetry = Telemetry()
        self.store = stack.enter_context(EmbeddedStore(folder / "store.duckdb"))
        self.journal = Journal(folder / "journal", segment_bytes=2**24, max_bytes=2**28)
        stack.callback(self.journal.close)
        self.assembled: list[int] = []
        self.loader = Loader(
            self.journal,
            self.store,
            span_rows=span_rows,
            assemble=self.assemble,
            response_ids=response_ids,
            telemetry=self.telemetry,
            pace=Pace(0.01, Courtesy()),
            aside=folder / "aside",
        )
        self.loader.start()
        stack.callback(self.loader.stop, WAIT_S)

    def assemble(self, records: Sequence[Record]) -> Assembled:
        self.assembled.append(len(records))
        return assemble(records)

    def load(self, *items: dict[str, Any]) -> None:
        records = normalise_traces(spans_body(*items), encoding="protobuf").records
        self.journal.append(as_payload(records), len(records)).result(WAIT_S)
        self.loader.flushed().result(WAIT_S)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.store.query(sql).to_pylist()
        return found


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with ExitStack() as stack:
        yield Line(tmp_path, stack)


def request(number: int) -> list[dict[str, Any]]:
    """The spans of one user's request: a step, below it a retrieval and a call."""
    at, first = number * 100, number * 3 + 1
    found = {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": '[{"id": "d", "content": "Tides."}]'}
    return [
        {"id": first, "name": "step", "start": at, "end": at + 50, "attributes": {"session.id": f"s{number}"}},
        {"id": first + 1, "parent": first, "name": "search", "start": at + 1, "end": at + 5, "attributes": found},
        chat(first + 2, parent=first, start=at + 10, end=at + 40, question="Tides. Why?"),
    ]


def test_a_constant_trace_id_is_read_back_in_part_and_every_call_keeps_its_documents(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "MOST_RECALLED", WINDOW)
    for number in range(16):
        step, *inner = request(number)
        line.load(*inner)  # the parent comes last, as SDKs send it
        line.load(step)
    assert max(line.assembled) <= WINDOW + MOST_IN_A_PACK + 3
    assert line.telemetry.total("undertow_partly_assembled_traces_total") > 0
    assert line.rows("SELECT count(*) AS n, count(DISTINCT session_id) AS sessions FROM interactions") == [
        {"n": 16, "sessions": 16}
    ]
    assert line.rows("SELECT count(DISTINCT interaction_id) AS n FROM documents") == [{"n": 16}]


def test_what_the_root_of_a_very_large_trace_states_holds_for_its_late_calls(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "MOST_RECALLED", WINDOW)
    line.load({"id": 1, "name": "task", "start": 0, "end": 1, "attributes": {"session.id": "long"}})
    for number in range(2, 2 * WINDOW, 4):
        line.load(*(chat(n, parent=1, start=n * 1000, end=n * 1000 + 9) for n in range(number, number + 4)))
    (row,) = line.rows(
        "SELECT count(*) AS n, count(DISTINCT session_id) AS sessions, max(session_id) FROM interactions"
    )
    assert row["sessions"] == 1
    assert line.rows("SELECT count(*) AS n FROM interactions WHERE session_id IS NULL") == [{"n": 0}]


def test_a_trace_of_thousands_of_nested_calls_is_assembled() -> None:
    deep = [
        chat(n, parent=n - 1 if n > 1 else None, start=n, end=20_000, extra={"gen_ai.response.id": f"r{n}"})
        for n in range(1, 3001)
    ]
    deep[0]["attributes"]["session.id"] = "deep"
    found = assemble(spans(*deep))
    assert len(found.interactions) == 3000
    assert {row["session_id"] for row in found.interactions} == {"deep"}


def test_records_come_out_of_a_pack_as_they_went_in() -> None:
    records = spans(*(chat(n, start=n, end=n + 1, question="Why? é\n" * 50) for n in range(1, 131)))
    received = from_payload(as_payload(records))
    rows = pack_rows(received, response_ids)
    packs = [row["packed"] for row in rows if row["packed"] is not None]
    assert len(packs) == -(-len(records) // MOST_IN_A_PACK)
    back: list[Record] = [record for packed in packs for record in unpack(packed)]
    assert back == [item.record for item in received]
    holders = {row["record_id"] for row in rows if row["packed"] is not None}
    assert {row["packed_in"] for row in rows} == holders


def test_a_journal_and_a_store_of_an_earlier_version_are_understood(line: Line) -> None:
    step, search, call = (normalise_traces(spans_body(s), encoding="protobuf").records[0] for s in request(0))
    stored = {
        "record_id": search["record_id"],
        "kind": "span",
        "trace_id": TRACE,
        "span_id": search["span_id"],
        "body": as_payload([search]).decode(),
    }
    line.store.commit({"records": pa.Table.from_pylist([stored])}, key="earlier")
    line.journal.append(b"[" + as_payload([step]) + b"," + as_payload([call]) + b"]", 2).result(WAIT_S)
    line.loader.flushed().result(WAIT_S)
    assert line.rows("SELECT content FROM documents") == [{"content": "Tides."}]


def test_what_an_earlier_process_acknowledged_is_not_counted_as_loaded_by_this_one(tmp_path: Path) -> None:
    with ExitStack() as stack:
        journal = Journal(tmp_path / "journal", segment_bytes=2**24, max_bytes=2**28)
        stack.callback(journal.close)
        journal.append(as_payload(spans(chat(1, start=0, end=1))), 1).result(WAIT_S)
    with ExitStack() as stack:
        line = Line(tmp_path, stack)
        line.load(chat(2, start=2, end=3))
        assert line.telemetry.total("undertow_recovered_items_total") == 1
        assert line.telemetry.total("undertow_loaded_items_total") == 1
        assert line.rows("SELECT count(*) AS n FROM spans") == [{"n": 2}]
