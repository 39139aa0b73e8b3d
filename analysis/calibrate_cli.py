"""`undertow calibrate groundedness`: what people's verdicts say about the scorer's probabilities."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from analysis.recalibrate import Outcome


@click.group()
def calibrate() -> None:
    """Fit what a scorer says to what people found."""


@calibrate.command()
@click.option("--apply", "apply_", is_flag=True, help="Put the recalibration in force and map what is stored.")
@click.option("--revert", is_flag=True, help="Put in force again what was before the last --apply.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--store", "url", help="Store URL; by default the configured one.")
def groundedness(apply_: bool, revert: bool, as_json: bool, url: str | None) -> None:
    """Recalibrate groundedness by the verdicts of Review; exit code 1 where there are too few, with how many."""
    from analysis import recalibrate
    from undertow.config import load_settings
    from undertow.store import open_store

    if apply_ and revert:
        raise click.UsageError("--apply and --revert exclude each other")
    settings = load_settings().settings
    with open_store(url, create=False, settings=settings) as store:
        if revert:
            outcome = recalibrate.revert(store, settings)
        else:
            outcome = recalibrate.learn(store, settings, apply=apply_)
    click.echo(json.dumps(outcome.to_json(), indent=2) if as_json else _text(outcome))
    if outcome.status in ("insufficient", "nothing_to_revert"):
        raise click.exceptions.Exit(1)


def _text(outcome: Outcome) -> str:
    lines = [outcome.sentence]
    if outcome.study is not None:
        study = outcome.study
        lines += ["", f"{'':28}{'before':>24}{'after, out of fold':>24}"]
        for name, title in (("auroc", "AUROC"), ("ece", "calibration error"), ("brier", "Brier score")):
            before, after = getattr(study.before, name), getattr(study.after, name)
            lines.append(f"{title:28}{_figure(before):>24}{_figure(after):>24}")
        lines.append(f"{'threshold':28}{outcome.threshold_before:>24.3f}{outcome.threshold_after:>24.3f}")
    return "\n".join(lines)


def _figure(figure: Any) -> str:
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
