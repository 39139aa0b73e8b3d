"""The protocol that every store backend keeps; one conformance suite holds all of them to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, runtime_checkable

import pyarrow as pa

Params = Sequence[Any] | Mapping[str, Any] | None


@runtime_checkable
class Store(Protocol):
    """Tables in, tables out."""

    url: str

    def query(self, sql: str, params: Params = None) -> pa.Table:
        """Run one SELECT and return its rows.

        Parameters
        ----------
        sql : one SELECT statement; ``?`` or ``$name`` for values.
        params : sequence for ``?``, mapping for ``$name``.

        Raises
        ------
        QueryError
            The SQL is wrong or is not one SELECT.
        QueryStoppedError
            It took longer than the limit, or more memory.
        """
        ...

    def commit(self, tables: Mapping[str, pa.Table], *, key: str, delete: Mapping[str, pa.Table] | None = None) -> int:
        """Write several tables in one transaction, all or nothing, once per key.

        Parameters
        ----------
        tables : rows to write by table; columns by name, missing columns become NULL. Rows with the key of
            a stored row follow the table's rule (``undertow.store.tables``). ``load_seq`` is assigned here.
        key : identifies this commit for ever; a second commit with it changes nothing.
        delete : by table, columns whose values select the rows removed before writing
            (``{"claims": table with interaction_id}`` removes the claims of those interactions).

        Returns
        -------
        int
            Sequence number of this commit (of the first one with this key), the ``load_seq`` of its rows.

        Raises
        ------
        StoreError
            A table or column is unknown, a key is doubled within the rows, or the store failed; nothing was written.
        """
        ...

    def close(self) -> None:
        """Release the file or the connection."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


def data_version(store: Store) -> int:
    """Sequence number of the newest commit: the key of every cache over the store."""
    return int(store.query("SELECT coalesce(max(seq), 0) AS seq FROM commits").column("seq")[0].as_py())
