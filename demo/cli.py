"""`undertow demo`: a scripted week of traffic, sent, analysed, checked and shown."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from demo.report import DemoReport
    from demo.run import Outcome

DEFAULT_SEED = 7
_DASHBOARD_PORT = 8501
_FINDINGS = 3
_LOG_WIDTH = 140


@click.command()
@click.option("--headless", is_flag=True, help="Everything but serving; print what was found and leave.")
@click.option("--no-browser", is_flag=True, help="Serve the dashboard, but open no browser.")
@click.option("--seed", type=int, default=DEFAULT_SEED, show_default=True, help="Which script is played.")
@click.option(
    "--until", type=click.DateTime(["%Y-%m-%d"]), help="Last midnight (UTC) of the eventful week; default: today."
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("undertow-demo"),
    show_default=True,
    help="The demo's own folder; it is replaced.",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), default=_DASHBOARD_PORT, show_default=True, help="Dashboard port."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def demo(
    *, headless: bool, no_browser: bool, seed: int, until: datetime | None, folder: Path, port: int, as_json: bool
) -> None:
    """Send a scripted week of a bank's traffic, analyse it, and show what was found.

    Exit code 0 when every required event was found, 3 otherwise.
    """
    from rich.console import Console

    from demo.run import Demo

    steps = Console(stderr=True)
    with Demo(folder.expanduser().absolute(), seed, until, port, steps) as running:
        outcome = running.play()
        _show(outcome, as_json)
        if not headless:
            running.serve(browser=not no_browser)
    if not outcome.report.complete:
        raise click.exceptions.Exit(_FINDINGS)


def _show(outcome: Outcome, as_json: bool) -> None:
    import json
    import sys

    from rich.console import Console

    if as_json:
        click.echo(json.dumps(outcome.to_json(), indent=2, ensure_ascii=False))
    else:
        _print_tables(outcome, Console(width=None if sys.stdout.isatty() else _LOG_WIDTH, highlight=False))


def _print_tables(outcome: Outcome, console: Console) -> None:
    console.print(_planted(outcome.report))
    if outcome.report.unplanted:
        console.print(_beside(outcome.report))
    else:
        console.print("\nNothing was found that was not planted.")
    sent = outcome.sent
    seconds = ", ".join(f"{name} {value:.0f} s" for name, value in outcome.seconds.items())
    console.print(f"\n{sent.interactions:,} interactions, {sent.spans:,} spans, {sent.feedback:,} thumbs ({seconds})")
    console.print(f"Everything is in {outcome.folder}", soft_wrap=True)


def _planted(report: DemoReport) -> Table:
    from rich.table import Table

    table = Table(title="Planted events", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for heading in ("planted", "event", "", "found", "by"):
        table.add_column(heading, no_wrap=heading in ("planted", "found"))
    for event in report.events:
        found = "no" if event.found is False else "not looked for" if event.found is None else _when(event.found_at)
        required = "required" if event.required else ""
        table.add_row(_when(event.start), event.title, required, found, "; ".join(event.by))
    return table


def _beside(report: DemoReport) -> Table:
    from rich.table import Table

    table = Table(title="\nFound, but not planted", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for heading in ("from", "what", "sentence"):
        table.add_column(heading, no_wrap=heading == "from")
    for alarm in report.unplanted:
        table.add_row(_when(alarm.start), f"{alarm.what} {alarm.source}", alarm.sentence)
    return table


def _when(moment: datetime | None) -> str:
    return f"{moment:%a %d %b %H:%M}" if moment else ""
