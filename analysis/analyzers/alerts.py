"""Built-in monitors: what deserves to be told without anybody having written a rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa

from analysis.analyzer import Batch, Context
from analysis.localtime import to_local
from analysis.metrics.burst import Burst, find_bursts
from undertow.store import trend_reads

_DIGITS = 9  # sums in another order differ beyond them, and an equal firing is not told again
_BEYOND_DOUBT = 20.0  # standard deviations from which a burst cannot be more certain


@dataclass(frozen=True)
class Monitor:
    """A metric whose bursts are told.

    Attributes
    ----------
    name : after ``builtin:``.
    metric, sql : what is read.
    words : template of the sentence, over the fields of a burst.
    weight : severity of a burst beyond doubt; a scale from 0 to 1 across monitors.
    counts, z, ratio, least : as in :func:`analysis.metrics.burst.find_bursts`.
    """

    name: str
    metric: str
    words: str
    weight: float = 0.7
    sql: str = trend_reads.HOURLY
    counts: bool = True
    z: float = 6.0
    ratio: float = 2.0
    least: float = 5.0


MONITORS: tuple[Monitor, ...] = (
    Monitor(
        "cost",
        "cost",
        "{service} cost ${value:.2f} from {start} to {end}, {times:.1f} times what {n:,.0f} turns usually cost.",
        sql=trend_reads.HOURLY_COST,
        weight=0.8,
        counts=False,
        z=8.0,
        ratio=3.0,
        least=0.0,
    ),
    Monitor(
        "groundedness",
        "ungrounded",
        "{share} of the answers of {service} from {start} to {end} were ungrounded ({value:.0f} of {n:,.0f}; usually"
        " {usual}).",
        weight=0.9,
    ),
    Monitor(
        "feedback",
        "feedback_negative",
        "{share} of the feedback on {service} from {start} to {end} was negative ({value:.0f} of {n:,.0f}; usually"
        " {usual}).",
    ),
    Monitor(
        "errors",
        "errors",
        "{share} of the calls of {service} from {start} to {end} failed ({value:.0f} of {n:,.0f}; usually {usual}).",
        weight=0.9,
    ),
    Monitor(
        "refusals",
        "refusals",
        "{service} refused {share} of the questions from {start} to {end} ({value:.0f} of {n:,.0f}; usually {usual}).",
    ),
)


class Alerts:
    """Writes a firing for each burst, each onset of drift and each new topic.

    A firing is told once. One that grew is the same firing, told anew; one whose cause is gone since stays.
    """

    name = "alerts"
    version = "1"
    requires = ("trends", "drift", "monitor", "topics")

    def run(self, context: Context) -> Iterator[Batch]:
        """Look for bursts where hours changed, and for days that closed; write what is not told yet."""
        told = {row["event_id"]: row for row in context.store.query(trend_reads.FIRINGS).to_pylist()}
        rows: list[dict[str, Any]] = []
        if context.store.query(trend_reads.ROLLUP_HOURS, context.scope).num_rows:
            rows += _continued([row for monitor in MONITORS for row in _bursts(context, monitor)], told)
        rows += [_drift(row) for row in context.store.query(trend_reads.DRIFTED, {"now": context.now}).to_pylist()]
        rows += [_topic(row) for row in context.store.query(trend_reads.NEW_TOPICS).to_pylist()]
        fresh = [row for row in rows if not _is_told(row, told.get(row["event_id"]))]
        if fresh:
            yield Batch({"alert_events": pa.Table.from_pylist([{**row, "run_id": context.run_id} for row in fresh])})


def _is_told(row: dict[str, Any], stored: dict[str, Any] | None) -> bool:
    return stored is not None and all(stored[name] == row[name] for name in stored)


def _continued(rows: list[dict[str, Any]], told: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Give every burst the id of the stored one that it overlaps: it is the same, grown by what came since."""
    known = [(id_, _extent(row)) for id_, row in told.items()]
    taken = {row["event_id"] for row in rows} & set(told)
    for row in rows:
        if row["event_id"] in taken:
            continue
        monitor, start, end = _extent(row)
        same = (id_ for id_, (what, first, last) in known if what == monitor and first < end and start < last)
        row["event_id"] = min((id_ for id_ in same if id_ not in taken), default=row["event_id"])
        taken.add(row["event_id"])
    return rows


def _extent(firing: dict[str, Any]) -> tuple[tuple[str, str | None], datetime, datetime]:
    """What fired where, from when to when."""
    facts = orjson.loads(firing["evidence"] or b"{}")
    start, end = (
        datetime.fromisoformat(facts[at]) if at in facts else firing["happened_at"] for at in ("start", "end")
    )
    return (firing["alert_id"], facts.get("service_name")), start, end


def _bursts(context: Context, monitor: Monitor) -> Iterator[dict[str, Any]]:
    zone = ZoneInfo(context.settings.timezone)
    parameters = {"metric": monitor.metric} if "$metric" in monitor.sql else None
    series = context.store.query(monitor.sql, parameters).to_pandas()
    for service, rows in series.groupby("service_name", dropna=False):
        found = find_bursts(
            rows["hour"].to_numpy(),
            rows["n"].fillna(0).to_numpy(),
            rows["total"].to_numpy(),
            counts=monitor.counts,
            z=monitor.z,
            ratio=monitor.ratio,
            least=monitor.least,
        )
        for burst in found:
            yield _firing(monitor, str(service), burst, zone)


def _firing(monitor: Monitor, service: str, burst: Burst, zone: ZoneInfo) -> dict[str, Any]:
    start, end = (pd.Timestamp(at).to_pydatetime() for at in (burst.start, burst.end))
    facts = {
        "metric": monitor.metric,
        "service_name": service,
        "start": start.isoformat(),
        "end": end.isoformat(),
        "value": round(burst.value, _DIGITS),
        "expected": round(burst.expected, _DIGITS),
        "n": round(burst.n, _DIGITS),
    }
    first, last = to_local(start, zone), to_local(end, zone)
    sentence = monitor.words.format(
        service=service,
        start=f"{first:%a %d %b %H:%M}",
        end=f"{last:%H:%M}" if first.date() == last.date() else f"{last:%a %d %b %H:%M}",
        value=burst.value,
        n=burst.n,
        times=burst.value / max(burst.expected, 1e-12),
        share=_percent(burst.value / max(burst.n, 1)),
        usual=_percent(burst.expected / max(burst.n, 1)),
    )
    return {
        "event_id": f"builtin:{monitor.name}:{service}:{start.isoformat()}",
        "alert_id": f"builtin:{monitor.name}",
        "kind": "fired",
        "happened_at": start,
        "severity": round(monitor.weight * float(np.clip(burst.score / _BEYOND_DOUBT, 0.5, 1)), _DIGITS),
        "sentence": sentence,
        "evidence": orjson.dumps(facts).decode(),
    }


def _drift(row: dict[str, Any]) -> dict[str, Any]:
    facts = {
        "metric": f"drift of {row['field']}",
        "service_name": row["segment"],
        "start": row["current_start"].isoformat(),
        "end": row["current_end"].isoformat(),
        "value": row["effect"],
        "drift_id": row["drift_id"],
    }
    return {
        "event_id": f"builtin:drift:{row['drift_id']}",
        "alert_id": f"builtin:drift:{row['field']}",
        "kind": "fired",
        "happened_at": row["current_start"],
        "severity": float(np.clip(0.3 + (row["effect"] or 0.0), 0, 1)),
        "sentence": row["sentence"],
        "evidence": orjson.dumps(facts).decode(),
    }


def _topic(row: dict[str, Any]) -> dict[str, Any]:
    facts = {"metric": "new topic", "start": row["happened_at"].isoformat(), "topic_id": row["topic_id"]}
    return {
        "event_id": f"builtin:new_topic:{row['topic_id']}",
        "alert_id": "builtin:new_topic",
        "kind": "fired",
        "happened_at": row["happened_at"],
        "severity": 0.5,
        "sentence": row["sentence"],
        "evidence": orjson.dumps(facts).decode(),
    }


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.1f} %"
