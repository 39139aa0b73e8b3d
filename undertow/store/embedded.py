"""The store as one DuckDB file that this process owns."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self
from weakref import WeakSet

import duckdb
import pyarrow as pa

from undertow.clock import utc_now
from undertow.errors import QueryError, QueryStoppedError, StoreError, StoreLockedError
from undertow.store.base import Params
from undertow.store.compact import Compacted, fresh_path, remove_leftovers, require_room, size_of, swap
from undertow.store.copying import Limits, write_anew
from undertow.store.limits import AGAIN_S, TRIES, limited
from undertow.store.migrate import migrate
from undertow.store.writes import rollback, write_all

_STREAMED_ROWS = 2048
_ROWS_A_CHUNK = 8192
"""DuckDB reserves the memory of a whole chunk for every column, however few rows a result has."""

_INVALIDATED = "database has been invalidated"
_READERS_GRACE_S = 5.0


class EmbeddedStore:
    """A DuckDB file opened here; safe to use from several threads.

    Parameters
    ----------
    path : the file; it and its folder are created when absent.
    memory_limit, threads : DuckDB's own settings.
    query_timeout_s : a query is interrupted after this time.

    Raises
    ------
    StoreLockedError
        Another process owns the file; the message names it and what to use instead.
    StoreError
        The folder cannot be written, the file is no store, or DuckDB refuses a setting.
    """

    def __init__(
        self,
        path: Path,
        *,
        memory_limit: str = "256MB",
        threads: int = 1,
        query_timeout_s: float = 60.0,
        hint: str = "",
    ) -> None:
        self.path = path
        self.url = f"duckdb:///{str(path).lstrip('/')}"
        self._memory_limit = memory_limit
        self._threads = threads
        self._query_timeout_s = query_timeout_s
        self._hint = hint
        self._config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "threads": threads,
            # A checkpoint writes the last row group of every table anew, however few rows came since the one before.
            "checkpoint_threshold": "128MB",
        }
        self._write_lock = threading.Lock()
        self._compacting = threading.Lock()
        self._opening = threading.Condition()
        _make_folder(path.parent)
        self._connection: Any = self._opened()
        remove_leftovers(path.resolve())
        self._closed = False
        self._replacing = False
        self._leased = 0
        self._running: set[Any] = set()
        self._streams: WeakSet[_Stream] = WeakSet()

    def _opened(self) -> Any:
        try:
            connection = duckdb.connect(str(self.path), config=self._config)
        except duckdb.IOException as error:
            raise _locked(self.path, error, self._hint) from None
        except duckdb.Error as error:
            raise _unusable(self.path, error) from None
        try:
            _prepare(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, duckdb.Error):
                raise _unusable(self.path, error) from None
            raise
        return connection

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        """Lend a cursor; while the file is replaced, which takes a moment, wait for the new one."""
        with self._opening:
            if not self._opening.wait_for(lambda: not self._replacing, self._query_timeout_s):
                raise StoreError(f"{self.path} is being compacted; try again in a moment")
            if self._closed:
                raise StoreError(f"{self.path} is closed")
            if self._connection is None:
                self._connection = self._opened()
            cursor = self._connection.cursor()
            self._leased += 1
        try:
            yield cursor
        finally:
            cursor.close()
            with self._opening:
                self._leased -= 1
                self._opening.notify_all()

    def _give_up_if_fatal(self, error: Exception) -> None:
        """Open the file anew next time, where DuckDB serves it no more: a checkpoint has met a full disk, say.

        What was committed is in the file and its log, as after a crash.
        """
        if isinstance(error, duckdb.FatalException) or _INVALIDATED in str(error):
            with self._opening:
                self._disconnect()

    def query(self, sql: str, params: Params = None) -> pa.Table:
        """See :meth:`undertow.store.base.Store.query`."""
        with self._cursor() as cursor, self._query_errors():
            _require_one_select(cursor, sql)
            with self._limited(cursor):
                return cursor.execute(sql, params).to_arrow_table(_ROWS_A_CHUNK)

    def stream(self, sql: str, params: Params = None) -> tuple[pa.Schema, Generator[pa.RecordBatch]]:
        """Run one SELECT and return its columns and its rows, which are worked out as they are taken.

        The limit of time holds until the last row is taken; whoever takes fewer must close the iterator.

        Raises
        ------
        QueryError
            As for ``query``, from here or from the iterator.
        """
        with ExitStack() as stack:
            cursor = stack.enter_context(self._cursor())
            with self._query_errors():
                stack.enter_context(self._limited(cursor))
                _require_one_select(cursor, sql)
                reader = stack.enter_context(cursor.execute(sql, params).to_arrow_reader(_STREAMED_ROWS))
            stream = _Stream(reader, stack.pop_all())
            with self._opening:
                self._streams.add(stream)
            return reader.schema, self._batches(stream)

    def _batches(self, stream: _Stream) -> Generator[pa.RecordBatch]:
        try:
            with self._query_errors():
                while (batch := stream.next()) is not None:
                    yield batch
        finally:
            stream.close()
            with self._opening:
                self._streams.discard(stream)

    @contextmanager
    def _limited(self, cursor: Any) -> Iterator[None]:
        """Interrupt a cursor when its time is over, or when the store is closed."""
        with limited(cursor, self._query_timeout_s), self._interruptible(cursor):
            yield

    @contextmanager
    def _interruptible(self, cursor: Any) -> Iterator[None]:
        with self._opening:
            self._running.add(cursor)
        try:
            yield
        finally:
            with self._opening:
                self._running.discard(cursor)

    @contextmanager
    def _query_errors(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError) as error:  # a stream's errors come through Arrow
            if isinstance(error, duckdb.InterruptException) or str(error).startswith("INTERRUPT"):
                raise QueryStoppedError(f"the query was stopped: {self._why_stopped()}") from None
            self._give_up_if_fatal(error)
            if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in str(error):
                raise QueryStoppedError(str(error)) from None
            raise QueryError(str(error)) from None

    def _why_stopped(self) -> str:
        if self._closed:
            return "the store was closed"
        if self._replacing:
            return "the store is being compacted; ask again in a moment"
        return f"it took longer than {self._query_timeout_s:g} s"

    def commit(self, tables: Mapping[str, pa.Table], *, key: str, delete: Mapping[str, pa.Table] | None = None) -> int:
        """See :meth:`undertow.store.base.Store.commit`."""
        with self._write_lock, self._cursor() as cursor:
            try:
                cursor.execute("BEGIN")
                seen = cursor.execute("SELECT seq FROM commits WHERE key = ?", [key]).fetchone()
                if seen:
                    cursor.execute("ROLLBACK")
                    return int(seen[0])
                seq = write_all(cursor, tables, delete or {}, key)
                cursor.execute("COMMIT")
                return seq
            except duckdb.Error as error:
                rollback(cursor)
                self._give_up_if_fatal(error)
                raise StoreError(f"commit {key!r} was rolled back: {error}") from error
            except BaseException:
                rollback(cursor)
                raise

    def compact(self, *, actor: str) -> Compacted:
        """See :meth:`undertow.store.compact.Compactable.compact`."""
        if not self._compacting.acquire(blocking=False):
            raise StoreError(f"{self.path} is being compacted already")
        path = self.path.resolve()
        try:
            require_room(path)
            before = size_of(path)
            with self._write_lock:
                fresh = self._written_anew(path, before, actor)
                after = size_of(fresh)
                with self._alone():
                    swap(path, fresh)
            return Compacted(before, after)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise StoreError(f"{self.path} was not compacted: {error}") from error
        finally:
            with suppress(OSError):  # who opens the store next tries again
                remove_leftovers(path)
            self._compacting.release()

    def _written_anew(self, path: Path, before: int, actor: str) -> Path:
        """Write the new file, with the note of its making; return where it stands."""
        remove_leftovers(path)
        fresh = fresh_path(path)
        note, key = _compaction(actor, path.name, before), f"compact:{uuid.uuid4().hex}"
        with self._cursor() as source, self._interruptible(source):
            source.execute("CHECKPOINT")  # so that closing the old file, when everybody waits, is quick
            write_anew(source, fresh, note, key=key, limits=Limits(self._memory_limit, self._threads))
        return fresh

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Close the file for a moment; who reads is given some time, who comes waits."""
        with self._opening:
            self._replacing = True
            streams = list(self._streams)
        try:
            if not self._drained(_READERS_GRACE_S):
                self._stop_readers(streams)
                if not self._drained(0):
                    raise StoreError(f"{self.path} was not compacted: a query could not be stopped; try again later")
            with self._opening:
                self._disconnect()
            yield
        finally:
            with self._opening:
                self._replacing = False
                self._opening.notify_all()  # also where it cannot be opened: who waits is told why
                if not self._closed:
                    self._connection = self._connection or self._opened()

    def _drained(self, timeout_s: float) -> bool:
        """Wait some time for those who read; whether nobody does any more."""
        with self._opening:
            return self._opening.wait_for(lambda: not self._leased, timeout_s)

    def _stop_readers(self, streams: list[_Stream]) -> None:
        for _ in range(TRIES):
            with self._opening:
                for cursor in self._running:
                    cursor.interrupt()
            for stream in streams:
                stream.close()
            if self._drained(AGAIN_S):
                return

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Stop what runs, and release the file."""
        with self._opening:
            self._closed = True
            for cursor in self._running:
                cursor.interrupt()
            self._disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Stream:
    """Rows of a query, until they are taken or the store has to be free of readers."""

    def __init__(self, reader: pa.RecordBatchReader, held: ExitStack) -> None:
        self._reader = reader
        self._held = held
        self._lock = threading.Lock()
        self._ended = False

    def next(self) -> pa.RecordBatch | None:
        """Return some rows, nothing at the end."""
        with self._lock:
            if self._ended:
                raise QueryStoppedError("the rows were not taken in time: the store was compacted; ask again")
            return next(self._reader, None)

    def close(self) -> None:
        """Let go of what the query holds."""
        with self._lock:
            self._ended = True
            self._held.close()


def _compaction(actor: str, name: str, before: int) -> pa.Table:
    """The row of the audit log."""
    row = {
        "audit_id": str(uuid.uuid4()),
        "done_at": utc_now(),
        "actor": actor,
        "action": "store.compact",
        "target": name,
        "detail": json.dumps({"bytes_before": before}),
    }
    return pa.Table.from_pylist([row])


def _prepare(connection: Any) -> None:
    migrate(connection)
    # Readers send SQL: nothing outside this file may be reached from it.
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _require_one_select(cursor: Any, sql: str) -> None:
    statements = cursor.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(statement.type.name for statement in statements) or "nothing"
        raise QueryError(f"one SELECT statement is expected, got {kinds}")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the folder {folder} cannot be made ({error.strerror}); set another data_dir (UNDERTOW_DATA_DIR)"
        ) from None


def _locked(path: Path, error: Exception, hint: str) -> StoreError:
    holder = re.search(r"held in (.+?) \(PID (\d+)\)", str(error))
    if holder is None:
        return StoreError(
            f"{path} cannot be opened ({error}); check that it is a store and that it and its folder can be written,"
            " or set another data_dir (UNDERTOW_DATA_DIR)"
        )
    advice = hint or f"stop process {holder[2]} first; then `undertow up` lets every process share the store"
    return StoreLockedError(f"{path} is owned by process {holder[2]} ({holder[1]}); {advice}")


def _unusable(path: Path, error: Exception) -> StoreError:
    reason = str(error).split("\n", 1)[0]  # what follows is DuckDB's own advice
    return StoreError(f"{path} cannot be used ({reason}); check store.memory_limit and store.threads")
