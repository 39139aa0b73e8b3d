"""From the journal into the store: one thread, large transactions, each exactly once."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from collector.changes_only import only_changes
from collector.journal import Frame, Journal
from collector.records import Assembled, Record
from collector.refusal import without_content
from collector.telemetry import Telemetry
from undertow.errors import StoreError
from undertow.store.base import Store, data_version
from undertow.store.tables import TABLES

logger = logging.getLogger(__name__)

BATCH_BYTES = 8 * 2**20
_IDLE_S = 0.2
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_JOIN_WINDOW_US = 3_600 * 1_000_000
# A judgement that names nothing but a response id may come long after the answer.
_JUDGEMENT_WINDOW_US = 30 * 24 * 3_600 * 1_000_000
# A response id that so many records share (a fake model, a constant) identifies nothing.
_MOST_SHARING_AN_ID = 64
_ROUNDS = 8
_WRITTEN = ("spans", "records", "interactions", "documents", "tool_runs", "evaluations", "feedback", "changes")

_OF_TRACES = "SELECT body FROM records WHERE trace_id IN (SELECT unnest($ids))"
_OF_RESPONSES = """
    SELECT body FROM records
    WHERE response_id IN (SELECT unnest($ids))
      AND (trace_id IS NULL OR time BETWEEN make_timestamp($low) AND make_timestamp($high))
    QUALIFY count(*) OVER (PARTITION BY response_id) <= $most
"""
_KNOWN = "SELECT record_id FROM records WHERE record_id IN (SELECT unnest($ids))"

Rows = list[dict[str, Any]]
_PASSING = (StoreError, OSError, MemoryError)
"""What the machine caused and not the data: tried again until it passes."""


class Loader:
    """Moves acknowledged records into the store and assembles what they touch.

    Parameters
    ----------
    span_rows, assemble, response_ids : the pure side (``collector.assemble``).
    interval_s : least time between two transactions, unless somebody waits for a flush.
    aside : folder for journaled requests that cannot be assembled.
    """

    def __init__(
        self,
        journal: Journal,
        store: Store,
        *,
        span_rows: Callable[[Sequence[Record]], Rows],
        assemble: Callable[[Sequence[Record]], Assembled],
        response_ids: Callable[[Sequence[Record]], set[str]],
        telemetry: Telemetry,
        interval_s: float,
        aside: Path,
    ) -> None:
        self._journal = journal
        self._store = store
        self._span_rows = span_rows
        self._assemble = assemble
        self._response_ids = response_ids
        self._telemetry = telemetry
        self._interval_s = interval_s
        self._aside = aside
        self._prefix = f"journal/{journal.id}/"
        self._lock = threading.Lock()
        self._waiters: list[tuple[int, Future[int]]] = []
        self._hurry = threading.Event()
        self._stop = threading.Event()
        self._deadline = 0.0
        self._busy_since: float | None = None
        self._schemas = {table: _schema(store, table) for table in _WRITTEN}
        self._position = self._loaded_before()
        self.last_load_seq = data_version(store)
        journal.release(self._position)
        self._thread = threading.Thread(target=self._run, name="loader", daemon=True)

    def start(self) -> None:
        """Begin to load."""
        self._thread.start()

    def stop(self, drain_s: float) -> bool:
        """Load what is left for at most this time, then stop; whether nothing was left."""
        self._deadline = time.monotonic() + drain_s
        self._stop.set()
        self._hurry.set()
        if self._thread.ident is None:
            return self._position >= self._journal.durable
        self._thread.join(drain_s + _LONGEST_PAUSE_S)
        return not self._thread.is_alive() and self._position >= self._journal.durable

    def flushed(self) -> Future[int]:
        """Return a future of the newest sequence number, done when everything durable by now is loaded."""
        future: Future[int] = Future()
        with self._lock:
            self._waiters.append((self._journal.durable, future))
        self._settle()
        self._hurry.set()
        return future

    @property
    def alive(self) -> bool:
        """Whether the loader was started and has not ended."""
        return self._thread.is_alive()

    @property
    def lag_s(self) -> float:
        """How long the data now waiting to be loaded has been waiting."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def _loaded_before(self) -> int:
        newest = self._store.query(
            "SELECT max(key) AS key FROM commits WHERE starts_with(key, $prefix)", {"prefix": self._prefix}
        )
        key = newest.column("key")[0].as_py()
        return int(key.removeprefix(self._prefix)) if key else 0

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._over():
            if not self._journal.wait(self._position, _IDLE_S):
                continue
            if self._busy_since is None:
                self._busy_since = time.monotonic()
            try:
                self._load_next()
            except Exception as error:  # whatever it is, the thread must live: nobody else loads
                self._telemetry.add("undertow_load_failures_total")
                logger.error("loading failed and is tried again in %g s: %s", pause_s, _told(error))
                # Not on the stop event: once that is set, the time left for draining would be spent in a tight loop.
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            pause_s = _FIRST_PAUSE_S
            self._settle()
            if self._position >= self._journal.durable:
                self._busy_since = None
            self._rest()

    def _over(self) -> bool:
        if not self._stop.is_set():
            return False
        return self._position >= self._journal.durable or time.monotonic() > self._deadline

    def _rest(self) -> None:
        with self._lock:
            awaited = bool(self._waiters)
        if not awaited and not self._stop.is_set():
            self._hurry.clear()
            self._hurry.wait(self._interval_s)

    def _settle(self) -> None:
        with self._lock:
            done = [future for position, future in self._waiters if position <= self._position]
            self._waiters = [(position, future) for position, future in self._waiters if position > self._position]
        for future in done:
            if future.set_running_or_notify_cancel():
                future.set_result(self.last_load_seq)

    def _load_next(self) -> None:
        durable = self._journal.durable
        frames = self._journal.read(self._position, BATCH_BYTES)
        if frames:
            self._load(frames)
        else:
            # What was durable a moment ago cannot be read any more: the disk has lost it, and others wait behind it.
            logger.error("%d bytes of the journal cannot be read and are passed over", durable - self._position)
            self._position = durable
            self._journal.release(durable)

    def _load(self, frames: list[Frame]) -> None:
        """Load frames in one transaction; where one of them cannot be assembled, find it and keep what can be kept."""
        try:
            tables, delete = self._tables(frames)
        except _PASSING:
            raise
        except Exception as error:
            if len(frames) > 1:
                self._load(frames[: len(frames) // 2])
                self._load(frames[len(frames) // 2 :])
                return
            tables, delete = self._without_assembly(frames[0], error), {}
        position = frames[-1].end
        self.last_load_seq = self._store.commit(tables, key=f"{self._prefix}{position:020d}", delete=delete)
        self._position = position
        self._journal.release(position)
        self._telemetry.add("undertow_loaded_items_total", sum(frame.items for frame in frames))

    def _without_assembly(self, frame: Frame, error: Exception) -> dict[str, pa.Table]:
        """Spans and records alone, so that a later assembly can use them; failing that, a file."""
        self._telemetry.add("undertow_unassembled_requests_total")
        logger.error("a request of %d items cannot be assembled: %s", frame.items, without_content(error))
        try:
            new = self._unknown(_parse(frame.payload))
            return self._to_arrow({"spans": self._span_rows(new), "records": [self._stored(record) for record in new]})
        except _PASSING:
            raise
        except Exception as second:
            self._aside.mkdir(parents=True, exist_ok=True)
            path = self._aside / f"{frame.end:020d}.json"
            path.write_bytes(frame.payload)
            logger.error("it cannot be stored either and was kept as %s: %s", path, without_content(second))
            return {}

    def _tables(self, frames: list[Frame]) -> tuple[dict[str, pa.Table], dict[str, pa.Table]]:
        new = self._unknown(record for frame in frames for record in _parse(frame.payload))
        if not new:
            return {}, {}
        context = self._context(new)
        rows: dict[str, Rows] = {"spans": self._span_rows(new), "records": [self._stored(record) for record in new]}
        rows.update(_by_table(self._assemble([*context, *new])))
        tables = self._to_arrow(rows)
        if not context:
            return tables, {}
        return only_changes(self._store, tables, sorted({trace for r in context if (trace := r.get("trace_id"))}))

    def _unknown(self, records: Iterable[Record]) -> list[Record]:
        unique = {record["record_id"]: record for record in reversed(list(records))}
        known = set(self._store.query(_KNOWN, {"ids": list(unique)}).column(0).to_pylist()) if unique else set()
        return [record for key, record in reversed(unique.items()) if key not in known]

    def _context(self, new: list[Record]) -> list[Record]:
        """Stored records of the touched traces, and of those tied to them by a response id, until no more are found."""
        seen = {record["record_id"] for record in new}
        traces: set[str] = set()
        responses: set[str] = set()
        found: list[Record] = []
        frontier = new
        for _ in range(_ROUNDS):
            more_traces = {trace for record in frontier if (trace := record.get("trace_id"))} - traces
            more_responses = self._response_ids(frontier) - responses
            stored = self._of_traces(more_traces) + self._of_responses(more_responses, frontier)
            traces |= more_traces
            responses |= more_responses
            frontier = list({r["record_id"]: r for r in stored if r["record_id"] not in seen}.values())
            if not frontier:
                break
            seen.update(record["record_id"] for record in frontier)
            found += frontier
        return found

    def _of_traces(self, ids: set[str]) -> list[Record]:
        return self._bodies(_OF_TRACES, {"ids": sorted(ids)}) if ids else []

    def _of_responses(self, ids: set[str], around: list[Record]) -> list[Record]:
        times = [_microseconds(record) for record in around]
        if not ids or not times:
            return []
        alone = any(record.get("trace_id") is None for record in around)
        reach = _JUDGEMENT_WINDOW_US if alone else _JOIN_WINDOW_US
        low, high = min(times) - reach, max(times) + _JOIN_WINDOW_US
        return self._bodies(_OF_RESPONSES, {"ids": sorted(ids), "low": low, "high": high, "most": _MOST_SHARING_AN_ID})

    def _bodies(self, sql: str, params: Mapping[str, Any]) -> list[Record]:
        return [json.loads(body) for body in self._store.query(sql, params).column(0).to_pylist()]

    def _stored(self, record: Record) -> dict[str, Any]:
        return {
            "record_id": record["record_id"],
            "kind": record["kind"],
            "trace_id": record.get("trace_id"),
            "span_id": record.get("span_id"),
            "response_id": min(self._response_ids([record]), default=None),
            "time": _microseconds(record),
            "body": _text(record),
        }

    def _to_arrow(self, rows: Mapping[str, Rows]) -> dict[str, pa.Table]:
        return {name: self._arrow(name, found) for name, found in rows.items() if found}

    def _arrow(self, name: str, rows: Rows) -> pa.Table:
        key = TABLES[name].key
        unique = {tuple(row.get(column) for column in key): row for row in rows}
        return pa.Table.from_pylist(list(unique.values()), schema=self._schemas[name])


def _by_table(assembled: Assembled) -> dict[str, Rows]:
    """Rows by table, without copying them."""
    return {name: getattr(assembled, name) for name in Assembled.__dataclass_fields__}


def _schema(store: Store, table: str) -> pa.Schema:
    schema = store.query(f"SELECT * FROM {table} LIMIT 0").schema
    return pa.schema([field for field in schema if field.name != "load_seq"])


def _parse(payload: bytes) -> list[Record]:
    try:
        records: list[Record] = orjson.loads(payload)
    except orjson.JSONDecodeError:
        records = json.loads(payload)
    return records


def _text(record: Record) -> str:
    try:
        return orjson.dumps(record).decode()
    except TypeError:
        return json.dumps(record)


def _microseconds(record: Record) -> int:
    return record.get("start_ns", 0) // 1000


def _told(error: Exception) -> str:
    """The message of what the machine caused; of anything else only kind and place: its message may quote content."""
    if isinstance(error, _PASSING):
        return (str(error).splitlines() or [type(error).__name__])[0]
    return without_content(error)
