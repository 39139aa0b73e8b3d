"""Recalibration of groundedness by human verdicts: learn, put in force, take back."""

from __future__ import annotations

import math
import re
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from analysis import scoring
from analysis.groundedness.base import Scorer
from analysis.groundedness.calibrated import Recalibration
from analysis.metrics.calibration import Study, best_threshold, missing, study
from undertow.clock import utc_now
from undertow.settings import Settings
from undertow.store import Store, answer_reads

Status = Literal["insufficient", "learned", "applied", "reverted", "nothing_to_revert"]
_FOLLOWERS = ("trends", "flags")
_ALL_TIME = timedelta(days=36_500)
_SAYS_RISK = re.compile(r"probability of a hallucination \d\.\d+, threshold \d\.\d+")


@dataclass(frozen=True)
class Outcome:
    """What a run of the verb did.

    Attributes
    ----------
    status
        `learned` changes nothing; `insufficient` and `nothing_to_revert` neither.
    sentence
        The same in words.
    missing
        How many verdicts are missing, by kind.
    mapped_rows
        How many stored judgements were mapped.
    """

    status: Status
    sentence: str
    scorer: str
    scorer_version: str
    version: str = "none"
    study: Study | None = None
    threshold_before: float = float("nan")
    threshold_after: float = float("nan")
    missing: Mapping[str, int] = field(default_factory=dict)
    mapped_rows: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain values, unknown ones as None."""
        body = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "study"}
        known = {
            name: None if isinstance(value, float) and math.isnan(value) else value for name, value in body.items()
        }
        return {**known, "missing": dict(self.missing), "study": self.study.to_json() if self.study else None}


def learn(store: Store, settings: Settings, *, apply: bool) -> Outcome:
    """Learn a recalibration of the configured scorer from all verdicts on its answers; put it in force if asked."""
    scorer = scoring.plain_scorer(settings)
    verdicts = store.query(answer_reads.VERDICTS_WITH_ANSWER).to_pylist()
    usable = [row for row in verdicts if (row["evaluator"], row["scorer_version"]) == (scorer.name, scorer.version)]
    labels = np.array([row["ungrounded"] for row in usable], dtype=bool)
    lacking = missing(labels)
    if any(lacking.values()):
        sentence = _too_few(scorer, labels, lacking, len(verdicts) - len(usable))
        return Outcome("insufficient", sentence, scorer.name, scorer.version, missing=lacking)
    raw = np.array([row["raw"] for row in usable])
    found = study(raw, labels, np.array([row["answer"] for row in usable]))
    traffic = _stored(store, scorer)
    risks = np.array([1 - _raw(row) for row in traffic])
    recalibration = Recalibration(
        scorer.name,
        scorer.version,
        found.mapped,
        best_threshold(found.mapped(risks)),
        found.n,
        max(row["decided_at"] for row in usable).date().isoformat(),
    )
    rows = _put_in_force(store, settings, scorer, recalibration, traffic) if apply else 0
    return Outcome(
        "applied" if apply else "learned",
        _sentence(found, recalibration, apply, rows, raw, risks),
        scorer.name,
        scorer.version,
        recalibration.version,
        found,
        scorer.score("", ()).threshold,
        recalibration.threshold,
        lacking,
        rows,
    )


def revert(store: Store, settings: Settings) -> Outcome:
    """Put in force again what held before the recalibration in force; history only grows."""
    scorer = scoring.plain_scorer(settings)
    held = scoring.holding(store)
    if held is None or held.applied.recalibration is None:
        sentence = "No recalibration is in force, so there is none to take back."
        return Outcome("nothing_to_revert", sentence, scorer.name, scorer.version)
    before = scoring.holding(store, held.applied.previous) if held.applied.previous else None
    recalibration = before.applied.recalibration if before else None
    previous = before.applied.previous if before else None
    fitting = recalibration if recalibration and recalibration.fits(scorer) else None
    traffic = _stored(store, scorer)
    rows = _commit(store, settings, scorer, fitting, scoring.history_row(recalibration, previous, utc_now()), traffic)
    holds = f"{fitting.version} holds again" if fitting else "the scorer's own probability holds again"
    if recalibration and not fitting:
        holds += f" ({recalibration.version} belongs to {recalibration.scorer} {recalibration.scorer_version})"
    sentence = f"{held.applied.recalibration.version} is taken back: {holds}; {rows:,} stored judgements were mapped."
    version = recalibration.version if recalibration else "none"
    return Outcome("reverted", sentence, scorer.name, scorer.version, version, mapped_rows=rows)


def _put_in_force(
    store: Store, settings: Settings, scorer: Scorer, recalibration: Recalibration, traffic: list[dict[str, Any]]
) -> int:
    held = scoring.holding(store)
    row = None
    if held is None or held.applied.recalibration != recalibration:
        row = scoring.history_row(recalibration, held.artifact_id if held else None, utc_now())
    return _commit(store, settings, scorer, recalibration, row, traffic)


def _commit(
    store: Store,
    settings: Settings,
    scorer: Scorer,
    recalibration: Recalibration | None,
    history: pa.Table | None,
    traffic: list[dict[str, Any]],
) -> int:
    """Write history, where it goes on, and mapped judgements together; then bring up to date what follows from them."""
    from analysis.pipeline import Pipeline

    tables = {} if history is None else {"artifacts": history}
    if traffic:
        tables["evaluations"] = pa.Table.from_pylist([_mapped(row, scorer, recalibration) for row in traffic])
    store.commit(tables, key=f"calibrate:{uuid.uuid4().hex}")
    Pipeline(store, settings, only=_FOLLOWERS).run(since=_ALL_TIME)
    return len(traffic)


def _stored(store: Store, scorer: Scorer) -> list[dict[str, Any]]:
    bound = {"scorer": scorer.name, "version": scorer.version}
    return [dict(row) for row in store.query(answer_reads.SCORED_GROUNDEDNESS, bound).to_pylist()]


def _raw(row: Mapping[str, Any]) -> float:
    return float(row["value"] if row["uncalibrated"] is None else row["uncalibrated"])


def _mapped(row: dict[str, Any], scorer: Scorer, recalibration: Recalibration | None) -> dict[str, Any]:
    """A stored judgement as the scorer would give it now."""
    plain = scorer.score("", ())
    raw = _raw(row)
    if recalibration is None:
        risk, threshold, learned_from = 1 - raw, plain.threshold, plain.calibrated_on
        version, uncalibrated = scorer.version, None
    else:
        risk, threshold, learned_from = (
            float(recalibration.mapped(1 - raw)),
            recalibration.threshold,
            recalibration.learned_from,
        )
        version, uncalibrated = f"{scorer.version}+{recalibration.version}", raw
    said = f"probability of a hallucination {risk:.2f}, threshold {threshold:.2f}"
    return {
        **{name: value for name, value in row.items() if name != "load_seq"},
        "value": 1 - risk,
        "label": "ungrounded" if risk >= threshold else "grounded",
        "explanation": _SAYS_RISK.sub(said, row["explanation"] or ""),
        "evaluator_version": version,
        "uncalibrated": uncalibrated,
        "calibration_set": learned_from or None,
    }


def _too_few(scorer: Scorer, labels: Sequence[bool] | Any, lacking: Mapping[str, int], others: int) -> str:
    have = Counter(bool(label) for label in labels)
    wants = [f"{lacking['verdicts']} more verdict{'s' * (lacking['verdicts'] > 1)}"] if lacking["verdicts"] else []
    wants += [
        f"{lacking[kind]} more that find the answer {kind}" for kind in ("ungrounded", "grounded") if lacking[kind]
    ]
    elsewhere = (
        f" {others} verdicts are about answers that another scorer or version judged;"
        " `undertow analyze --only groundedness,trends,flags --since 365d` judges those anew."
        if others
        else ""
    )
    return (
        f"Not enough verdicts to recalibrate {scorer.name} {scorer.version}: {len(labels)} are usable"
        f" ({have[True]} ungrounded, {have[False]} grounded); missing: {', '.join(wants)}."
        f" Give them on the Review page, or by POST /v1/feedback with kind verdict.{elsewhere}"
    )


def _sentence(found: Study, recalibration: Recalibration, applied: bool, rows: int, raw: Any, traffic: Any) -> str:
    outside = float(np.mean((traffic < raw.min()) | (traffic > raw.max()))) if len(traffic) else 0.0
    verdict = "closer to the verdicts than chance allows" if found.helps else "not surely better than before"
    done = (
        f"In force as {recalibration.version}; {rows:,} stored judgements were mapped."
        if applied
        else "Nothing was changed; --apply puts it in force."
    )
    return (
        f"{found.n} verdicts on {found.groups} different answers, {found.positive} ungrounded:"
        f" {found.method} is {verdict} (Brier score lower by {found.gain.value:.3f}"
        f" [{found.gain.low:.3f}, {found.gain.high:.3f}])."
        f" {outside:.0%} of the stored answers lie outside the probabilities that were reviewed,"
        f" where the map is a guess. {done}"
    )
