"""Forward-only, additive, numbered migrations, each in one transaction with its own record."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import duckdb

from undertow.clock import utc_now
from undertow.errors import MigrationError


def available() -> list[tuple[int, str, str]]:
    """Return (number, name, SQL) of every migration, in order."""
    found = []
    for entry in files("undertow.store").joinpath("migrations").iterdir():
        if entry.name.endswith(".sql"):
            number, _, name = entry.name.removesuffix(".sql").partition("_")
            found.append((int(number), name, entry.read_text("utf-8")))
    return sorted(found)


def migrate(connection: Any) -> list[int]:
    """Bring a store to the newest version and return the numbers applied.

    Raises
    ------
    MigrationError
        The store was written by a newer version of Undertow, or a migration failed (and was rolled back).
    """
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER, name VARCHAR, applied_at TIMESTAMP)"
    )
    done = {row[0] for row in connection.execute("SELECT version FROM schema_migrations").fetchall()}
    known = available()
    newer = done - {number for number, _, _ in known}
    if newer:
        raise MigrationError(
            f"the store has migration {max(newer)}, this version of Undertow knows {known[-1][0]};"
            " upgrade Undertow to open it"
        )
    applied = []
    for number, name, sql in known:
        if number in done:
            continue
        connection.execute("BEGIN")
        try:
            connection.execute(sql)
            # Literals of our own: to bind values, DuckDB would import pandas.
            connection.execute(f"INSERT INTO schema_migrations VALUES ({number}, '{name}', TIMESTAMP '{utc_now()}')")
            connection.execute("COMMIT")
        except duckdb.Error as error:
            connection.execute("ROLLBACK")
            raise MigrationError(f"migration {number:04d}_{name} failed and was rolled back: {error}") from error
        applied.append(number)
    return applied
