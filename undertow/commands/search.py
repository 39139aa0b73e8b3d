"""`undertow search`: find calls by what they mean or say."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from undertow.text import one_line

if TYPE_CHECKING:
    from undertow.finder import Found


@click.command()
@click.argument("asked")
@click.option(
    "--field",
    type=click.Choice(["prompt", "response", "document"]),
    default="prompt",
    show_default=True,
    help="What is searched.",
)
@click.option(
    "--by",
    type=click.Choice(["both", "meaning", "text"]),
    default="both",
    show_default=True,
    help="By meaning, by literal text, or both rankings joined.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="Texts shown.")
@click.option("--service", help="Only calls of this service.")
@click.option("--since", help="Only calls of the last time, for instance 24h or 7d.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list with whole texts and ids.")
@click.option("--store", "url", help="Store URL; by default the configured one.")
def search(  # noqa: PLR0913, PLR0917 - one parameter for each option
    asked: str, field: str, by: str, limit: int, service: str | None, since: str | None, as_json: bool, url: str | None
) -> None:
    """Find prompts, responses or documents by meaning and by text; exit code 1 when nothing is found."""
    if not asked.strip():
        raise click.UsageError("there is nothing to search for: give a word or a sentence")
    from undertow.clock import parse_duration, utc_now
    from undertow.config import load_settings
    from undertow.embedding import load_embedder
    from undertow.finder import Finder
    from undertow.store import open_store

    settings = load_settings().settings
    conditions: list[str] = ["TRUE"]
    params: dict[str, object] = {}
    if service:
        conditions.append("i.service_name = $service")
        params["service"] = service
    if since:
        conditions.append("i.start_time >= $since")
        params["since"] = utc_now() - parse_duration(since)
    with open_store(url, create=False, settings=settings) as store:
        finder = Finder(
            lambda: store,
            lambda: load_embedder(settings.embedding.model, models_dir=settings.models_dir),
            folder=settings.data_dir / "search",
        )
        found = finder.find(asked, field, by=by, limit=limit, scope=" AND ".join(conditions), params=params)  # type: ignore[arg-type] # click has checked both choices
    if as_json:
        click.echo(json.dumps([asdict(item) for item in found], default=str, ensure_ascii=False, indent=2))
    else:
        for item in found:
            click.echo(_line(item))
    if not found:
        click.echo("nothing was found", err=True)
        raise click.exceptions.Exit(1)


def _line(item: Found) -> str:
    similarity = "  – " if item.similarity is None else f"{item.similarity:.2f}"
    times = "1 call" if item.calls == 1 else f"{item.calls:,} calls"
    return f"{similarity}  {one_line(item.text, 110)}\n      {item.service_name} · {times} · {item.interaction_id}"
