"""The scorer of groundedness that is in force: the configured one, behind the recalibration that holds for it."""

from __future__ import annotations

import hashlib
import logging
import uuid
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import pyarrow as pa

from analysis.groundedness import load_scorer
from analysis.groundedness.base import Scorer
from analysis.groundedness.calibrated import KIND, Applied, CalibratedScorer, Recalibration
from undertow.errors import ConfigError
from undertow.settings import Settings
from undertow.store import Store, answer_reads

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """An `Applied` with its identity in the store."""

    artifact_id: str
    created_at: datetime
    applied: Applied


def plain_scorer(settings: Settings) -> Scorer:
    """Return the configured scorer with its own probability.

    Raises
    ------
    ConfigError
        There is no such scorer, or it is `judge` and no address is configured.
    ModelMissingError
        The scorer needs a model that is absent.
    """
    if settings.groundedness.scorer == "judge":
        from analysis.groundedness.judge import JudgeScorer

        return JudgeScorer(settings=settings)
    try:
        return load_scorer(settings.groundedness.scorer)
    except ValueError as error:
        raise ConfigError(f"groundedness.scorer: {error}") from error


def configured_scorer(store: Store, settings: Settings) -> Scorer:
    """Return the scorer that analysis uses: recalibrated where people's verdicts on this very scorer are in force."""
    scorer = plain_scorer(settings)
    held = holding(store)
    recalibration = held.applied.recalibration if held else None
    if recalibration is None:
        return scorer
    if not recalibration.fits(scorer):
        _tell_lapsed(f"{recalibration.scorer} {recalibration.scorer_version}", f"{scorer.name} {scorer.version}")
        return scorer
    return CalibratedScorer(scorer, recalibration)


@cache
def _tell_lapsed(learned_for: str, used: str) -> None:
    """Warn once: several analyzers ask for the scorer, every minute."""
    _log.warning(
        "the recalibration in force belongs to %s, so %s judges with its own probability; judge the past anew"
        " (undertow analyze --only groundedness,trends,flags --since 365d), then undertow calibrate groundedness",
        *(learned_for, used),
    )


def holding(store: Store, artifact_id: str | None = None) -> Stored | None:
    """Return the newest row of the history of recalibrations, or the named one."""
    rows = store.query(answer_reads.CALIBRATIONS, {"id": artifact_id}).to_pylist()
    if not rows:
        return None
    return Stored(rows[0]["artifact_id"], rows[0]["created_at"], Applied.from_bytes(rows[0]["body"]))


def history_row(recalibration: Recalibration | None, previous: str | None, at: datetime) -> pa.Table:
    """Return the row of ``artifacts`` that puts a recalibration, or none, in force."""
    row: dict[str, Any] = {
        "artifact_id": hashlib.sha256(f"{KIND}:{uuid.uuid4().hex}".encode()).hexdigest()[:32],
        "kind": KIND,
        "version": recalibration.version if recalibration else "none",
        "created_at": at,
        "body": Applied(recalibration, previous).to_bytes(),
    }
    return pa.Table.from_pylist([row])
