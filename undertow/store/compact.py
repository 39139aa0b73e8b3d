"""A store file written anew: erased rows are not copied, and the room that they took is given back.

DuckDB marks deleted rows and reuses their blocks some day; until then the file holds them, readable, and it never
shrinks. So the rows are copied into a new file, which takes the place of the old one in one rename: whoever is
killed on the way leaves either the old file or the new one, whole.

The unused end of a block holds whatever the writing process had in memory there, so that single remnants of an
erased text can come along: this is not yet erasure in the sense of data protection.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import duckdb

from undertow.errors import StoreError

_MARGIN_BYTES = 64 * 2**20
_ROWS_AT_ONCE = 2048


@dataclass(frozen=True)
class Compacted:
    """What a compaction did: bytes of the file and its log before and after."""

    bytes_before: int
    bytes_after: int


@runtime_checkable
class Compactable(Protocol):
    """A store that can be written anew."""

    def compact(self, *, actor: str) -> Compacted:
        """Write the store anew, without what was erased; reading goes on meanwhile, commits wait.

        Parameters
        ----------
        actor : who asked, for the audit log.

        Raises
        ------
        StoreError
            There is too little room, a compaction is under way, or the store failed; the store is as it was.
        """
        ...


def fresh_path(path: Path) -> Path:
    """Where the new file stands until it takes the place of the old one."""
    return path.with_name(f"{path.name}.compact")


def remove_leftovers(path: Path) -> None:
    """Remove what a compaction left that was killed before it had finished."""
    for left in (fresh_path(path), _log_of(fresh_path(path))):
        left.unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Bytes of a store file and its log."""
    return sum(file.stat().st_size for file in (path, _log_of(path)) if file.exists())


def require_room(path: Path) -> None:
    """Check that a second file of the same size fits beside a store.

    Raises
    ------
    StoreError
        It does not; the message says how much is free and how much is needed.
    """
    needed = size_of(path) + _MARGIN_BYTES
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise StoreError(
            f"compacting {path} writes it a second time: {needed / 2**20:.0f} MiB are needed,"
            f" {free / 2**20:.0f} MiB are free; make room first"
        )


def copy_rows(source: Any, target: Any) -> None:
    """Copy every row of every table, in the order in which they are stored.

    Parameters
    ----------
    source, target : cursors of two databases with the same tables; nobody may write to either meanwhile.

    Raises
    ------
    StoreError
        The tables are not the same, or not every row arrived.
    """
    held, made = _relations(source), _relations(target)
    if held != made:
        strange = sorted({name for name, _, _ in held ^ made})
        raise StoreError(
            f"the store holds relations that Undertow did not make or lacks some of its own ({', '.join(strange)});"
            " a copy would lose them, so nothing was compacted"
        )
    for name in sorted({name for name, kind, _ in held if kind == "BASE TABLE"}):
        columns = ", ".join(f'"{column}"' for of, _, column in sorted(held) if of == name)
        target.execute(f'DELETE FROM "{name}"')  # a new store knows its own migrations, at other times
        with source.execute(f'SELECT {columns} FROM "{name}"').to_arrow_reader(_ROWS_AT_ONCE) as reader:
            target.register("held", reader)
            target.execute(f'INSERT INTO "{name}" ({columns}) SELECT {columns} FROM held')
            target.unregister("held")
        before, after = (cursor.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for cursor in (source, target))
        if before != after:
            raise StoreError(f"{after} of {before} rows of {name!r} were copied; the store is as it was")


def swap(path: Path) -> None:
    """Put the finished new file in the place of a store file that this process has closed.

    Raises
    ------
    StoreError
        Somebody has the old file open, or it has a log that is not part of it yet; nothing was changed.
    """
    fresh = fresh_path(path)
    _require_released(path)
    with path.open("r+b") as old:
        try:
            # DuckDB's own lock: from here on nobody opens the old file and writes a log beside the new one.
            fcntl.lockf(old, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreError(f"another process has opened {path} meanwhile; try again later") from None
        if not os.path.samestat(os.fstat(old.fileno()), path.stat()):
            raise StoreError(f"another process has replaced {path} meanwhile")
        for log in (_log_of(path), _log_of(fresh)):
            if log.exists():
                raise StoreError(f"{log} was not written into its file; try again later")
        shutil.copymode(path, fresh)
        give_to_owner(fresh, of=path)
        _sync(fresh)
        fresh.replace(path)
        _sync(path.parent)


def give_to_owner(made: Path, *, of: Path) -> None:
    """Let a new file belong to the owner of another: what root has made, others could not open."""
    owner = of.stat()
    with suppress(PermissionError):
        os.chown(made, owner.st_uid, owner.st_gid)


def _relations(cursor: Any) -> set[tuple[str, str, str]]:
    """Return (relation, kind, column) of everything that is not DuckDB's own."""
    found = cursor.execute(
        "SELECT table_name, table_type, column_name FROM information_schema.tables"
        " JOIN information_schema.columns USING (table_catalog, table_schema, table_name)"
        " WHERE table_catalog = current_database() AND table_schema = 'main'"
    )
    return set(found.fetchall())


def _require_released(path: Path) -> None:
    """Within one process DuckDB gives a file out twice as one database: a reader who was left would keep the old."""
    try:
        duckdb.connect(str(path), read_only=True).close()
    except duckdb.Error as error:
        raise StoreError(f"{path} is still in use: {str(error).splitlines()[0]}") from None


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
