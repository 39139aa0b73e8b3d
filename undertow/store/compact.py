"""A store file written anew: erased rows are not copied, and the room that they took is given back.

DuckDB marks deleted rows and reuses their blocks some day; until then the file holds them, readable, and it never
shrinks. So the rows are copied into a new file (:mod:`undertow.store.copying`), which takes the place of the old one
in one rename: whoever is killed on the way leaves either the old file or the new one, whole.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import duckdb

from undertow.errors import StoreError

_MARGIN_BYTES = 64 * 2**20
_FRESH = "compact"


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
    """Where a new file stands until it takes the place of the old one; each has a name of its own.

    A process that writes one ends a moment after the process that it does so for, and must not meet its successor.
    """
    return path.with_name(f"{path.name}.{uuid.uuid4().hex}.{_FRESH}")


def remove_leftovers(path: Path) -> None:
    """Remove what a compaction left that was killed before it had finished, its log and DuckDB's own folder too."""
    for left in leftovers(path):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def leftovers(path: Path) -> list[Path]:
    """What stands beside a store of compactions that are not finished."""
    made = re.compile(rf"{re.escape(path.name)}(\.[0-9a-f]{{32}})?\.{_FRESH}(\.wal|\.tmp)?")
    return [entry for entry in path.parent.iterdir() if made.fullmatch(entry.name)]


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


def swap(path: Path, fresh: Path) -> None:
    """Put the finished new file in the place of a store file that this process has closed.

    Raises
    ------
    StoreError
        Somebody has the old file open, or it has a log that is not part of it yet; nothing was changed.
    """
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
