"""The rows of a store on their way into a new file, which another process writes.

DuckDB fills the unused end of a block with whatever the writing process has in memory there. So the file is
written by a process that never held an erased row: it is started anew, knows nothing of this one's environment, and
gets the rows that stay, and only them, through a pipe: one line of JSON, then one Arrow stream for each table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import duckdb
import pyarrow as pa

from undertow.errors import StoreError
from undertow.store.migrate import migrate
from undertow.store.writes import write_all

_ROWS_AT_ONCE = 2048
_PARENT_CHECK_S = 0.1
_LONGEST_ERROR = 4000  # more than a pipe holds would wait for a reader that still writes
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "TMPDIR")
"""What a Python needs to start; a token in the environment could come to stand in the file like anything else."""

_WIDEST = 16
_WITH_OFFSETS = (pa.types.is_string, pa.types.is_binary, pa.types.is_large_string, pa.types.is_large_binary)


@dataclass(frozen=True)
class Limits:
    """DuckDB's own settings of the process that writes."""

    memory_limit: str
    threads: int


def write_anew(source: Any, fresh: Path, note: pa.Table, *, key: str, limits: Limits) -> None:
    """Write every row of every table into a new file, in the order in which they are stored.

    Parameters
    ----------
    source : cursor of the store; nobody may write to it meanwhile.
    fresh : the new file; only its owner may read it.
    note : one more row of the audit log, committed under `key` after all others.

    Raises
    ------
    StoreError
        The store has other tables than this version makes, not every row arrived, or the other process failed.
    """
    tables = _tables(source)
    held = {name: _count(source, name) for name in tables}
    with _writer(fresh, limits) as process:
        written = _handed_over(process, source, tables, note, key)
    for name, rows in held.items():
        if written.get(name) != rows:
            raise StoreError(f"{written.get(name)} of {rows} rows of {name!r} were copied; the store is as it was")


def _tables(source: Any) -> dict[str, list[str]]:
    """Return the columns of every table, after checking that they are those of a new store."""
    with closing(duckdb.connect()) as made:
        migrate(made)
        expected = _relations(made)
    held = _relations(source)
    if held != expected:
        strange = sorted({name for name, _, _ in held ^ expected})
        raise StoreError(
            f"the store holds relations that Undertow did not make or lacks some of its own ({', '.join(strange)});"
            " a copy would lose them, so nothing was compacted"
        )
    tables: dict[str, list[str]] = {}
    for name, kind, column in sorted(held):
        if kind == "BASE TABLE":
            tables.setdefault(name, []).append(column)
    return tables


def _relations(cursor: Any) -> set[tuple[str, str, str]]:
    """Return (relation, kind, column) of everything that is not DuckDB's own."""
    found = cursor.execute(
        "SELECT if(table_schema = 'main', '', table_schema || '.') || table_name, table_type, column_name"
        " FROM information_schema.tables"
        " JOIN information_schema.columns USING (table_catalog, table_schema, table_name)"
        " WHERE table_catalog = current_database()"
    )
    return set(found.fetchall())


def _count(cursor: Any, name: str) -> int:
    return int(cursor.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])


@contextmanager
def _writer(fresh: Path, limits: Limits) -> Iterator[subprocess.Popen[bytes]]:
    """Start the process that writes; it does not outlive the block, nor this process."""
    command = [sys.executable, "-P", "-m", __name__, str(fresh)]
    command += [limits.memory_limit, str(limits.threads), str(os.getpid())]
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(path or os.curdir for path in sys.path)
    process = subprocess.Popen(  # noqa: S603 - our own command line, no shell
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # Ctrl-C ends this process, and the other one with it
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what it did not read any more
                _open(pipe).close()


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise StoreError("the process that writes the new file was started without a pipe")
    return pipe


def _handed_over(
    process: subprocess.Popen[bytes], source: Any, tables: dict[str, list[str]], note: pa.Table, key: str
) -> dict[str, int]:
    """Send all rows; return how many of each table the other process has written."""
    try:
        with _open(process.stdin) as pipe:
            pipe.write(json.dumps({"tables": list(tables), "key": key}).encode() + b"\n")
            for name, columns in tables.items():
                listed = ", ".join(f'"{column}"' for column in columns)
                with source.execute(f'SELECT {listed} FROM "{name}"').to_arrow_reader(_ROWS_AT_ONCE) as rows:
                    _send(pipe, rows.schema, rows)
            _send(pipe, note.schema, note.to_batches())
    except BrokenPipeError:
        pass  # it says why, or is no more
    said = _open(process.stdout).read()
    process.wait()
    try:
        answer = json.loads(said)
    except ValueError:
        raise StoreError(
            f"the process that wrote the new file ended with code {process.returncode} (-9: killed, as when memory is"
            " short); the standard error of this process may say why; the store is as it was"
        ) from None
    if "error" in answer:
        raise StoreError(f"the new file could not be written: {answer['error']}; the store is as it was")
    rows_written: dict[str, int] = answer["rows"]
    return rows_written


def _send(pipe: IO[bytes], schema: pa.Schema, batches: Iterator[pa.RecordBatch] | Sequence[pa.RecordBatch]) -> None:
    with pa.ipc.new_stream(pipe, schema) as stream:
        for batch in batches:
            stream.write_batch(_without_remnants(batch))


def _without_remnants(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows with zeros where a value is absent: there stands what was in memory, else."""
    return pa.RecordBatch.from_arrays([_zeroed(column) for column in batch.columns], schema=batch.schema)


def _zeroed(column: pa.Array) -> pa.Array:
    if column.null_count == 0 or any(holds(column.type) for holds in _WITH_OFFSETS):
        return column
    if column.null_count == len(column):
        return pa.nulls(len(column), column.type)
    zero = pa.Array.from_buffers(column.type, 1, [None, pa.py_buffer(bytes(_WIDEST))])[0]
    valid, filled = column.is_valid(), column.fill_null(zero)
    return pa.Array.from_buffers(column.type, len(column), [valid.buffers()[1], filled.buffers()[1]])


def main() -> None:
    """Write the new file: the other end of the pipe."""
    path, memory_limit, threads, parent = sys.argv[1:]
    os.umask(0o077)
    threading.Thread(target=_follow, args=(int(parent),), daemon=True, name="parent").start()
    try:
        said: dict[str, Any] = {"rows": _received(sys.stdin.buffer, Path(path), Limits(memory_limit, int(threads)))}
    except (duckdb.Error, pa.ArrowException, StoreError, OSError, ValueError) as error:
        said = {"error": str(error)[:_LONGEST_ERROR]}
    sys.stdout.write(json.dumps(said))


def _follow(parent: int) -> None:
    """End with the other process at once: what it leaves half done, nobody wants."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    os._exit(1)


def _received(pipe: IO[bytes], path: Path, limits: Limits) -> dict[str, int]:
    """Write what comes through the pipe; return the rows of each table without the note."""
    asked = json.loads(pipe.readline())
    config: dict[str, Any] = {"memory_limit": limits.memory_limit, "threads": limits.threads}
    with closing(duckdb.connect(str(path), config=config)) as connection:
        migrate(connection)
        written = {name: _inserted(connection, name, pipe) for name in asked["tables"]}
        connection.execute("BEGIN")
        with pa.ipc.open_stream(pipe) as note:
            write_all(connection, {"audit_log": note.read_all()}, {}, asked["key"])
        connection.execute("COMMIT")
        connection.execute("CHECKPOINT")  # closing does it, too, but tells nobody of a full disk
    return written


def _inserted(connection: Any, name: str, pipe: IO[bytes]) -> int:
    connection.execute(f'DELETE FROM "{name}"')  # a new store knows its own migrations, at other times
    with pa.ipc.open_stream(pipe) as rows:
        columns = ", ".join(f'"{column}"' for column in rows.schema.names)
        connection.register("held", rows)
        connection.execute(f'INSERT INTO "{name}" ({columns}) SELECT {columns} FROM held')
        connection.unregister("held")
    return _count(connection, name)


if __name__ == "__main__":
    main()
