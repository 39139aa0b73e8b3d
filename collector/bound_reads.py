"""What a reader whose token is bound to a service may see.

His SQL never runs where other rows are: the rows of his services are copied into a database of their own in
memory, and his statement is run there. A filter in front of the statement would not do: names with a schema, table
functions, statistics and the texts of conversion errors all lead around it.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from collector.bounds import Bounds
from undertow.errors import QueryError, QueryStoppedError
from undertow.store.base import Params
from undertow.store.limits import limited
from undertow.store.migrate import migrate

_MEMORY = "512MB"
_COPIES_AT_A_TIME = 2
_UNTAKEN_BYTES = 256 * 2**20
_ROWS_A_BATCH = 2048
_OWN = "interaction_id IN (SELECT interaction_id FROM interactions WHERE {match})"
_ON_OWN = "target_kind = 'interaction' AND target_id IN (SELECT interaction_id FROM interactions WHERE {match})"
VISIBLE: Mapping[str, str] = {
    "spans": "{match}",
    "interactions": "{match}",
    "rollups": "{match}",
    "redactions": "{match}",
    **dict.fromkeys(("documents", "costs", "topic_assignments", "claims", "reviews"), _OWN),
    "tool_runs": "(trace_id, span_id) IN (SELECT (trace_id, span_id) FROM spans WHERE {match})",
    **dict.fromkeys(("evaluations", "feedback"), _ON_OWN),
    "commits": "seq = (SELECT max(seq) FROM commits)",
}
"""Tables that can be told apart by service, and how. Everything learnt from all services together is left out."""

_VIEWS: Mapping[str, tuple[str, ...]] = {
    "semantic_interactions": ("interactions",),
    "interactions_priced": ("interactions", "costs"),
}


_RELATIONS = """
    SELECT table_name, 'TABLE' FROM duckdb_tables()
    UNION ALL SELECT view_name, 'VIEW' FROM duckdb_views() WHERE NOT internal
"""


class Streaming(Protocol):
    """The store with all rows."""

    def stream(self, sql: str, params: Params = None) -> tuple[pa.Schema, Generator[pa.RecordBatch]]:
        """Run one SELECT and return its columns and its rows."""
        ...


class BoundReads:
    """Answers readers whose tokens are bound; what all of them hold together is bounded.

    Parameters
    ----------
    timeout_s : limit of one query, and of the wait for the copies of others.
    most_bytes : results that readers have not taken yet.
    """

    def __init__(self, store: Streaming, *, timeout_s: float, most_bytes: int = _UNTAKEN_BYTES) -> None:
        self._store = store
        self._timeout_s = timeout_s
        self._most_bytes = most_bytes
        self._copies = threading.BoundedSemaphore(_COPIES_AT_A_TIME)
        # The collection of cycles may end a result, and so come back here, in the middle of a change.
        self._lock = threading.RLock()
        self.untaken_bytes = 0

    def stream(self, bounds: Bounds, sql: str, params: Params) -> tuple[pa.Schema, Generator[pa.RecordBatch]]:
        """Run one SELECT over nothing but the rows of a token's services and environments.

        Raises
        ------
        QueryError
            The SQL is wrong or no single SELECT, or it names a table that is not told apart by service.
        QueryStoppedError
            It takes too long, or it or its result needs more memory than there is for such readers.
        """
        if not self._copies.acquire(timeout=self._timeout_s):
            raise QueryStoppedError(
                f"the query waited {self._timeout_s:g} s for those of other readers; ask again later"
            )
        try:
            rows = _bound_query(self._store, bounds, sql, params, self._timeout_s, self._most_bytes)
            self._hold(rows.nbytes)
        finally:
            self._copies.release()
        batches = _batches(rows)
        weakref.finalize(batches, self._hold, -rows.nbytes)
        return rows.schema, batches

    def _hold(self, size: int) -> None:
        with self._lock:
            if size > 0 and self.untaken_bytes + size > self._most_bytes:
                raise QueryStoppedError(
                    f"results that readers have not taken yet would hold more than {self._most_bytes} bytes;"
                    " ask again later, or for fewer rows"
                )
            self.untaken_bytes += size


def _batches(rows: pa.Table) -> Generator[pa.RecordBatch]:
    yield from rows.to_batches()


def _bound_query(
    store: Streaming, bounds: Bounds, sql: str, params: Params, timeout_s: float, most_bytes: int
) -> pa.Table:
    config: dict[str, str | bool | int | float | list[str]] = {"memory_limit": _MEMORY, "threads": 1}
    with closing(duckdb.connect(":memory:", config=config)) as copy, _query_errors(timeout_s), limited(copy, timeout_s):
        _require_one_select(copy, sql)
        _prepare(copy, store, bounds, sql)
        return _collected(copy.execute(sql, params).to_arrow_reader(_ROWS_A_BATCH), most_bytes)


def _collected(reader: pa.RecordBatchReader, most_bytes: int) -> pa.Table:
    batches, size = [], 0
    for batch in reader:
        size += batch.nbytes
        if size > most_bytes:
            raise QueryStoppedError(f"the result is larger than {most_bytes} bytes; ask for fewer rows")
        batches.append(batch)
    return pa.Table.from_batches(batches, schema=reader.schema)


def _require_one_select(copy: Any, sql: str) -> None:
    statements = copy.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise QueryError("one SELECT statement is expected")


def _prepare(copy: Any, store: Streaming, bounds: Bounds, sql: str) -> None:
    """Make the relations that may be seen, and fill those that the statement may speak of."""
    migrate(copy)
    known = {"TABLE": VISIBLE, "VIEW": _VIEWS}
    for name, kind in copy.execute(_RELATIONS).fetchall():
        if name not in known[kind]:
            copy.execute(f'DROP {kind} "{name}"')
    words = set(re.findall(r"\w+", sql.lower()))
    needed = {table for name in words & {*VISIBLE, *_VIEWS} for table in _VIEWS.get(name, (name,))}
    for table in sorted(needed):
        _fill(copy, store, bounds, table)
    for setting in (
        "python_enable_replacements = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        copy.execute(f"SET {setting}")


def _fill(copy: Any, store: Streaming, bounds: Bounds, table: str) -> None:
    sides = (("service_name", "services", bounds.services), ("environment", "environments", bounds.environments))
    match = " AND ".join(f"{column} IN (SELECT unnest(${name}))" for column, name, values in sides if values)
    where = VISIBLE[table].format(match=match)
    values = {name: sorted(values) for _, name, values in sides if values and f"${name}" in where}
    schema, batches = store.stream(f"SELECT * FROM {table} WHERE {where}", values)
    with closing(batches):
        copy.register("incoming", pa.RecordBatchReader.from_batches(schema, batches))
        copy.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
        copy.unregister("incoming")


@contextmanager
def _query_errors(timeout_s: float) -> Iterator[None]:
    try:
        yield
    except duckdb.CatalogException as error:
        readable = ", ".join(sorted({*VISIBLE, *_VIEWS}))
        raise QueryError(f"{error}\nA token that is bound to a service or environment can read {readable}") from None
    except (duckdb.Error, pa.ArrowException, OSError) as error:  # those of the rows come through Arrow
        if isinstance(error, duckdb.InterruptException) or str(error).startswith("INTERRUPT"):
            raise QueryStoppedError(f"the query took longer than {timeout_s:g} s and was stopped") from None
        if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in str(error):
            raise QueryStoppedError(f"the rows of the token's services do not fit into {_MEMORY}") from None
        raise QueryError(str(error)) from None
