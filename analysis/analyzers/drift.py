"""Each day of each service against the weeks before it: questions, context, answers, behaviour."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import pyarrow as pa
from threadpoolctl import threadpool_limits

from analysis.analyzer import Batch, Context
from analysis.drift import DriftResult, benjamini_hochberg, compare, compare_behaviour, session_groups
from analysis.drift.comparison import MINIMUM_EFFECT
from analysis.drift.sentence import Change, Scene, verdict_sentence
from analysis.localtime import day_start, to_local
from analysis.turns import read_turns
from undertow.clock import parse_duration
from undertow.store import reads

FIELDS = ("prompt", "context", "response", "behaviour")
METHOD_VERSION = "1"
_PERMUTATIONS = 999
_MOST_REFERENCE_ROWS = 20_000
_EXEMPLARS = 10
_LOOK_BACK = timedelta(hours=24)


@dataclass(frozen=True)
class _Comparison:
    """One window of one service and field, before and after correction."""

    service: str | None
    field: str
    day: np.datetime64
    reference: npt.NDArray[np.int64]
    current: npt.NDArray[np.int64]
    result: DriftResult


class Drift:
    """Compares every day that new turns touched; all families of a day are corrected together."""

    name = "drift"
    version = METHOD_VERSION
    requires = ("embed", "topics")

    def run(self, context: Context) -> Iterator[Batch]:
        """Write a verdict per service, field and touched day."""
        scope = {**context.scope, "zone": context.settings.timezone}
        touched = context.store.query(reads.TOUCHED_DAYS, scope).to_pandas()
        if touched.empty:
            return
        days = np.unique(pd.to_datetime(touched["day"]).to_numpy().astype("datetime64[D]"))
        study = _Study(context, *_extent(context, days))
        for number, day in enumerate(days):
            context.report(number, len(days), str(day))
            yield study.batch(day)
        context.report(len(days), len(days), "")


class _Study:
    """What all windows of a run share."""

    def __init__(self, context: Context, start: datetime, end: datetime) -> None:
        self._context = context
        self._turns = turns = read_turns(context, start=start, end=end)
        frame = turns.frame
        self._reference = parse_duration(context.settings.analysis.reference)
        self._zone = ZoneInfo(context.settings.timezone)
        self._service = frame["service_name"].fillna("").to_numpy(object)
        self._day = frame["day"].to_numpy().astype("datetime64[D]")
        self._grouping = session_groups(
            frame["session_id"].to_numpy(object),
            frame["user_id"].to_numpy(object),
            frame["trace_id"].to_numpy(object),
            frame["start_time"].to_numpy(),
            services=self._service,
            prompt_keys=frame["prompt_text_hash"].to_numpy(object),
            vectors=np.nan_to_num(turns.vectors["prompt"]),
        )
        self._topics = _topics(context, frame, {"from": start, "to": end})
        self._labels = {row["topic_id"]: row["label"] for row in context.store.query(reads.TOPIC_LABELS).to_pylist()}
        self._changes = [Change(**row) for row in context.store.query(reads.CHANGES).to_pylist()]

    def batch(self, day: np.datetime64) -> Batch:
        """All comparisons of one day."""
        wanted = [(str(service), field) for service in np.unique(self._service) for field in FIELDS]
        # One comparison a core: their matrices are too small for a library's own threads to pay.
        with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
            compared = list(pool.map(lambda pair: self._compare(pair[0], pair[1], day), wanted))
        found = [comparison for comparison in compared if comparison is not None]
        adjusted = benjamini_hochberg([comparison.result.p_value for comparison in found])
        rows, contributions = [], []
        for comparison, p_value in zip(found, adjusted, strict=True):
            row = self._row(comparison, float(p_value), len(found))
            rows.append(row)
            contributions += self._contributions(comparison, row["drift_id"])
        if not rows:
            return Batch({})
        tables = {"drift": pa.Table.from_pylist(rows)}
        if contributions:
            tables["drift_contributions"] = pa.Table.from_pylist(contributions)
        gone = pa.table({"drift_id": [row["drift_id"] for row in rows]})
        return Batch(tables, delete={"drift_contributions": gone}, rows=sum(len(c.current) for c in found))

    def _compare(self, service: str, field: str, day: np.datetime64) -> _Comparison | None:
        mine = self._service == service
        usable = self._usable(field) & mine
        first = day - np.timedelta64(self._reference)
        reference = np.flatnonzero(usable & (self._day >= first) & (self._day < day))
        current = np.flatnonzero(usable & (self._day == day))
        if len(current) == 0:
            return None
        if len(reference) > _MOST_REFERENCE_ROWS:
            chosen = np.random.default_rng(0).choice(reference, _MOST_REFERENCE_ROWS, replace=False)
            reference = np.sort(chosen)
        result = self._behaviour(reference, current) if field == "behaviour" else self._plain(field, reference, current)
        return _Comparison(service or None, field, day, reference, current, result)

    def _usable(self, field: str) -> npt.NDArray[np.bool_]:
        wanted = ("prompt", "response") if field == "behaviour" else (field,)
        present = [~np.isnan(self._turns.vectors[name][:, 0]) for name in wanted]
        return np.asarray(np.logical_and.reduce(present))

    def _plain(self, field: str, reference: npt.NDArray[np.int64], current: npt.NDArray[np.int64]) -> DriftResult:
        vectors, groups = self._turns.vectors[field], self._grouping.groups
        return compare(
            vectors[reference],
            vectors[current],
            reference_groups=groups[reference],
            current_groups=groups[current],
            reference_topics=self._topics[reference],
            current_topics=self._topics[current],
            permutations=_PERMUTATIONS,
            alpha=self._level,
        )

    def _behaviour(self, reference: npt.NDArray[np.int64], current: npt.NDArray[np.int64]) -> DriftResult:
        prompts, responses = self._turns.vectors["prompt"], self._turns.vectors["response"]
        return compare_behaviour(
            prompts[reference],
            responses[reference],
            prompts[current],
            responses[current],
            reference_groups=self._grouping.groups[reference],
            current_groups=self._grouping.groups[current],
            reference_topics=self._topics[reference],
            current_topics=self._topics[current],
            permutations=_PERMUTATIONS,
            alpha=self._level,
        )

    @property
    def _level(self) -> float:
        """The smallest level that the correction may ask of one family."""
        families = len(np.unique(self._service)) * len(FIELDS)
        return self._context.settings.analysis.alpha / families

    def _row(self, comparison: _Comparison, adjusted: float, families: int) -> dict[str, Any]:
        result, alpha = comparison.result, self._context.settings.analysis.alpha
        verdict = result.verdict
        if verdict != "insufficient":
            verdict = "drifted" if adjusted <= alpha and result.effect >= MINIMUM_EFFECT else "stable"
        start, end = self._bounds(comparison.day)
        reference_start, _ = self._bounds(comparison.day - np.timedelta64(self._reference).astype("timedelta64[D]"))
        known = not np.isnan(result.p_value)
        return {
            "drift_id": f"{comparison.service}:{comparison.field}:{comparison.day}",
            "run_id": self._context.run_id,
            "field": comparison.field,
            "segment": comparison.service,
            "grouping": self._grouping_text(comparison),
            "reference_start": reference_start,
            "reference_end": start,
            "current_start": start,
            "current_end": end,
            "n_reference": result.n_reference,
            "n_current": result.n_current,
            "statistic": result.statistic,
            "value": result.value if known else None,
            "effect": result.effect if known else None,
            "p_value": result.p_value if known else None,
            "p_floor": result.p_floor,
            "evidence": float(-np.log10(max(result.p_value, 1e-12))) if known else None,
            "threshold": float(-np.log10(alpha / families)),
            "verdict": verdict,
            "sentence": verdict_sentence(replace(result, verdict=verdict), self._scene(comparison, start, end)),
            "method_version": METHOD_VERSION,
        }

    def _scene(self, comparison: _Comparison, start: datetime, end: datetime) -> Scene:
        near = [change for change in self._changes if start - _LOOK_BACK <= change.at < end]
        first, last = to_local(start, self._zone), to_local(end, self._zone)
        change = replace(near[-1], at=near[-1].at + (first - start)) if near else None
        several = len(np.unique(self._service)) > 1
        service = comparison.service or "" if several else ""
        return Scene(comparison.field, first, last, change, _LOOK_BACK, self._labels, service=service)

    def _bounds(self, day: np.datetime64) -> tuple[datetime, datetime]:
        """A local day as naive UTC."""
        return day_start(day, self._zone), day_start(day + np.timedelta64(1, "D"), self._zone)

    def _grouping_text(self, comparison: _Comparison) -> str:
        session = self._turns.frame["session_id"].to_numpy(object)[comparison.current]
        without = float(np.mean([not value for value in session]))
        return f"session ({without:.0%} without)"

    def _contributions(self, comparison: _Comparison, drift_id: str) -> list[dict[str, Any]]:
        ids = self._turns.frame["interaction_id"].to_numpy(object)[comparison.current]
        found = [
            {
                "drift_id": drift_id,
                "topic_id": item.topic_id,
                "share_reference": item.share_reference,
                "share_current": item.share_current,
                "contribution": item.contribution,
                "kind": item.kind,
                "exemplars": orjson.dumps([ids[i] for i in item.exemplars[:_EXEMPLARS]]).decode(),
            }
            for item in comparison.result.contributions
        ]
        return found


def _extent(context: Context, days: npt.NDArray[np.datetime64]) -> tuple[datetime, datetime]:
    """From the first day of the first reference to the end of the last day."""
    zone = ZoneInfo(context.settings.timezone)
    reference = np.timedelta64(parse_duration(context.settings.analysis.reference))
    first = (days[0] - reference).astype("datetime64[D]")
    return day_start(first, zone), day_start(days[-1] + np.timedelta64(1, "D"), zone)


def _topics(context: Context, frame: pd.DataFrame, bounds: Mapping[str, object]) -> npt.NDArray[np.int64]:
    assigned = context.store.query(reads.ASSIGNED_TOPICS, bounds).to_pandas().set_index("interaction_id")["topic_id"]
    topics: npt.NDArray[np.int64] = frame["interaction_id"].map(assigned).fillna(-1).to_numpy(np.int64)
    return topics
