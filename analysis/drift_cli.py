"""`undertow drift`: two windows or versions compared, and the error rate on one's own history."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.analyzer import Context
    from analysis.calibrate import Calibration
    from undertow.settings import Settings
    from undertow.store import Store

FINDINGS = 3
_FIELDS = ("prompt", "context", "response", "behaviour")
_WIDTH = 132


@click.group()
def drift() -> None:
    """Compare windows or versions, and measure the error rate of the tests."""


@drift.command()
@click.argument("reference", metavar="A")
@click.argument("current", metavar="B")
@click.option("--field", "which", type=click.Choice(_FIELDS), help="What is compared; see below for the default.")
@click.option("--service", help="Only messages of this service.")
@click.option("--segment", help="Only messages of model:…, version:…, language:….")
@click.option("--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05, show_default=True)
@click.option("--exit-code", "gate", is_flag=True, help="Exit with 3 when B has drifted from A.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@click.option("--store", "url", help="Store URL; by default the configured one.")
def compare(  # noqa: PLR0913, PLR0917 - one argument an option
    reference: str,
    current: str,
    which: str | None,
    service: str | None,
    segment: str | None,
    alpha: float,
    gate: bool,
    as_json: bool,
    url: str | None,
) -> None:
    """Compare the messages of B with those of A.

    A and B are windows (2026-11-01, 2026-11-01..2026-11-07, 2026-11-01T10:00.., 7d, 24h), prompt versions
    (prompt:NAME@VERSION, version:VERSION), models (model:NAME) or services (service:NAME). A length counts back from
    the newest message; as A, from where B begins. Windows are compared by their questions unless --field says
    otherwise, versions, models and services by their answers to the same questions.

    Too little data is said, and is no finding: the exit code is then 0.
    """
    from zoneinfo import ZoneInfo

    from analysis.ondemand import compare_selections, default_field, parse_selection
    from undertow.config import load_settings
    from undertow.store import open_store

    settings = load_settings().settings
    sides = [parse_selection(text, ZoneInfo(settings.timezone)) for text in (reference, current)]
    with open_store(url, settings=settings, create=False) as store:
        report = compare_selections(
            _ready(store, settings),
            *sides,
            field=which or default_field(*sides),
            service=service,
            segment=segment,
            alpha=alpha,
        )
    click.echo(json.dumps(report, indent=2)) if as_json else _print(report)
    if gate and report["verdict"] == "drifted":
        raise click.exceptions.Exit(FINDINGS)


@drift.command()
@click.option("--service", help="Only this service.")
@click.option("--field", "which", type=click.Choice(_FIELDS), multiple=True, help="Only this field; may be repeated.")
@click.option("--weeks", type=click.IntRange(2), default=8, show_default=True, help="How much of the past is used.")
@click.option("--repeats", type=click.IntRange(4), default=40, show_default=True, help="Tries of each kind.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON list.")
@click.option("--store", "url", help="Store URL; by default the configured one.")
def calibrate(  # noqa: PLR0913, PLR0917 - one argument an option
    service: str | None, which: tuple[str, ...], weeks: int, repeats: int, as_json: bool, url: str | None
) -> None:
    """Measure on your own history how often the tests alarm where nothing changed, and what they would see.

    Sessions of the past are dealt at random into a day and the days before it: whatever alarms then is false. Real days
    are compared with the days before them. Messages of elsewhere are planted to find the smallest share that is seen.
    It takes a minute or two for each service and field; --repeats 20 takes half of that.
    """
    from analysis.calibrate import calibrate as measure
    from analysis.study import Study
    from undertow.config import load_settings
    from undertow.store import open_store

    settings = load_settings().settings
    with open_store(url, settings=settings, create=False) as store:
        study = Study(_ready(store, settings))
        if not len(study.frame):
            raise click.ClickException("there are no messages yet; send some traffic first")
        fields = which or _FIELDS
        with _progress() as report:
            found = list(measure(study, weeks=weeks, repeats=repeats, service=service, fields=fields, report=report))
    if not found:
        raise click.ClickException(f"there is no service {service!r}")
    click.echo(json.dumps([item.to_json() for item in found], indent=2)) if as_json else _print_rates(found)


def _ready(store: Store, settings: Settings) -> Context:
    """A context over the store, after whatever has no vector yet was embedded."""
    import uuid

    from analysis.analyzer import Context
    from analysis.pipeline import Pipeline
    from undertow.clock import utc_now
    from undertow.store import data_version

    pipeline = Pipeline(store, settings, only=["embed"])
    failed = [run for run in pipeline.run() if run.status == "failed"]
    if failed:
        raise click.ClickException(f"messages could not be embedded: {failed[0].error}")
    head = data_version(store)
    return Context(store, settings, uuid.uuid4().hex, utc_now(), 0, head, shared=pipeline.shared)


def _progress() -> Any:
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import Progress

    @contextmanager
    def shown() -> Any:
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task("calibrating", total=None)
            yield lambda done, total, what: progress.update(
                task, completed=done, total=total, description=what or "calibrating"
            )

    return shown()


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    console.print(escape(report["sentence"]))
    low, high = report["effect_interval"]
    told = [
        f"verdict {report['verdict']}",
        f"n = {report['n_current']:,} in {report['sessions_current']:,} sessions against {report['n_reference']:,} in"
        f" {report['sessions_reference']:,}",
    ]
    if report["p_value"] is not None:
        within = f" [{low:.3f}, {high:.3f}]" if low is not None else ""
        told.append(f"effect {report['effect']:.3f}{within}")
        told.append(f"p = {report['p_value']:.2g} (not below {report['p_floor']:.2g})")
    console.print(escape("; ".join([*told, report["method"]])))
    if report["contributions"]:
        table = Table("topic", "kind", box=None, pad_edge=False)
        for heading in ("before", "now", "of the change"):
            table.add_column(heading, justify="right")
        for item in report["contributions"]:
            shares = (f"{100 * item[name]:.1f} %" for name in ("share_reference", "share_current", "contribution"))
            table.add_row(escape(item["label"] or f"topic {item['topic_id']}"), item["kind"], *shares)
        console.print(table)
    for item in report["exemplars"]:
        console.print(f"  {item['interaction_id']}  {escape(' '.join(item['question'].split())[:160])}")


def _print_rates(found: Sequence[Calibration]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from analysis.calibrate import LEVELS, SHARES

    table = Table(box=None, pad_edge=False, title="Alarms at each level, with 95 % intervals", title_justify="left")
    for heading in ("service", "field", "sessions a day", "what"):
        table.add_column(heading, no_wrap=True)
    for level in LEVELS:
        table.add_column(f"{level:g}", justify="right", no_wrap=True)
    table.add_column("seen in 80 %", justify="right")
    for item in found:
        if item.needed:
            table.add_row(item.service, item.field, "", f"needs {item.needed}")
            continue
        missed = f"over {100 * SHARES[-1]:g} %" if item.power else "not measured"
        least = missed if item.detectable is None else f"{100 * item.detectable:g} %"
        for what, rates, seen in (("exchanged", item.exchanged, least), ("real days", item.days, "")):
            cells = [f"{r.alarms}/{r.n} [{r.low:.2f}, {r.high:.2f}]" for r in (rates[f"{level:g}"] for level in LEVELS)]
            table.add_row(item.service, item.field, str(item.sessions_a_day), what, *cells, seen)
    console = Console(highlight=False, soft_wrap=True, width=max(_WIDTH, Console().width))
    console.print(table)
    console.print()
    for item in found:
        console.print(escape(item.sentence))
