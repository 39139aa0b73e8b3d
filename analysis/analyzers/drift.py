"""Each day of each service against the weeks before it: questions, context, answers, behaviour."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from threadpoolctl import threadpool_limits

from analysis.analyzer import Batch, Context
from analysis.analyzers.drift_codes import CodedDays, confirmed
from analysis.analyzers.drift_past import Past
from analysis.analyzers.drift_segments import judge_segments
from analysis.drift import DriftResult, benjamini_hochberg
from analysis.drift.result import MINIMUM_EFFECT
from analysis.drift.sentence import verdict_sentence
from analysis.localtime import day_start
from analysis.scenes import Journal
from analysis.study import FIELDS, Pin, Rows, Study, numbers_of, onset_of, read_pins, within
from undertow.clock import parse_duration
from undertow.store import reads

METHOD_VERSION = "3"


@dataclass(frozen=True)
class Comparison:
    """One window of one service and field, before correction."""

    service: str
    field: str
    day: np.datetime64
    reference: Rows
    current: Rows
    result: DriftResult

    @property
    def drift_id(self) -> str:
        """Identity in the store."""
        return f"{self.service or None}:{self.field}:{self.day}"


class Drift:
    """Compares every day that new turns touched; all families of a day are corrected together.

    Where somebody pinned a reference for a service, days after it are compared with that.
    """

    name = "drift"
    version = METHOD_VERSION
    requires = ("embed", "topics", "prompts")

    def run(self, context: Context) -> Iterator[Batch]:
        """Write a verdict per service, field and touched day."""
        scope = {**context.scope, "zone": context.settings.timezone}
        touched = context.store.query(reads.TOUCHED_DAYS, scope).to_pandas()
        if touched.empty:
            return
        days = np.unique(pd.to_datetime(touched["day"]).to_numpy().astype("datetime64[D]"))
        judge = _Days(context, days)
        for number, day in enumerate(days):
            context.report(number, len(days), str(day))
            yield judge.batch(day)
        context.report(len(days), len(days), "")


class _Days:
    """What all days of a run share."""

    def __init__(self, context: Context, days: npt.NDArray[np.datetime64]) -> None:
        self._context = context
        self._reference = parse_duration(context.settings.analysis.reference)
        self._zone = ZoneInfo(context.settings.timezone)
        self._pins = read_pins(context.store)
        self._study = Study(context, *_extent(context, days, self._pins))
        self._day = self._study.frame["day"].to_numpy().astype("datetime64[D]")
        self._journal = Journal.read(context.store, self._zone)
        self._services = [str(service) for service in np.unique(self._study.service)]
        self._last = days[-1]
        last = self._bounds(self._last)[1]
        self._codes = CodedDays(context, self._study)
        self._past = Past(context, last, len(self._services) * len(FIELDS))

    def batch(self, day: np.datetime64) -> Batch:
        """All comparisons of one day."""
        wanted = [(service, field) for service in self._services for field in FIELDS]
        # One comparison a core: their matrices are too small for a library's own threads to pay.
        with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
            compared = list(pool.map(lambda pair: self._compare(pair[0], pair[1], day), wanted))
        found = [self._held(comparison) for comparison in compared if comparison is not None]
        adjusted = benjamini_hochberg([comparison.result.p_value for comparison in found])
        judged = [
            replace(comparison, result=self._judged(comparison.result, float(p_value)))
            for comparison, p_value in zip(found, adjusted, strict=True)
        ]
        rows, contributions = [], []
        for comparison in judged:
            rows.append(self._row(comparison, judged))
            contributions += self._study.contributions(comparison.result, comparison.current, comparison.drift_id)
            if comparison.result.verdict == "drifted":
                self._past.remember(comparison.field, comparison.service, self._bounds(day)[0])
        parents = {row["drift_id"]: row for row in rows}
        with threadpool_limits(1):
            alpha = self._context.settings.analysis.alpha
            rows += judge_segments(self._study, judged, parents, alpha, self._journal.labels)
        if not rows:
            return Batch({})
        tables = {"drift": pa.Table.from_pylist(rows)}
        if artifacts := self._codes.take():
            tables["artifacts"] = pa.Table.from_pylist(artifacts)
        if contributions:
            tables["drift_contributions"] = pa.Table.from_pylist(contributions)
        gone = {
            "drift_contributions": pa.table({"drift_id": list(parents)}),
            "drift": pa.table({"parent_id": list(parents)}),
        }
        if day == self._last and (codes := self._codes.outdated(day, np.timedelta64(self._reference), self._pins)):
            gone["artifacts"] = pa.table({"artifact_id": codes})
        return Batch(tables, delete=gone, rows=sum(len(c.current) for c in found))

    def _compare(self, service: str, field: str, day: np.datetime64) -> Comparison | None:
        usable = self._study.usable(field) & (self._study.service == service)
        current = np.flatnonzero(usable & (self._day == day))
        if len(current) == 0:
            return None
        start, end = self._reference_of(service, day)
        reference = np.flatnonzero(usable & within(self._study.frame, start, end))
        families = len(self._services) * len(FIELDS)  # the smallest level that the correction may ask of one
        level = self._context.settings.analysis.alpha / families
        frozen = None
        if self._codes.are_due(field, reference, current):
            frozen = self._codes.compare(field, service, reference, current, level)
        reference, current = self._study.thinned(reference), self._study.thinned(current)
        if frozen is not None and frozen.verdict == "stable":
            return Comparison(service, field, day, reference, current, frozen)
        result = self._study.compare(field, reference, current, level)
        if frozen is not None and frozen.verdict == "drifted":
            result = confirmed(frozen, result)
        return Comparison(service, field, day, reference, current, result)

    def _held(self, comparison: Comparison) -> Comparison:
        """Hold the day against comparable days, unless somebody chose what it is compared with."""
        start, _ = self._bounds(comparison.day)
        if self._reference_of(comparison.service, comparison.day)[1] != start:
            return comparison
        field, service = comparison.field, comparison.service
        result = self._past.hold(field, service, comparison.result, self._study, comparison.current)
        return replace(comparison, result=result)

    def _reference_of(self, service: str, day: np.datetime64) -> tuple[datetime, datetime]:
        """The window that a day is compared with, naive UTC: the pinned one where the day lies after it."""
        start, _ = self._bounds(day)
        pin = self._pins.get(service)
        if pin is not None and pin.end <= start:
            return pin.start, pin.end
        return self._bounds(day - np.timedelta64(self._reference).astype("timedelta64[D]"))[0], start

    def _judged(self, result: DriftResult, adjusted: float) -> DriftResult:
        if result.verdict == "insufficient":
            return result
        drifted = adjusted <= self._context.settings.analysis.alpha and result.effect >= MINIMUM_EFFECT
        return replace(result, verdict="drifted" if drifted else "stable")

    def _row(self, comparison: Comparison, judged: list[Comparison]) -> dict[str, Any]:
        result, window = comparison.result, self._bounds(comparison.day)
        start, end = self._reference_of(comparison.service, comparison.day)
        onset = self._study.onset(comparison.field, result, comparison.reference, comparison.current)
        others = {
            other.field: other.result.verdict
            for other in judged
            if other.service == comparison.service and other.field != comparison.field
        }
        scene = self._journal.scene(comparison.field, comparison.service, window, onset=onset, other_fields=others)
        return {
            "drift_id": comparison.drift_id,
            "run_id": self._context.run_id,
            "field": comparison.field,
            "segment": comparison.service or None,
            "parent_id": None,  # segments have one, and a table takes its columns from its first row
            "grouping": self._study.grouping_text(comparison.current),
            "reference_start": start,
            "reference_end": end,
            "current_start": window[0],
            "current_end": window[1],
            **numbers_of(result, self._context.settings.analysis.alpha / len(judged)),
            **onset_of(onset),
            "sentence": verdict_sentence(result, scene),
            "method_version": METHOD_VERSION,
        }

    def _bounds(self, day: np.datetime64) -> tuple[datetime, datetime]:
        """A local day as naive UTC."""
        return day_start(day, self._zone), day_start(day + np.timedelta64(1, "D"), self._zone)


def _extent(context: Context, days: npt.NDArray[np.datetime64], pins: Mapping[str, Pin]) -> tuple[datetime, datetime]:
    """From the first day of the first reference to the end of the last day."""
    zone = ZoneInfo(context.settings.timezone)
    reference = np.timedelta64(parse_duration(context.settings.analysis.reference))
    first = day_start((days[0] - reference).astype("datetime64[D]"), zone)
    return min([first, *(pin.start for pin in pins.values())]), day_start(days[-1] + np.timedelta64(1, "D"), zone)
