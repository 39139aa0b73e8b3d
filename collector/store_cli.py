"""`undertow store`: the store written anew, and whether it is whole."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from undertow.settings import Settings
    from undertow.store import Store
    from undertow.store.check import Checked

_WRITING_S = 0.5
_WORDS = {(True, False): "ok  ", (False, False): "FIX ", (False, True): "?   "}


@click.group()
def store() -> None:
    """Look after the store: write it anew without what was erased, check that it is whole."""


@store.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def check(as_json: bool) -> None:
    """Read every row of the store and every record of the journal; exit code 3 when something is damaged or doubled.

    What could not be read to its end, because a query took too long, is told as such, with exit code 1.
    """
    import json
    from dataclasses import asdict

    from undertow.config import load_settings
    from undertow.store import open_store
    from undertow.store.check import check_store

    settings = load_settings().settings
    with open_store(settings=settings, create=False) as opened:
        findings = [*check_store(opened), *_check_journal(settings)]
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(f"{_WORDS[finding.ok, finding.unknown]} {finding.what}: {finding.found}")
    if any(finding.unknown for finding in findings):
        click.echo(
            "Not everything was read. Raise store.query_timeout_s or store.memory_limit (of the collector, where one"
            " runs) and check again.",
            err=True,
        )
    if any(not finding.ok and not finding.unknown for finding in findings):
        raise click.exceptions.Exit(3)
    if any(finding.unknown for finding in findings):
        raise click.exceptions.Exit(1)


def _check_journal(settings: Settings) -> Iterator[Checked]:
    from collector.segments import inspect
    from undertow.store.check import Checked

    folder = settings.data_dir / "journal"
    found = inspect(folder)
    if found.dropped_bytes:  # perhaps a request is being written just now
        time.sleep(_WRITING_S)
        found = inspect(folder)
    damaged = (
        f"{found.dropped_bytes} bytes are no whole record; the next start drops them" if found.dropped_bytes else ""
    )
    whole = f"{found.frames} requests with {found.items} items are whole"
    yield Checked("journal", not damaged, "; ".join(part for part in (whole, damaged) if part))


@store.command()
def compact() -> None:
    """Write the store anew, without erased rows, so that the file shrinks.

    Needs as much free room as the store takes. A running collector does it and goes on taking telemetry;
    reading goes on but for a moment, commits wait. Without a collector the file is opened here.
    """
    from undertow.config import load_settings
    from undertow.errors import StoreError
    from undertow.store import open_store
    from undertow.store.compact import Compactable
    from undertow.store.embedded import EmbeddedStore

    settings = load_settings().settings
    with open_store(settings=settings, create=False) as opened:
        if not isinstance(opened, Compactable):
            raise StoreError(f"{opened.url} cannot be compacted by this verb")
        done = opened.compact(actor=_user())
        if isinstance(opened, EmbeddedStore):  # a running collector forgets its journal itself
            _forget_loaded(settings, opened)
    click.echo(f"{done.bytes_before} bytes before, {done.bytes_after} after")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user
        return "command line"


def _forget_loaded(settings: Settings, opened: Store) -> None:
    """Remove from the journal of the absent collector what the store holds."""
    from collector.journal import Journal
    from collector.loader import loaded_before
    from collector.segments import reserved
    from undertow.store.compact import give_to_owner

    folder: Path = settings.data_dir / "journal"
    if not folder.is_dir():
        return
    limits = settings.collector
    with reserved(folder) as ours:
        if not ours:  # of a collector with another store: this one is a copy, say
            click.echo(f"{folder} is in use by a collector and was left as it is", err=True)
            return
        journal = Journal(folder, segment_bytes=limits.segment_bytes, max_bytes=limits.max_journal_bytes)
        with closing(journal):
            journal.release(loaded_before(journal, opened))
            journal.forget()
        for segment in folder.glob("*.seg"):
            give_to_owner(segment, of=folder)
