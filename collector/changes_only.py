"""Only what differs from the store is written, so that a row's ``load_seq`` tells when it last changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from collector.records import Record
from undertow.store.base import Store
from undertow.store.tables import TABLES

_IDS = "(SELECT unnest(from_json($ids, '[\"VARCHAR\"]')))"
_SPANS = """
    WITH spoken AS (
        SELECT unnest(from_json($spans, '[{"t": "VARCHAR", "s": "VARCHAR", "i": "VARCHAR"}]'), recursive := true)
    )
"""

Tables = dict[str, pa.Table]
Key = tuple[Any, ...]

_OF_INTERACTIONS = ("documents", "tool_runs")
_JUDGEMENTS = ("evaluations", "feedback", "changes")


@dataclass
class _Difference:
    """Rows of one table to write, keys to delete, and the interactions that either speaks of."""

    write: pa.Table
    gone: pa.Table
    interactions: set[str] = field(default_factory=set)


def only_changes(store: Store, tables: Mapping[str, pa.Table], spans: Sequence[Record]) -> tuple[Tables, Tables]:
    """Leave out of assembled rows what is stored already, and find the stored rows that are no more.

    An interaction also counts as changed when one of its documents or tool runs did: what is computed from an
    interaction is computed from those too.

    Parameters
    ----------
    tables : assembled rows, with all columns of the store but ``load_seq``.
    spans : those about which something may be stored that is not so any more.

    Returns
    -------
    tuple
        Tables to write, and tables of keys to delete, as ``Store.commit`` takes them.

    Raises
    ------
    StoreError
        The store failed.
    """
    write: Tables = dict(tables)
    delete: Tables = {}
    changed: set[str] = set()
    pairs = [{"t": span["trace_id"], "s": span["span_id"], "i": span["record_id"]} for span in spans]
    for name in (*_OF_INTERACTIONS, "interactions"):
        stored = store.query(_stored(name), {"spans": orjson.dumps(pairs).decode()}).drop_columns(["load_seq"])
        found = _difference(tables.get(name, stored.schema.empty_table()), stored, TABLES[name].key, changed)
        changed |= found.interactions
        _put(write, name, found.write)
        _put(delete, name, found.gone)
    for name in _JUDGEMENTS:
        if name in tables:
            (key,) = TABLES[name].key
            ids = {"ids": orjson.dumps(tables[name].column(key).to_pylist()).decode()}
            stored = store.query(f"SELECT * FROM {name} WHERE {key} IN {_IDS}", ids)
            _put(write, name, _difference(tables[name], stored, (key,), set()).write)
    return write, delete


def _stored(name: str) -> str:
    """Return the query for the rows of spans; the long columns are read only where the ids were found."""
    same = "trace_id = t AND span_id = s" if name == "tool_runs" else "interaction_id = i"
    return f"{_SPANS} SELECT * FROM {name} WHERE rowid IN (SELECT x.rowid FROM {name} x SEMI JOIN spoken ON {same})"


def _put(tables: Tables, name: str, rows: pa.Table) -> None:
    if rows.num_rows:
        tables[name] = rows
    else:
        tables.pop(name, None)


def _difference(new: pa.Table, stored: pa.Table, key: Sequence[str], changed: set[str]) -> _Difference:
    """Compare rows by key; rows of the changed interactions differ in any case."""
    places = {found: row for row, found in enumerate(_keys(stored, key))}
    keys = _keys(new, key)
    counterparts = stored.take(pa.array([places.get(found) for found in keys], pa.int64()))
    same = pa.array([found in places for found in keys], pa.bool_())
    for column in new.column_names:
        same = pc.and_(same, _equal(new.column(column), counterparts.column(column)))
    if changed and "interaction_id" in key:
        same = pc.and_(same, pc.invert(pc.is_in(new.column("interaction_id"), pa.array(sorted(changed), pa.string()))))
    kept = set(keys)
    lost = stored.take(pa.array([row for found, row in places.items() if found not in kept], pa.int64()))
    write = new.filter(pc.invert(same))
    difference = _Difference(write, lost.select(list(key)))
    if "interaction_id" in new.column_names:
        for rows in (write, counterparts.filter(pc.invert(same)), lost):
            difference.interactions.update(found for found in rows.column("interaction_id").to_pylist() if found)
    return difference


def _keys(rows: pa.Table, key: Sequence[str]) -> list[Key]:
    return list(zip(*(rows.column(column).to_pylist() for column in key), strict=True))


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> pa.ChunkedArray:
    both_absent = pc.and_(pc.is_null(one), pc.is_null(other))
    return pc.or_(both_absent, pc.fill_null(pc.equal(one, other), False))
