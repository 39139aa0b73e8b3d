"""From the journal into the store: one thread, large transactions, each exactly once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa

from collector.changes_only import only_changes
from collector.courtesy import Pace
from collector.journal import Journal
from collector.packs import Received, from_payload, pack_rows
from collector.recall import Recall, Recalled
from collector.records import Assembled, Record
from collector.redaction_counts import redaction_rows
from collector.refusal import without_content
from collector.segments import Frame
from collector.self_trace import is_own_table, step
from collector.telemetry import Telemetry
from undertow.errors import OverloadedError, StoreError
from undertow.store.base import Store, data_version
from undertow.store.tables import TABLES

logger = logging.getLogger(__name__)

BATCH_BYTES = 8 * 2**20
_IDLE_S = 0.2
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_MOST_WAITING = 1000
_WRITTEN = (
    *("spans", "records", "interactions", "documents", "tool_runs", "evaluations", "feedback", "changes"),
    "redactions",
)

Rows = list[dict[str, Any]]
_KEYS = {name: itemgetter(*TABLES[name].key) for name in _WRITTEN}
_PASSING = (StoreError, OSError, MemoryError)
"""What the machine caused and not the data: tried again until it passes."""


class Loader:
    """Moves acknowledged records into the store and assembles what they touch.

    Parameters
    ----------
    span_rows, assemble, response_ids : the pure side (``collector.assemble``).
    pace : the least time between two transactions, unless somebody waits for a flush, and whom it lets go first.
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
        pace: Pace,
        aside: Path,
    ) -> None:
        self._journal = journal
        self._store = store
        self._span_rows = span_rows
        self._assemble = assemble
        self._response_ids = response_ids
        self._recall = Recall(store, response_ids)
        self._courtesy = pace.courtesy
        self._telemetry = telemetry
        self._interval_s = pace.interval_s
        self._aside = aside
        self._prefix = _prefix(journal)
        self._lock = threading.Lock()
        self._waiters: list[tuple[int, Future[int]]] = []
        self._hurry = threading.Event()
        self._stop = threading.Event()
        self._deadline = 0.0
        self._busy_since: float | None = None
        self._schemas = {table: _schema(store, table) for table in _WRITTEN}
        self._position = loaded_before(journal, store)
        self._recovered_until = journal.durable
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
        """Return a future of the newest sequence number, done when everything durable by now is loaded.

        Raises
        ------
        OverloadedError
            Too many wait already: the store takes nothing.
        """
        future: Future[int] = Future()
        with self._lock:
            # Those that waited no longer would stay for as long as the store takes nothing.
            self._waiters = [waiter for waiter in self._waiters if not waiter[1].cancelled()]
            if len(self._waiters) >= _MOST_WAITING:
                raise OverloadedError(f"{_MOST_WAITING} requests wait for a flush already; ask again later")
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
        self._courtesy.begin()
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
        trace = self._telemetry.begin("load")
        try:
            with step(trace, "assemble"):
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
        with step(trace, "commit"):
            self.last_load_seq = self._store.commit(tables, key=f"{self._prefix}{position:020d}", delete=delete)
        if trace and not is_own_table(tables.get("spans")):
            trace.end(requests=len(frames), items=sum(frame.items for frame in frames))
        self._position = position
        self._journal.release(position)
        self._count(frames)

    def _count(self, frames: Sequence[Frame]) -> None:
        """Count apart what an earlier process acknowledged, so that loaded never exceeds accepted."""
        recovered = sum(frame.items for frame in frames if frame.end <= self._recovered_until)
        self._telemetry.add("undertow_loaded_items_total", sum(frame.items for frame in frames) - recovered)
        if recovered:
            self._telemetry.add("undertow_recovered_items_total", recovered)

    def _without_assembly(self, frame: Frame, error: Exception) -> dict[str, pa.Table]:
        """Spans and records alone, so that a later assembly can use them; failing that, a file."""
        self._telemetry.add("undertow_unassembled_requests_total")
        logger.error("a request of %d items cannot be assembled: %s", frame.items, without_content(error))
        try:
            new = self._unknown([frame])
            return self._to_arrow(self._as_received(new, frame.end))
        except _PASSING:
            raise
        except Exception as second:
            self._aside.mkdir(parents=True, exist_ok=True)
            path = self._aside / f"{frame.end:020d}.json"
            path.write_bytes(frame.payload)
            logger.error("it cannot be stored either and was kept as %s: %s", path, without_content(second))
            return {}

    def _tables(self, frames: list[Frame]) -> tuple[dict[str, pa.Table], dict[str, pa.Table]]:
        received = self._unknown(frames)
        if not received:
            return {}, {}
        new = [item.record for item in received]
        recalled = self._recall.around(new)
        self._courtesy.step_back()
        rows = self._as_received(received, frames[-1].end)
        rows.update(_without(recalled.settled, _by_table(self._assemble([*recalled.records, *new]))))
        self._courtesy.step_back()
        if recalled.partial:
            self._telemetry.add("undertow_partly_assembled_traces_total", len(recalled.partial))
        tables = self._to_arrow(rows)
        return only_changes(self._store, tables, _in_play(recalled, new)) if recalled.records else (tables, {})

    def _as_received(self, received: list[Received], position: int) -> dict[str, Rows]:
        new = [item.record for item in received]
        return {
            "spans": self._span_rows(new),
            "records": pack_rows(received, self._response_ids),
            "redactions": redaction_rows(new, f"{self._prefix}{position:020d}"),
        }

    def _unknown(self, frames: Sequence[Frame]) -> list[Received]:
        """Return what is not stored yet; of records with the same id the first."""
        unique: dict[str, Received] = {}
        for frame in frames:
            for item in from_payload(frame.payload):
                unique.setdefault(item.record["record_id"], item)
            self._courtesy.step_back()
        known = self._recall.known([item.record for item in unique.values()])
        return [item for key, item in unique.items() if key not in known]

    def _to_arrow(self, rows: Mapping[str, Rows]) -> dict[str, pa.Table]:
        return {name: self._arrow(name, found) for name, found in rows.items() if found}

    def _arrow(self, name: str, rows: Rows) -> pa.Table:
        unique = list({key: row for key, row in zip(map(_KEYS[name], rows), rows, strict=True)}.values())
        schema = self._schemas[name]
        columns = _columns(unique, schema.names)
        table = pa.table([pa.array(*pair) for pair in zip(columns, schema.types, strict=True)], schema=schema)
        self._courtesy.step_back()
        return table


def loaded_before(journal: Journal, store: Store) -> int:
    """Position up to which a store holds what is in a journal."""
    prefix = _prefix(journal)
    newest = store.query("SELECT max(key) AS key FROM commits WHERE starts_with(key, $prefix)", {"prefix": prefix})
    key = newest.column("key")[0].as_py()
    return int(key.removeprefix(prefix)) if key else 0


def _prefix(journal: Journal) -> str:
    return f"journal/{journal.id}/"


def _columns(rows: Rows, names: Sequence[str]) -> list[Sequence[Any]]:
    """Return the values of each column; a column that a row lacks is empty there."""
    told = list(rows[0])
    try:
        alike = len(told) > 1 and all(len(row) == len(told) for row in rows)
        values = dict(zip(told, zip(*map(itemgetter(*told), rows), strict=True), strict=True)) if alike else {}
    except KeyError:
        values = {}
    if values:
        absent = (None,) * len(rows)
        return [values.get(name, absent) for name in names]
    return [[row.get(name) for row in rows] for name in names]


def _in_play(recalled: Recalled, new: Sequence[Record]) -> list[Record]:
    """Return the spans whose rows may have changed: those of traces of which something was stored."""
    traces = {trace for record in recalled.records if (trace := record.get("trace_id"))}
    found = (record for record in (*recalled.records, *new) if record["kind"] == "span")
    return [r for r in found if r.get("trace_id") in traces and r["record_id"] not in recalled.settled]


def _without(settled: set[str], rows: dict[str, Rows]) -> dict[str, Rows]:
    """Leave out the rows of calls and tools that stay as they are stored."""
    if not settled:
        return rows
    kept = {
        name: [r for r in rows[name] if r["interaction_id"] not in settled] for name in ("interactions", "documents")
    }
    tools = [row for row in rows["tool_runs"] if f"{row['trace_id']}:{row['span_id']}" not in settled]
    return {**rows, **kept, "tool_runs": tools}


def _by_table(assembled: Assembled) -> dict[str, Rows]:
    """Rows by table, without copying them."""
    return {name: getattr(assembled, name) for name in Assembled.__dataclass_fields__}


def _schema(store: Store, table: str) -> pa.Schema:
    schema = store.query(f"SELECT * FROM {table} LIMIT 0").schema
    return pa.schema([field for field in schema if field.name != "load_seq"])


def _told(error: Exception) -> str:
    """The message of what the machine caused; of anything else only kind and place: its message may quote content."""
    if isinstance(error, _PASSING):
        return (str(error).splitlines() or [type(error).__name__])[0]
    return without_content(error)
