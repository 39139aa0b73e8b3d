"""`undertow analyze`: one batch run, or one on a schedule."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from datetime import timedelta

    from rich.progress import Progress, Task

    from analysis.analyzer import Report
    from analysis.pipeline import Pipeline, Run
    from undertow.settings import Settings


@click.command()
@click.option("--since", help="Analyse this much of the past again, for instance 24h.")
@click.option("--only", help="Names of analyzers, separated by commas.")
@click.option("--watch", help="Run again and again, this long apart, for instance 60s.")
@click.option("--json", "as_json", is_flag=True, help="Print the runs as one JSON list.")
@click.option("--store", "url", help="Store URL; by default the configured one.")
def analyze(since: str | None, only: str | None, watch: str | None, as_json: bool, url: str | None) -> None:
    """Embed, cluster, compare, score and flag what is new in the store."""
    from undertow.clock import parse_duration
    from undertow.config import load_settings

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    settings = load_settings().settings
    span = parse_duration(since) if since else None
    names = [name.strip() for name in only.split(",")] if only else []
    if watch:
        _watch(settings, url, names, span, parse_duration(watch).total_seconds())
        return
    runs = _run_once(settings, url, names, span)
    (_print_json if as_json else _print_table)(runs)
    if any(run.status == "failed" for run in runs):
        raise click.exceptions.Exit(1)


def _run_once(settings: Settings, url: str | None, names: Sequence[str], span: timedelta | None) -> list[Run]:
    from analysis.pipeline import Pipeline
    from undertow.store import open_store

    with open_store(url, settings=settings) as store:
        return _with_progress(Pipeline(store, settings, only=names), span)


def _watch(settings: Settings, url: str | None, names: Sequence[str], span: timedelta | None, every_s: float) -> None:
    """Run on a schedule, and take requests meanwhile, until a signal; a store that is away is tried again."""
    from analysis.pipeline import Pipeline
    from analysis.requests import serving
    from undertow.errors import StoreError
    from undertow.store import open_store

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        try:
            with open_store(url, settings=settings) as store:
                pipeline = Pipeline(store, settings, only=names)
                with serving(store, settings, pipeline.shared):
                    while not stop.is_set():
                        done = [run for run in pipeline.run(since=span) if run.status != "idle"]
                        span = None
                        if done:
                            click.echo("; ".join(f"{run.analyzer} {run.status} ({run.rows} rows)" for run in done))
                        stop.wait(every_s)
        except StoreError as error:
            click.echo(f"analysis waits: {error}", err=True)
            stop.wait(every_s)


def _with_progress(pipeline: Pipeline, span: timedelta | None) -> list[Run]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if not task.speed else f"{task.speed:,.{0 if task.speed >= 10 else 1}f}/s")

    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[what]}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        return pipeline.run(since=span, report=lambda name: _reporter(progress, name))


def _reporter(progress: Progress, name: str) -> Report:
    task = progress.add_task(name, total=None, what="")

    def report(done: int, total: int, what: str) -> None:
        progress.update(task, completed=done, total=total, what=what)

    return report


def _print_json(runs: Sequence[Run]) -> None:
    import json
    from dataclasses import asdict

    click.echo(json.dumps([asdict(run) for run in runs], indent=2))


def _print_table(runs: Sequence[Run]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("analyzer", "status", "rows", "seconds", ""):
        table.add_column(heading, justify="right" if heading in ("rows", "seconds") else "left")
    for run in runs:
        table.add_row(run.analyzer, run.status, f"{run.rows:,}", f"{run.duration_s:.1f}", run.error)
    Console().print(table)
