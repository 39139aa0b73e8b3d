"""The floor under ingest: what parsing, inserting and syncing alone cost, beside the collector's processor time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
from ingest_run import Figure, Run, Transport, Undertow
from load import Bodies
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from undertow.store.embedded import EmbeddedStore

_LOADED = ("spans", "records", "interactions", "documents")
_SETTINGS = ("threads", "memory_limit", "checkpoint_threshold")
Transaction = dict[str, pa.Table]


def shares(folder: Path, bodies: Bodies, transport: Transport) -> list[Figure]:
    """Return processor µs a span of the collector, with and without redaction, and of each floor beside it."""
    with Undertow(folder / "on") as collector:
        whole = collector.load(bodies, range(len(bodies)), transport)
    with Undertow(folder / "off", REDACTION__ENABLED="false") as plain:
        bare = plain.load(bodies, range(len(bodies)), transport)
    transactions = _transactions(collector.data / "undertow.duckdb")
    size = f"{sum(table.num_rows for one in transactions for table in one.values()):,} rows"
    insert = _spent(lambda: _insert(folder / "insert.duckdb", transactions))
    commit = _spent(lambda: _commit(folder / "commit.duckdb", transactions))
    floors = {
        "protobuf parse alone": (_spent(lambda: _parse(bodies)), "the same bodies, the C core"),
        "DuckDB bulk insert alone": (insert, f"{size} of {', '.join(_LOADED)} in {len(transactions)} transactions"),
        "fsync alone": (_spent(lambda: _sync(folder / "journal", bodies)), "write and fdatasync of each body"),
    }
    return _figures(f"floor, {transport}", whole, bare, floors, commit)


def _figures(
    part: str, whole: Run, bare: Run, floors: dict[str, tuple[tuple[float, float], str]], commit: tuple[float, float]
) -> list[Figure]:
    total = whole.processor_s

    def line(name: str, processor_s: float, note: str) -> Figure:
        note = f"{processor_s / total:.0%} of the collector's; {note}"
        return Figure(part, name, 1e6 * processor_s / whole.spans, "µs/span", note=note)

    bottom = sum(spent for (spent, _), _ in floors.values())
    redaction = total * (1 - (bare.processor_s / bare.spans) / (total / whole.spans))
    return [
        Figure(part, "collector until queryable", 1e6 * total / whole.spans, "µs/span", note=f"{whole.spans:,} spans"),
        *(line(name, spent, f"{wall:.1f} s of wall; {note}") for name, ((spent, wall), note) in floors.items()),
        line("of which redaction (on less off)", redaction, f"off: {bare.rate:,.0f} spans a processor second"),
        line(
            "the same rows through the store's commit", commit[0], f"{commit[1]:.1f} s of wall; keys and order on top"
        ),
        line("all else: transport, decoding, assembly", total - bottom, "the collector less the three floors"),
        Figure(part, "collector over the sum of the floors", total / bottom, "×"),
    ]


def _spent(work: Callable[[], None]) -> tuple[float, float]:
    """Return processor and wall seconds of some work of this process, its threads included."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - processor, time.perf_counter() - wall


def _parse(bodies: Bodies) -> None:
    for number in range(len(bodies)):
        ExportTraceServiceRequest.FromString(bodies[number])


def _sync(path: Path, bodies: Bodies) -> None:
    with path.open("wb", buffering=0) as file:
        for number in range(len(bodies)):
            file.write(bodies[number])
            os.fdatasync(file.fileno())


def _transactions(path: Path) -> list[Transaction]:
    """Return what a collector has stored, in as many equal transactions as it took."""
    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute("SELECT count(*) FROM commits WHERE starts_with(key, 'journal/')").fetchone()
        commits = max(1, int(found[0]) if found else 1)
        stored = {name: connection.execute(f"SELECT * FROM {name} ORDER BY rowid").to_arrow_table() for name in _LOADED}
    return [{name: _slice(table, number, commits) for name, table in stored.items()} for number in range(commits)]


def _slice(table: pa.Table, number: int, parts: int) -> pa.Table:
    start, end = (table.num_rows * edge // parts for edge in (number, number + 1))
    return table.slice(start, end - start)


def _insert(path: Path, transactions: list[Transaction]) -> None:
    with duckdb.connect(str(path), config=_settings_of_a_store(path)) as connection:
        for tables in transactions:
            connection.execute("BEGIN")
            for name, rows in tables.items():
                connection.register("incoming", rows)
                connection.execute(f"INSERT INTO {name} BY NAME SELECT * FROM incoming")
            connection.execute("COMMIT")


def _settings_of_a_store(path: Path) -> dict[str, str | bool | int | float | list[str]]:
    """Make a store's tables in a file, and return the settings under which a store works there."""
    chosen = ", ".join(f"current_setting('{name}') AS {name}" for name in _SETTINGS)
    with EmbeddedStore(path) as store:
        settings: dict[str, str | bool | int | float | list[str]] = store.query(f"SELECT {chosen}").to_pylist()[0]
    return settings


def _commit(path: Path, transactions: list[Transaction]) -> None:
    with EmbeddedStore(path) as store:
        for number, tables in enumerate(transactions):
            store.commit({name: _without_sequence(rows) for name, rows in tables.items()}, key=f"floor/{number}")


def _without_sequence(rows: pa.Table) -> pa.Table:
    return rows.drop_columns(["load_seq"]) if "load_seq" in rows.column_names else rows
