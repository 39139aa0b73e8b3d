"""Verb `undertow redact`: what the present patterns would find in what is stored already."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from undertow.text import one_line

if TYPE_CHECKING:
    from collector.redact import Redactor
    from undertow.store import Store

_PAGE = 2_000
_AROUND = 32
_MOST_EXAMPLES = 2


@dataclass(frozen=True)
class Source:
    """Columns of one table that hold strings, and how its rows are paged and dated.

    Attributes
    ----------
    texts, trees : columns of plain text, and of JSON.
    key : orders the rows; dated : SQL that is true for rows since ``$since``.
    """

    table: str
    key: str
    dated: str
    texts: tuple[str, ...]
    trees: tuple[str, ...] = ()


_OF_RECENT = "interaction_id IN (SELECT interaction_id FROM interactions WHERE start_time >= $since)"
SOURCES: tuple[Source, ...] = (
    Source(
        "interactions",
        "interaction_id",
        "start_time >= $since",
        ("system_prompt", "prompt", "response", "error_message", "user_id", "session_id", "agent_name", "service_name"),
        ("messages", "tool_calls", "parameters"),
    ),
    Source("documents", "document_row_id", _OF_RECENT, ("query", "content"), ("metadata",)),
    Source(
        "spans",
        "trace_id || ':' || span_id",
        "start_time >= $since",
        ("name", "service_name", "environment", "error_message"),
        ("attributes", "events", "resource"),
    ),
    Source("tool_runs", "trace_id || ':' || span_id", "start_time >= $since", ("name",), ("arguments", "result")),
    Source("feedback", "feedback_id", "created_at >= $since", ("label", "comment", "author")),
)


@dataclass
class Finding:
    """Replacements of one kind in one field; the examples hold what would stand there instead."""

    kind: str
    field: str
    strings: int = 0
    rows: int = 0
    examples: list[str] = dataclasses.field(default_factory=list)


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be replaced.")
@click.option("--since", help="Look at what is at most this old, such as 24h or 7d.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def redact(dry_run: bool, since: str | None, as_json: bool) -> None:
    """Try the present redaction on stored traffic, own patterns included; exit code 3 when it finds something."""
    if not dry_run:
        raise click.UsageError(
            "only `undertow redact --dry-run` is supported: redaction works on what arrives, and stored rows are not"
            " rewritten"
        )
    from collector.redact import Redactor
    from undertow.clock import parse_duration, utc_now
    from undertow.config import load_settings
    from undertow.store import open_store

    settings = load_settings().settings
    start = utc_now() - parse_duration(since) if since else None
    redactor = Redactor(settings.redaction.model_copy(update={"enabled": True}))
    with open_store(settings=settings, create=False) as store:
        findings, scanned = dry_run_over(store, redactor, start)
    if as_json:
        click.echo(json.dumps({"scanned": scanned, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        _show(findings, scanned)
    if findings:
        raise click.exceptions.Exit(3)


def dry_run_over(store: Store, redactor: Redactor, since: datetime | None) -> tuple[list[Finding], dict[str, int]]:
    """Redact a copy of every stored string.

    Parameters
    ----------
    since : naive UTC; ``None`` means everything.

    Returns
    -------
    tuple
        Findings by kind and field, most frequent first, and the rows looked at by table.

    Raises
    ------
    QueryError
        The store refuses a query.
    """
    findings: dict[tuple[str, str], Finding] = {}
    scanned: Counter[str] = Counter()
    for source in SOURCES:
        for row in _rows(store, source, since):
            scanned[source.table] += 1
            for column, value in row.items():
                _look(redactor, f"{source.table}.{column}", value, findings)
    return sorted(findings.values(), key=lambda found: (-found.strings, found.kind, found.field)), dict(scanned)


def _rows(store: Store, source: Source, since: datetime | None) -> Iterator[Mapping[str, Any]]:
    """Yield the strings of each row, JSON parsed."""
    columns = ", ".join((*source.texts, *source.trees))
    dated = f" AND {source.dated}" if since else ""
    sql = (
        f"SELECT {source.key} AS page_key, {columns} FROM {source.table}"
        f" WHERE {source.key} > $after{dated} ORDER BY page_key LIMIT {_PAGE}"
    )
    after = ""
    while True:
        page = store.query(sql, {"after": after, **({"since": since} if since else {})}).to_pylist()
        for row in page:
            after = row.pop("page_key")
            yield {column: _parsed(value) if column in source.trees else value for column, value in row.items()}
        if len(page) < _PAGE:
            return


def _parsed(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


def _look(redactor: Redactor, where: str, value: Any, findings: dict[tuple[str, str], Finding]) -> None:
    if not value:
        return
    before = redactor.counts.copy()
    clean = redactor.content(value)
    found = redactor.counts - before
    for kind, strings in found.items():
        finding = findings.setdefault((kind, where), Finding(kind, where))
        finding.strings += strings
        finding.rows += 1
        if len(finding.examples) < _MOST_EXAMPLES:
            finding.examples += _examples(kind, clean)[:1]


def _examples(kind: str, clean: Any) -> list[str]:
    """Surroundings of the first mark of a kind, in text that holds no secret any more."""
    text = clean if isinstance(clean, str) else json.dumps(clean, ensure_ascii=False)
    at = text.find(f"[{kind}")
    if at < 0:
        return []
    start, end = max(0, at - _AROUND), at + len(kind) + 2 + _AROUND
    return [one_line(text[start:end], end - start)]


def _show(findings: list[Finding], scanned: Mapping[str, int]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    looked = ", ".join(f"{count:,} {table.replace('_', ' ')}" for table, count in scanned.items()) or "nothing"
    if not findings:
        click.echo(f"Nothing would be replaced in {looked}.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("kind", "field", "strings", "rows", "for example"):
        table.add_column(heading, justify="right" if heading in ("strings", "rows") else "left", overflow="fold")
    for found in findings:
        # As Text: what stands in brackets would be taken for markup.
        shown = Text("\n".join(found.examples))
        table.add_row(found.kind, found.field, f"{found.strings:,}", f"{found.rows:,}", shown)
    Console().print(table)
    click.echo(f"Looked at {looked}. Nothing was changed.")
