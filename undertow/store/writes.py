"""What a commit does within its transaction: every table by its own rule (:mod:`undertow.store.tables`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa

from undertow.clock import utc_now
from undertow.errors import StoreError
from undertow.store.tables import TABLES, Table


def write_all(cursor: Any, tables: Mapping[str, pa.Table], delete: Mapping[str, pa.Table], key: str) -> int:
    """Write within the transaction that is open, and return its sequence number.

    Raises
    ------
    StoreError
        A table or column is unknown, or a key is missing or doubled.
    """
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


def rollback(cursor: Any) -> None:
    """End a transaction without a trace of it."""
    try:
        cursor.execute("ROLLBACK")
    except duckdb.Error:
        return  # the failure itself ended the transaction
