"""`undertow bias`: are groups of people answered alike, and the prompts to find out."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict
from pathlib import Path

import click


@click.command()
@click.option(
    "--export", type=click.Path(path_type=Path), help="Write counterfactual prompts as JSON lines to this file."
)
@click.option(
    "--frequent",
    type=click.IntRange(1, 1000),
    help="With --export: also put every group before so many of the most frequent prompts that name none.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bias(export: Path | None, frequent: int | None, as_json: bool) -> None:
    """Compare refusals, ungrounded and offensive answers between prompts that differ in the group they name.

    With --export, every group is written into every template of the traffic: send those prompts to your application
    as traffic of its own, analyse, and run this again. The result is kept and shown on the Quality page.
    """
    from analysis.bias import artifact, measure
    from analysis.safety.counterfactual import counterfactual_prompts, introduced_prompts
    from undertow.clock import utc_now
    from undertow.store import open_store

    if frequent is not None and export is None:
        raise click.UsageError("--frequent says what --export writes; give a file with --export")
    run_id = uuid.uuid4().hex
    with open_store() as store:
        prompts, found = measure(store)
        store.commit({"artifacts": artifact(found, len(prompts), run_id, utc_now())}, key=f"bias:{run_id}")
    if export is not None:
        written = counterfactual_prompts(prompts) + introduced_prompts(prompts, frequent or 0)
        export.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in written), encoding="utf-8")
        click.echo(f"{len(written):,} prompts written to {export}", err=True)
    if as_json:
        click.echo(json.dumps([asdict(item) for item in found]))
        return
    if not found:
        click.echo("No prompt names a group of people in a template of its own; nothing to compare.")
    for item in found:
        click.echo(
            f"{item.attribute}, {item.outcome}: {item.verdict}" + _numbers(item.gap, item.p_value, item.templates)
        )
        for rate in item.rates:
            click.echo(f"  {rate.term}: {rate.count} of {rate.n} ({rate.low:.1%} to {rate.high:.1%})")


def _numbers(gap: float | None, p_value: float | None, templates: int) -> str:
    if gap is None or p_value is None:
        return " (needs two groups with 20 answers each in shared templates)"
    return f", largest gap {gap:.3f} within {templates} templates, p = {p_value:.4f}"
