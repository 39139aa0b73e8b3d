"""`undertow query`: read-only SQL against any store, values alone on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from undertow.text import one_line

if TYPE_CHECKING:
    import pyarrow as pa

_LARGEST_NATIVE = 2**63 - 1


@click.command()
@click.argument("sql")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json", "parquet"]), default="table")
@click.option("--no-header", is_flag=True, help="Leave out the column names (table and csv).")
@click.option("--store", "url", help="Store URL; by default the configured one.")
def query(sql: str, form: str, no_header: bool, url: str | None) -> None:
    """Run one SELECT against the store."""
    from undertow.store import open_store

    with open_store(url, create=False) as store:
        rows = store.query(sql)
    _WRITERS[form](rows, not no_header)


def _write_json(rows: pa.Table, header: bool) -> None:
    import orjson

    names = _distinct(rows.column_names)
    objects = [dict(zip(names, row, strict=True)) for row in _rows(rows)]
    sys.stdout.buffer.write(orjson.dumps(objects, default=_for_json, option=orjson.OPT_APPEND_NEWLINE))


def _write_csv(rows: pa.Table, header: bool) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    if header:
        writer.writerow(rows.column_names)
    for row in _rows(rows):
        writer.writerow(["" if value is None else _plain(value) for value in row])


def _write_table(rows: pa.Table, header: bool) -> None:
    lines = [[_shown(value) for value in row] for row in _rows(rows)]
    numeric = [_is_numeric(field.type) for field in rows.schema]
    shown = [[_shown(name) for name in rows.column_names], *lines] if header else lines
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for line in shown:
        cells = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        )
        click.echo("  ".join(cells).rstrip())


def _write_parquet(rows: pa.Table, header: bool) -> None:
    import pyarrow.parquet as pq

    if sys.stdout.isatty():
        raise click.UsageError("parquet is binary: send it to a file, for instance `> rows.parquet`")
    pq.write_table(rows.rename_columns(_distinct(rows.column_names)), sys.stdout.buffer)


_WRITERS = {"table": _write_table, "csv": _write_csv, "json": _write_json, "parquet": _write_parquet}


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Rows by position: in SQL two columns may share a name."""
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def _distinct(names: Sequence[str]) -> list[str]:
    """Names that tell columns apart: a, a become a, a_1."""
    taken = set(names)
    found: list[str] = []
    for name in names:
        chosen, number = name, 0
        while chosen in found or (number and chosen in taken):
            number += 1
            chosen = f"{name}_{number}"
        found.append(chosen)
    return found


def _is_numeric(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _plain(value: Any) -> Any:
    """Bytes as hex; whatever else no format knows as text."""
    return value.hex() if isinstance(value, bytes) else value if isinstance(value, int | float) else str(value)


def _for_json(value: Any) -> Any:
    """Numbers stay numbers: DuckDB sums integers into a type that Arrow holds as a decimal."""
    import orjson

    if not isinstance(value, Decimal):
        return _plain(value)
    if value != value.to_integral_value():
        return float(value)
    whole = int(value)
    return whole if abs(whole) <= _LARGEST_NATIVE else orjson.Fragment(str(whole))


def _shown(value: Any) -> str:
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(_plain(value))
    return one_line(text, 100)
