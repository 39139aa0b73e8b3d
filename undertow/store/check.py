"""Whether a store is whole: every row can be read, every key stands once, every migration is applied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from undertow.errors import QueryError, QueryStoppedError
from undertow.store.base import Store
from undertow.store.migrate import available
from undertow.store.tables import TABLES


@dataclass(frozen=True)
class Checked:
    """One thing that was looked at, and what was found.

    Attributes
    ----------
    ok : it was read to its end and is well.
    unknown : it was not read to its end, which is no sign of damage.
    """

    what: str
    ok: bool
    found: str
    unknown: bool = False


def check_store(store: Store) -> Iterator[Checked]:
    """Read a whole store, table by table.

    Raises
    ------
    StoreError
        The store does not answer.
    """
    yield _schema(store)
    for name in TABLES:
        try:
            yield _table(store, name)
        except QueryStoppedError as error:
            yield Checked(name, False, f"was not read to its end: {error}", unknown=True)
        except QueryError as error:
            yield Checked(name, False, f"cannot be read: {error}")


def _schema(store: Store) -> Checked:
    applied = set(store.query("SELECT version FROM schema_migrations")["version"].to_pylist())
    known = {number for number, _, _ in available()}
    if applied == known:
        return Checked("schema", True, f"version {max(known)}")
    return Checked("schema", False, f"has migrations {sorted(applied)}, this version of Undertow {sorted(known)}")


def _table(store: Store, name: str) -> Checked:
    # The hash of a whole row cannot be worked out from statistics: every block is read, and its checksum compared.
    read = store.query(f"SELECT count(*) AS n, bit_xor(hash(t)) AS content FROM {name} t").to_pylist()[0]
    keys = ", ".join(TABLES[name].key)
    doubled = store.query(f"SELECT count(*) AS n FROM (SELECT 1 FROM {name} GROUP BY {keys} HAVING count(*) > 1)")
    twice = doubled["n"][0].as_py()
    rows = f"{read['n']} rows"
    return Checked(name, not twice, f"{rows}, but {twice} keys ({keys}) stand more than once" if twice else rows)
