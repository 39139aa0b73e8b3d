"""`undertow doctor telemetry`: what arrives, what nothing read, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from undertow.text import one_line

if TYPE_CHECKING:
    from undertow.settings import Settings
    from undertow.telemetry_report import Attribute, Source, TelemetryReport

SHOWN_ATTRIBUTES = 25
_SHOWN_NAMES = 12
_WIDTH = 200


@click.command()
@click.option("--since", help="What arrived within this time, for instance 24h or 7d; everything when absent.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def telemetry(since: str | None, as_json: bool) -> None:
    """Report what arrives, what no dialect mapped, missing text and failed joins; exit code 3 when there is work."""
    from undertow.clock import parse_duration, utc_now
    from undertow.config import load_settings
    from undertow.store import open_store
    from undertow.telemetry_report import build

    start = utc_now() - parse_duration(since) if since else None
    settings = load_settings().settings
    with open_store(settings=settings, create=False) as store:
        report = build(store, since=start)
    ignored = ignored_logs(settings)
    if as_json:
        click.echo(json.dumps({**asdict(report), "ignored_log_records": ignored}, indent=2, default=_iso))
    else:
        for line in lines_of(report, ignored):
            click.echo(line)
    if not report.well:
        raise click.exceptions.Exit(3)


def ignored_logs(settings: Settings) -> int | None:
    """Log records that the live collector accepted and did not store; ``None`` without a collector."""
    from undertow.collector_metrics import read_metrics, total
    from undertow.store import endpoint

    live = endpoint.find(settings.data_dir)
    samples = read_metrics(live) if live else None
    return None if samples is None else int(total(samples, "undertow_ignored_items_total"))


def lines_of(report: TelemetryReport, ignored: int | None) -> Iterator[str]:
    """The report as lines of text."""
    looked = "" if report.sampled >= report.spans else f"; attributes are those of the newest {report.sampled:,}"
    yield f"{report.spans:,} spans{looked}"
    if not report.spans:
        yield "Nothing arrived in this time. `undertow doctor` says where the collector listens."
        return
    yield from _advice(report)
    for service in dict.fromkeys(source.service for source in report.sources):
        yield from _service(report, service)
    if ignored:
        yield ""
        yield f"{ignored:,} log records were of no known event and were not stored, since the collector started"


def _advice(report: TelemetryReport) -> Iterator[str]:
    for item in report.without_content:
        yield f"FIX  content: {shown(item.found)}"
        yield "     Topics, Drift, Quality and Review need the text; cost, latency and errors do not"
        yield f"     {'set' if item.known else 'try'} {item.switch}"
        if item.note:
            yield f"     {item.note}"
    for suspect in report.suspects:
        yield (
            f"FIX  scope: {shown(suspect.scope)} of {shown(suspect.service)} looks like model calls,"
            f" but no dialect claimed its {suspect.spans:,} spans"
        )
        yield f"     because of {_names(suspect.evidence)}"
        yield "     its calls are missing on every page; use names of docs/telemetry.md, or report the instrumentation"
    if not report.without_content:
        yield "ok   content: every service sends its text"
    for problem in report.problems:
        yield f"{'ok  ' if problem.ok else 'FIX '} {problem.name}: {problem.found}"
        if problem.costs:
            yield f"     {problem.costs}"
        if problem.advice:
            yield f"     {problem.advice}"


def _service(report: TelemetryReport, service: str | None) -> Iterator[str]:
    yield ""
    yield f"Service {shown(service)}"
    for source in report.sources:
        if source.service == service:
            yield f"  {_source(source)}"
    attributes = [attribute for attribute in report.attributes if attribute.service == service]
    yield from _attributes([a for a in attributes if a.standing == "unmapped"])
    folded = {
        "not_needed": "known and not needed",
        "no_call": "on chains, agents and other spans that are no calls",
        "plain": "on plain spans",
    }
    for standing, words in folded.items():
        names = dict.fromkeys(a.attribute for a in attributes if a.standing == standing)
        if names:
            yield f"  {words}: {_names(names)}"
    events = dict.fromkeys(event.event for event in report.events if event.service == service)
    if events:
        yield f"  events that no dialect read: {_names(events)}"


def _source(source: Source) -> str:
    where = f" in {shown(source.environment)}" if source.environment else ""
    calls = f", {source.calls:,} of them calls of a model" if source.calls else ""
    return f"{shown(source.scope) or 'no scope'}{where}: spans as {source.dialect}: {source.spans:,}{calls}"


def _attributes(attributes: list[Attribute]) -> Iterator[str]:
    from undertow.telemetry_report import kind_of

    if not attributes:
        yield "  every attribute of its calls, retrievals and tools was mapped or is not needed"
        return
    width = min(max(len(shown(a.attribute)) for a in attributes[:SHOWN_ATTRIBUTES]), 60)
    yield "  not mapped, by attribute: spans, share, type and usual length"
    for item in attributes[:SHOWN_ATTRIBUTES]:
        form = f"{kind_of(item):<7} {item.length or 0:>6,}  {item.dialect}"
        yield f"    {shown(item.attribute):<{width}} {item.spans:>8,} {item.share:>5.0%}  {form}"
    if len(attributes) > SHOWN_ATTRIBUTES:
        yield f"    and {len(attributes) - SHOWN_ATTRIBUTES} more: --json lists all"


def _names(names: Iterable[str]) -> str:
    every = [shown(name) for name in names]
    more = f" and {len(every) - _SHOWN_NAMES} more" if len(every) > _SHOWN_NAMES else ""
    return ", ".join(every[:_SHOWN_NAMES]) + more


def shown(text: str | None) -> str:
    """One short line without control characters: names of traffic must not steer the terminal."""
    return one_line(text or "", _WIDTH)


def _iso(value: Any) -> str:
    return str(value.isoformat())
