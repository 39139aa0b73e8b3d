"""What `bench/ingest.py` has measured, as a table for the terminal or for `bench/README.md`."""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from ingest_run import Figure
from rich.console import Console
from rich.table import Table

_TRANSPORTS = {"grpc": "gRPC", "http": "HTTP"}


def show(figures: list[Figure]) -> None:
    table = Table(caption=machine())
    for heading in ("part", "what", "measured", "promised", "note"):
        table.add_column(heading, justify="right" if heading in ("measured", "promised") else "left")
    part = ""
    for figure in figures:
        promised = "" if figure.bar is None else f"{'at least' if figure.at_least else 'at most'} {figure.bar:g}"
        shown = "" if figure.part == part else figure.part
        mark = " (missed)" if figure.missed else ""
        table.add_row(shown, figure.name, f"{amount(figure)}{mark}", promised, figure.note)
        part = figure.part
    Console(width=None if sys.stdout.isatty() else 180).print(table)
    missed = [figure for figure in figures if figure.missed]
    print(f"{len(missed)} of {sum(figure.bar is not None for figure in figures)} promises missed")
    for figure in missed:
        print(f"  {figure.part}: {figure.name} {amount(figure)}, promised {figure.bar:g}")


def amount(figure: Figure) -> str:
    if math.isnan(figure.measured):
        return "none"
    digits = 2 if abs(figure.measured) < 10 and figure.measured != int(figure.measured) else 0
    return f"{figure.measured:,.{digits}f} {figure.unit}".rstrip()


def machine() -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("undertow", "duckdb", "pyarrow", "protobuf", "grpcio"))
    load = os.getloadavg()[0]
    when = datetime.now(UTC).date()
    return f"{when}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}, {libraries}"


def markdown(figures: list[Figure]) -> str:
    """Return one table for each part in Markdown, the transports side by side."""
    parts: dict[str, dict[str, dict[str, Figure]]] = {}
    for figure in figures:
        part, transport = _divided(figure.part)
        parts.setdefault(part, {}).setdefault(figure.name, {})[transport] = figure
    tables = [_part(part, rows) for part, rows in parts.items()]
    return "\n\n".join([f"{machine()}.", *tables])


def _divided(part: str) -> tuple[str, str]:
    """Return the name of a part without its transport, and the transport."""
    words = part.split(", ")
    transport = next((word for word in words if word in _TRANSPORTS), "")
    return ", ".join(word for word in words if word != transport), transport


def _part(part: str, rows: dict[str, dict[str, Figure]]) -> str:
    transports = [one for one in ("", *_TRANSPORTS) if any(one in row for row in rows.values())]
    noted = any(figure.note for row in rows.values() for figure in row.values())
    lines = [
        [part, *(_TRANSPORTS.get(one, "measured") for one in transports), "promised", *(["note"] * noted)],
        ["---"] * (len(transports) + 2 + noted),
    ]
    for name, row in rows.items():
        first = next(iter(row.values()))
        cells = [_cell(row[one]) if one in row else "" for one in transports]
        lines.append([name, *cells, _promise(first), *([_notes(row, transports)] * noted)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(figure: Figure) -> str:
    return f"{amount(figure)}: **missed**" if figure.missed else amount(figure)


def _promise(figure: Figure) -> str:
    if figure.bar is None:
        return ""
    return f"at {'least' if figure.at_least else 'most'} {figure.bar:,g} {figure.unit}".rstrip()


def _notes(row: dict[str, Figure], transports: Sequence[str]) -> str:
    """Return the note of every transport, once where they are the same."""
    notes = [row[one].note if one in row else "" for one in transports]
    return notes[0] if len(set(notes)) == 1 else " · ".join(note or "–" for note in notes)
