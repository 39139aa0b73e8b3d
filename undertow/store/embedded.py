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
        self, path: Path, *, memory_limit: str = "2GB", threads: int = 2, query_timeout_s: float = 60.0, hint: str = ""
    ) -> None:
        self.path = path
        self.url = f"duckdb:///{str(path).lstrip('/')}"
        self._query_timeout_s = query_timeout_s
        self._write_lock = threading.Lock()
        _make_folder(path.parent)
        config: dict[str, str | bool | int | float | list[str]] = {"memory_limit": memory_limit, "threads": threads}
        try:
            self._connection = duckdb.connect(str(path), config=config)
        except duckdb.IOException as error:
            raise _locked(path, error, hint) from None
        except duckdb.Error as error:
            raise _unusable(path, error) from None
        try:
            self._prepare()
        except BaseException as error:
            self._connection.close()
            if isinstance(error, duckdb.Error):
                raise _unusable(path, error) from None
            raise

    def _prepare(self) -> None:
        migrate(self._connection)
        # Readers send SQL: nothing outside this file may be reached from it.
        self._connection.execute("SET python_enable_replacements = false")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def query(self, sql: str, params: Params = None) -> pa.Table:
        """See :meth:`undertow.store.base.Store.query`."""
        cursor = self._connection.cursor()
        with closing(cursor), self._query_errors():
            _require_one_select(cursor, sql)
            with _Deadline(cursor, self._query_timeout_s):
                return cursor.execute(sql, params).to_arrow_table()

    def stream(self, sql: str, params: Params = None) -> tuple[pa.Schema, Generator[pa.RecordBatch]]:
        """Run one SELECT and return its columns and its rows, which are worked out as they are taken.

        The limit of time holds until the last row is taken; whoever takes fewer must close the iterator.

        Raises
        ------
        QueryError
            As for ``query``, from here or from the iterator.
        """
        cursor = self._connection.cursor()
        with ExitStack() as stack, self._query_errors():
            stack.enter_context(closing(cursor))
            stack.enter_context(_Deadline(cursor, self._query_timeout_s))
            _require_one_select(cursor, sql)
            reader = stack.enter_context(cursor.execute(sql, params).to_arrow_reader(_STREAMED_ROWS))
            return reader.schema, self._batches(reader, stack.pop_all())
        raise AssertionError("the errors of a query are raised")

    def _batches(self, reader: pa.RecordBatchReader, open_until_then: ExitStack) -> Generator[pa.RecordBatch]:
        with open_until_then, self._query_errors():
            yield from reader

    @contextmanager
    def _query_errors(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError) as error:  # a stream's errors come through Arrow
            if isinstance(error, duckdb.InterruptException) or str(error).startswith("INTERRUPT"):
                message = f"the query took longer than {self._query_timeout_s:g} s and was stopped"
                raise QueryError(message) from None
            raise QueryError(str(error)) from None

    def commit(self, tables: Mapping[str, pa.Table], *, key: str, delete: Mapping[str, pa.Table] | None = None) -> int:
        """See :meth:`undertow.store.base.Store.commit`."""
        with self._write_lock:
            cursor = self._connection.cursor()
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
                raise StoreError(f"commit {key!r} was rolled back: {error}") from error
            except BaseException:
                _rollback(cursor)
                raise
            finally:
                cursor.close()

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Deadline:
    """Interrupts a cursor when a time is over."""

    def __init__(self, cursor: Any, seconds: float) -> None:
        self._timer = threading.Timer(seconds, cursor.interrupt)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *exc: object) -> None:
        self._timer.cancel()


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
    doubled = cursor.execute(f"SELECT {keys} FROM incoming GROUP BY ALL HAVING count(*) > 1 LIMIT 1").fetchone()
    if doubled:
        raise StoreError(f"rows of {name!r} hold the key {keys} = {doubled} twice; a key must be unique in a commit")
    source = _make_room(cursor, name, table)
    names = [column for column in rows.column_names if column != "load_seq"]
    listed = ", ".join(f'"{column}"' for column in names)
    sequence = (", load_seq", f", {seq}") if "load_seq" in columns else ("", "")
    cursor.execute(f"INSERT INTO {name} ({listed}{sequence[0]}) SELECT {listed}{sequence[1]} FROM {source}")
    cursor.unregister("incoming")


def _make_room(cursor: Any, name: str, table: Table) -> str:
    """Remove the stored rows that give way, and return the relation of the incoming rows to insert."""
    same = " AND ".join(f"stored.{column} IS NOT DISTINCT FROM incoming.{column}" for column in table.key)
    if table.on_conflict == "replace" and table.guard is None:
        cursor.execute(f"DELETE FROM {name} AS stored USING incoming WHERE {same}")
        return "incoming"
    blocked = table.guard if table.on_conflict == "replace" else "true"
    # A guard must see the stored rows before any of them is removed.
    cursor.execute(
        "CREATE OR REPLACE TEMP TABLE accepted AS SELECT * FROM incoming"
        f" WHERE NOT EXISTS (SELECT 1 FROM {name} AS stored WHERE {same} AND {blocked})"
    )
    if table.on_conflict == "replace":
        cursor.execute(f"DELETE FROM {name} AS stored USING accepted AS incoming WHERE {same}")
    return "accepted"


def _rollback(cursor: Any) -> None:
    try:
        cursor.execute("ROLLBACK")
    except duckdb.Error:
        return  # the failure itself ended the transaction


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
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
