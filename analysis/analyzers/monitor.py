"""The continuous monitors: one for each service and field, kept in `artifacts`, fed with what is new."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.analyzer import EVER, NEVER, Batch, Context
from analysis.drift import DriftMonitor, MonitorState
from analysis.localtime import day_start, to_local
from analysis.scenes import Journal, moment
from analysis.study import Rows, Study, read_acknowledged, read_pins, within
from undertow.clock import parse_duration
from undertow.store import reads

FIELDS = ("prompt", "context", "response")
VERSION = "2"
HOURS = 6
ENOUGH_SESSIONS = 1_000
SHORTEST = timedelta(days=7)
_BEFORE = timedelta(hours=24)
_AT_ONCE = 20
_NAMES = {"prompt": "Prompts", "context": "Retrieved documents", "response": "Responses"}


@dataclass(frozen=True)
class Kept:
    """A monitor with what it is compared with and since when it watches, naive UTC."""

    monitor: DriftMonitor
    model: str
    reference: tuple[datetime, datetime]
    since: datetime
    made_at: datetime
    crossed: datetime | None = None

    def to_bytes(self) -> bytes:
        """Return the body of its artifact."""
        times = [*self.reference, self.since, self.made_at, self.crossed or EVER]
        buffer = io.BytesIO()
        np.savez(
            buffer,
            allow_pickle=False,
            times=np.array(times, dtype="datetime64[us]"),
            model=np.array(self.model),
            monitor=np.frombuffer(self.monitor.to_bytes(), np.uint8),
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, body: bytes) -> Kept:
        """Return what ``to_bytes`` wrote."""
        with np.load(io.BytesIO(body), allow_pickle=False) as stored:
            start, end, since, made_at, crossed = (moment(at) for at in stored["times"])
            monitor = DriftMonitor.from_bytes(stored["monitor"].tobytes())
            model = str(stored["model"])
        return cls(monitor, model, (start, end), since, made_at, None if crossed == EVER else crossed)


class Monitors:
    """Takes every new session, once; evidence beyond the threshold is an alarm at once, day over or not.

    Sessions are compared within quarters of the day, those of weekends apart, so that a rhythm is no change.

    The reference is what came first: until there are seven days and 1,000 sessions of a service, 28 days at most
    (``analysis.reference``). A monitor is made anew, and begins without evidence, when its alarm is acknowledged
    (the days until then become its reference), when a reference is pinned, and when the embedding model changes.
    """

    name = "monitor"
    version = VERSION
    requires = ("embed", "prompts")

    def run(self, context: Context) -> Iterator[Batch]:
        """Feed all monitors with the turns beyond the watermark; one row of ``drift`` for each and touched day."""
        scope = {**context.scope, "since": context.now + timedelta(days=3650), "zone": context.settings.timezone}
        touched = context.store.query(reads.TOUCHED_DAYS, scope).to_pandas()
        if touched.empty and not self._restarts(context):
            return
        watch = _Watch(context, touched)
        rows, artifacts = [], []
        services = sorted(watch.services)
        for number, service in enumerate(services):
            context.report(number, len(services), service)
            for field in FIELDS:
                kept, found = watch.follow(service, field)
                rows += found
                if kept is not None:
                    artifacts.append(_artifact(context, service, field, kept))
        context.report(len(services), len(services), "")
        tables = {
            name: pa.Table.from_pylist(made) for name, made in (("drift", rows), ("artifacts", artifacts)) if made
        }
        yield Batch(tables, rows=watch.n_new)

    def _restarts(self, context: Context) -> bool:
        """Whether somebody pinned or acknowledged since the monitors ran last."""
        last = context.store.query(reads.LAST_RUN, {"analyzer": self.name}).column("at")[0].as_py()
        asked = context.store.query(reads.PINS).column("requested_at").to_pylist()
        return last is not None and any(at > last for at in asked)


class _Watch:
    """The turns that monitors are fed with, and what is kept of each."""

    def __init__(self, context: Context, touched: pd.DataFrame) -> None:
        self._context = context
        self._zone = ZoneInfo(context.settings.timezone)
        self._pins, self._acknowledged = read_pins(context.store), read_acknowledged(context.store)
        self._kept = {
            row["artifact_id"]: Kept.from_bytes(row["body"])
            for row in context.store.query(reads.MONITORS, {"version": VERSION}).to_pylist()
            if context.watermark > 0
        }
        self.services = {str(name or "") for name in touched["service_name"]} | set(self._pins)
        self.services |= {service for service, _ in self._acknowledged}
        days = pd.to_datetime(touched["day"]).to_numpy().astype("datetime64[D]")
        start = day_start(days.min(), self._zone) - _BEFORE if len(days) else context.now
        if all(self._is_current(service, field) for service in self.services for field in FIELDS):
            self._study = Study(context, start)
        else:  # a monitor that is to be made needs its reference
            self._study = Study(context)
        self._journal = Journal.read(context.store, self._zone)
        self._fresh = self._study.frame["load_seq"].to_numpy() > context.watermark
        self.n_new = int(self._fresh.sum())
        self._name = _group_names(self._study)
        self._part = _parts_of_the_week(self._study, self._zone)

    def _is_current(self, service: str, field: str) -> bool:
        kept = self._kept.get(_artifact_id(service, field))
        if kept is None or kept.model != self._context.embedder.name:
            return False
        asked = [self._acknowledged.get((service, field)), getattr(self._pins.get(service), "chosen_at", None)]
        return not any(at is not None and at > kept.made_at for at in asked)

    def follow(self, service: str, field: str) -> tuple[Kept | None, list[dict[str, Any]]]:
        """Feed one monitor; return it, and its rows of ``drift``. ``None``: too little past, or nothing new."""
        mine = np.flatnonzero((self._study.service == service) & self._study.usable(field))
        if self._is_current(service, field):
            kept: Kept | None = self._kept[_artifact_id(service, field)]
            mine = mine[self._fresh[mine]]
        else:
            kept = self._made(service, field, mine)
        if kept is None:
            return None, []
        new = mine[self._study.frame["start_time"].to_numpy()[mine] >= np.datetime64(kept.since)]
        if not len(new):
            return kept, []
        return self._fed(kept, service, field, new)

    def _made(self, service: str, field: str, mine: Rows) -> Kept | None:
        """Make a monitor anew; ``None`` while there is too little past."""
        window = self._reference_of(service, field, mine)
        if window is None:
            return None
        start, end = window
        rows = mine[within(self._study.frame.iloc[mine], start, end)]
        monitor = DriftMonitor(
            self._study.turns.vectors[field][rows],
            self._context.settings.analysis.alpha,
            reference_groups=[self._name[i] for i in rows],
            reference_strata=self._part[rows],
        )
        since = max([end, *(at for at in [self._acknowledged.get((service, field))] if at)])
        return Kept(monitor, self._context.embedder.name, (start, end), since, self._context.now)

    def _reference_of(self, service: str, field: str, mine: Rows) -> tuple[datetime, datetime] | None:
        longest = parse_duration(self._context.settings.analysis.reference)
        acknowledged, pin = self._acknowledged.get((service, field)), self._pins.get(service)
        if pin is not None and (acknowledged is None or pin.chosen_at >= acknowledged):
            return pin.start, pin.end
        if acknowledged is not None:
            return acknowledged - longest, acknowledged
        times = self._study.frame["start_time"].to_numpy()[mine]
        if not len(times):
            return None
        return _first_reference(times, [self._name[i] for i in mine], longest, self._zone)

    def _fed(self, kept: Kept, service: str, field: str, new: Rows) -> tuple[Kept, list[dict[str, Any]]]:
        days = self._study.frame["day"].to_numpy()[new].astype("datetime64[D]")
        vectors = self._study.turns.vectors[field]
        rows = []
        for day in np.unique(days):
            today = new[days == day]
            state = kept.monitor.state
            for few in np.array_split(today, max(1, len(today) // _AT_ONCE)):  # so that an alarm has a time
                state = kept.monitor.update(vectors[few], [self._name[i] for i in few], self._part[few])
                if state.alarm and kept.crossed is None:
                    kept = replace(kept, crossed=self._study.frame["start_time"].iloc[few[-1]].to_pydatetime())
            rows.append(self._row(kept, state, (service, field), day))
        return kept, rows

    def _row(self, kept: Kept, state: MonitorState, which: tuple[str, str], day: np.datetime64) -> dict[str, Any]:
        service, field = which
        start = max(day_start(day, self._zone), kept.since)
        verdict = "insufficient" if state.needed else "drifted" if state.alarm else "stable"
        times = self._study.frame["start_time"]
        n_reference = int((within(self._study.frame, *kept.reference) & (self._study.service == service)).sum())
        return {
            "drift_id": f"{service or None}:{field}:monitor:{day}",
            "run_id": self._context.run_id,
            "field": field,
            "segment": service or None,
            "grouping": "first message of each session, within quarters of the day",
            "reference_start": kept.reference[0],
            "reference_end": kept.reference[1],
            "current_start": start,
            "current_end": day_start(day + np.timedelta64(1, "D"), self._zone),
            "n_reference": n_reference if times.min() <= kept.reference[0] + _BEFORE else None,
            "n_current": state.sessions,
            "statistic": "monitor",
            "value": state.evidence,
            "p_value": min(1.0, 1.0 / state.evidence),
            "evidence": float(np.log10(state.evidence)),
            "threshold": float(np.log10(state.threshold)),
            "verdict": verdict,
            "sentence": self._sentence(kept, state, service, field),
            "method_version": f"monitor-{VERSION}",
        }

    def _sentence(self, kept: Kept, state: MonitorState, service: str, field: str) -> str:
        subject = _NAMES[field] + (f" of {service}" if len(self._journal.services) > 1 and service else "")
        start, end = (to_local(at, self._zone) for at in kept.reference)
        span = f"{start:%d %b} to {end:%d %b}"
        if state.needed:
            return f"The monitor of {subject.lower()} needs {state.needed}."
        told = f"evidence {_amount(state.evidence)}, threshold {state.threshold:,.0f}, {state.sessions:,} sessions"
        if not state.alarm:
            return f"{subject} have not moved away from those of {span} ({told})."
        when = to_local(kept.crossed, self._zone).strftime("%a %d %b %H:%M") if kept.crossed else "earlier"
        return f"{subject} have moved away from those of {span}: the monitor alarmed at {when} ({told})."


def _amount(evidence: float) -> str:
    return f"{evidence:,.1f}" if evidence < 1e6 else f"above 10^{int(np.log10(evidence))}"


def _first_reference(
    times: np.ndarray[Any, np.dtype[Any]], names: list[str], longest: timedelta, zone: ZoneInfo
) -> tuple[datetime, datetime] | None:
    """Return whole days from the first message on, until there are enough sessions; ``None``: not yet."""
    order = np.argsort(times, kind="stable")
    first = np.sort(times[order][np.unique(np.array(names, dtype=object)[order].astype(str), return_index=True)[1]])
    start = moment(first[0])
    enough = moment(first[ENOUGH_SESSIONS - 1]) if len(first) >= ENOUGH_SESSIONS else NEVER
    end = min(max(start + SHORTEST, enough), start + longest)
    local_day = np.datetime64(to_local(end, zone), "D")
    closed = day_start(local_day + np.timedelta64(1, "D"), zone)
    return None if moment(times.max()) < closed else (start, closed)


def _group_names(study: Study) -> list[str]:
    """Return a name of the session of each turn that is the same in every run: that of the group's first turn."""
    frame = study.frame
    session, user = (frame[name].fillna("").to_numpy(object) for name in ("session_id", "user_id"))
    trace, day = frame["trace_id"].fillna("").to_numpy(object), frame["day"].to_numpy().astype("datetime64[D]")
    first = np.unique(study.groups, return_index=True)[1][study.groups] if len(frame) else np.zeros(0, dtype=int)
    return [f"s{session[i]}" if session[i] else f"u{user[i]}:{day[i]}" if user[i] else f"t{trace[i]}" for i in first]


def _parts_of_the_week(study: Study, zone: ZoneInfo) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the quarter of the day of each turn, local time, those of weekends apart: 0 to 7."""
    times = study.frame["start_time"].dt.tz_localize("UTC").dt.tz_convert(zone)
    return np.asarray(times.dt.hour // HOURS + 24 // HOURS * (times.dt.day_of_week >= 5), dtype=np.int64)


def _artifact_id(service: str, field: str) -> str:
    return f"monitor:{service}:{field}"


def _artifact(context: Context, service: str, field: str, kept: Kept) -> dict[str, Any]:
    return {
        "artifact_id": _artifact_id(service, field),
        "kind": "monitor",
        "version": VERSION,
        "run_id": context.run_id,
        "created_at": context.now,
        "body": kept.to_bytes(),
    }
