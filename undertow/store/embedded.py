"""The store as one DuckDB file that this process owns."""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa

from undertow.clock import utc_now
from undertow.errors import QueryError, StoreError, StoreLockedError
from undertow.store.base import Params
from undertow.store.migrate import migrate
from undertow.store.tables import TABLES, Table

_STREAMED_ROWS = 2048
_INVALIDATED = "database has been invalidated"


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
        self._query_timeout_s = query_timeout_s
        self._hint = hint
        self._config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "threads": threads,
            # A checkpoint writes the last row group of every table anew, however few rows came since the one before.
            "checkpoint_threshold": "128MB",
        }
        self._write_lock = threading.Lock()
        self._opening = threading.Lock()
        _make_folder(path.parent)
        self._connection: Any = self._opened()
        self._closed = False
        self._running: set[Any] = set()

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

    def _cursor(self) -> Any:
        with self._opening:
            if self._closed:
                raise StoreError(f"{self.path} is closed")
            if self._connection is None:
                self._connection = self._opened()
            return self._connection.cursor()

    def _give_up_if_fatal(self, error: Exception) -> None:
        """Open the file anew next time, where DuckDB serves it no more: a checkpoint has met a full disk, say.

        What was committed is in the file and its log, as after a crash.
        """
        if isinstance(error, duckdb.FatalException) or _INVALIDATED in str(error):
            with self._opening:
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None

    def query(self, sql: str, params: Params = None) -> pa.Table:
        """See :meth:`undertow.store.base.Store.query`."""
        cursor = self._cursor()
        with closing(cursor), self._query_errors():
            _require_one_select(cursor, sql)
            with self._limited(cursor):
                return cursor.execute(sql, params).to_arrow_table()

    def stream(self, sql: str, params: Params = None) -> tuple[pa.Schema, Generator[pa.RecordBatch]]:
        """Run one SELECT and return its columns and its rows, which are worked out as they are taken.

        The limit of time holds until the last row is taken; whoever takes fewer must close the iterator.

        Raises
        ------
        QueryError
            As for ``query``, from here or from the iterator.
        """
        cursor = self._cursor()
        with ExitStack() as stack, self._query_errors():
            stack.enter_context(closing(cursor))
            stack.enter_context(self._limited(cursor))
            _require_one_select(cursor, sql)
            reader = stack.enter_context(cursor.execute(sql, params).to_arrow_reader(_STREAMED_ROWS))
            return reader.schema, self._batches(reader, stack.pop_all())
        raise AssertionError("the errors of a query are raised")

    def _batches(self, reader: pa.RecordBatchReader, open_until_then: ExitStack) -> Generator[pa.RecordBatch]:
        with open_until_then, self._query_errors():
            yield from reader

    @contextmanager
    def _limited(self, cursor: Any) -> Iterator[None]:
        """Interrupt a cursor when its time is over, or when the store is closed."""
        timer = threading.Timer(self._query_timeout_s, cursor.interrupt)
        timer.daemon = True
        timer.start()
        with self._opening:
            self._running.add(cursor)
        try:
            yield
        finally:
            timer.cancel()
            with self._opening:
                self._running.discard(cursor)

    @contextmanager
    def _query_errors(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError) as error:  # a stream's errors come through Arrow
            if isinstance(error, duckdb.InterruptException) or str(error).startswith("INTERRUPT"):
                why = "the store was closed" if self._closed else f"it took longer than {self._query_timeout_s:g} s"
                raise QueryError(f"the query was stopped: {why}") from None
            self._give_up_if_fatal(error)
            raise QueryError(str(error)) from None

    def commit(self, tables: Mapping[str, pa.Table], *, key: str, delete: Mapping[str, pa.Table] | None = None) -> int:
        """See :meth:`undertow.store.base.Store.commit`."""
        with self._write_lock:
            cursor = self._cursor()
            try:
                cursor.execute("BEGIN")
                seen = cursor.execute("SELECT seq FROM commits WHERE key = ?", [key]).fetchone()
                if seen:
                    cursor.execute("ROLLBACK")
                    return int(seen[0])
                seq = _write_all(cursor, tables, delete or {}, key)
                cursor.execute("COMMIT")
                return seq
            except duckdb.Error as error:
                _rollback(cursor)
                self._give_up_if_fatal(error)
                raise StoreError(f"commit {key!r} was rolled back: {error}") from error
            except BaseException:
                _rollback(cursor)
                raise
            finally:
                cursor.close()

    def close(self) -> None:
        """Stop what runs, and release the file."""
        with self._opening:
            self._closed = True
            for cursor in self._running:
                cursor.interrupt()
            if self._connection is not None:
                self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


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


def _write_all(cursor: Any, tables: Mapping[str, pa.Table], delete: Mapping[str, pa.Table], key: str) -> int:
    seq = int(cursor.execute("SELECT coalesce(max(seq), 0) + 1 FROM commits").fetchone()[0])
    for name, rows in delete.items():
        _describe(cursor, name, rows)
        _delete(cursor, name, rows)
    for name, rows in tables.items():
        _write(cursor, name, rows, seq)
    cursor.execute("INSERT INTO commits VALUES (?, ?, ?)", [key, seq, utc_now()])
    return seq


def _describe(cursor: Any, name: str, rows: pa.Table) -> tuple[Table, set[str]]:
    """Return the table's rule and columns, after checking that the rows fit it."""
    table = TABLES.get(name)
    if table is None:
        raise StoreError(f"there is no table {name!r}; the tables are {', '.join(TABLES)}")
    columns = {row[0] for row in cursor.execute(f"SELECT name FROM pragma_table_info('{name}')").fetchall()}
    unknown = [column for column in rows.column_names if column not in columns]
    if unknown:
        raise StoreError(f"table {name!r} has no column {', '.join(unknown)}; it has {', '.join(sorted(columns))}")
    return table, columns


def _delete(cursor: Any, name: str, rows: pa.Table) -> None:
    match = " AND ".join(f"{name}.{column} IS NOT DISTINCT FROM gone.{column}" for column in rows.column_names)
    cursor.register("gone", rows)
    cursor.execute(f"DELETE FROM {name} USING gone WHERE {match}")
    cursor.unregister("gone")


def _write(cursor: Any, name: str, rows: pa.Table, seq: int) -> None:
    table, columns = _describe(cursor, name, rows)
    missing = [column for column in table.key if column not in rows.column_names]
    if missing:
        raise StoreError(f"rows of {name!r} lack the key column {', '.join(missing)}")
    if rows.num_rows == 0:
        return
    if table.guard:  # it may speak of columns that these rows do not carry
        for column in sorted(columns - set(rows.column_names)):
            rows = rows.append_column(column, pa.nulls(rows.num_rows))
    keys = ", ".join(table.key)
    cursor.register("incoming", rows)
    distinct = rows.select(table.key).group_by(list(table.key), use_threads=False).aggregate([]).num_rows
    if distinct < rows.num_rows:
        doubled = cursor.execute(f"SELECT {keys} FROM incoming GROUP BY ALL HAVING count(*) > 1 LIMIT 1").fetchone()
        raise StoreError(f"rows of {name!r} hold the key {keys} = {doubled} twice; a key must be unique in a commit")
    source = _make_room(cursor, name, table)
    names = [column for column in rows.column_names if column != "load_seq"]
    listed = ", ".join(f'"{column}"' for column in names)
    sequence = (", load_seq", f", {seq}") if "load_seq" in columns else ("", "")
    cursor.execute(f"INSERT INTO {name} ({listed}{sequence[0]}) SELECT {listed}{sequence[1]} FROM {source}")
    cursor.unregister("incoming")


def _make_room(cursor: Any, name: str, table: Table) -> str:
    """Remove the stored rows that give way, and return what to insert: the incoming rows that do not give way."""
    same = " AND ".join(f"stored.{column} IS NOT DISTINCT FROM incoming.{column}" for column in table.key)
    if table.on_conflict == "replace" and table.guard is None:
        cursor.execute(f"DELETE FROM {name} AS stored USING incoming WHERE {same}")
        return "incoming"
    if table.on_conflict == "keep":
        return f"incoming WHERE NOT EXISTS (SELECT 1 FROM {name} AS stored WHERE {same})"
    # A guard must see the stored rows before any of them is removed.
    cursor.execute(
        "CREATE OR REPLACE TEMP TABLE accepted AS SELECT * FROM incoming"
        f" WHERE NOT EXISTS (SELECT 1 FROM {name} AS stored WHERE {same} AND {table.guard})"
    )
    cursor.execute(f"DELETE FROM {name} AS stored USING accepted AS incoming WHERE {same}")
    return "accepted"


def _rollback(cursor: Any) -> None:
    try:
        cursor.execute("ROLLBACK")
    except duckdb.Error:
        return  # the failure itself ended the transaction


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
