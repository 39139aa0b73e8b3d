"""Built-in monitors: what deserves to be told without anybody having written a rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa

from analysis.analyzer import Batch, Context
from analysis.metrics.burst import Burst, find_bursts
from undertow.store import reads

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
    sql: str = reads.HOURLY
    counts: bool = True
    z: float = 6.0
    ratio: float = 2.0
    least: float = 5.0


MONITORS: tuple[Monitor, ...] = (
    Monitor(
        "cost",
        "cost",
        "{service} cost ${value:.2f} from {start} to {end}, {times:.1f} times what {n:,.0f} turns usually cost.",
        sql=reads.HOURLY_COST,
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
    """Writes a firing for each burst, each onset of drift and each new topic."""

    name = "alerts"
    version = "1"
    requires = ("trends", "drift", "topics")

    def run(self, context: Context) -> Iterator[Batch]:
        """Look again at everything; a firing keeps its id, so nothing is told twice."""
        if context.store.query(reads.ROLLUP_HOURS, context.scope).num_rows == 0:
            return
        rows = [row for monitor in MONITORS for row in _bursts(context, monitor)]
        rows += [_drift(row) for row in context.store.query(reads.DRIFTED).to_pylist()]
        rows += [_topic(row) for row in context.store.query(reads.NEW_TOPICS).to_pylist()]
        if rows:
            yield Batch({"alert_events": pa.Table.from_pylist([{**row, "run_id": context.run_id} for row in rows])})


def _bursts(context: Context, monitor: Monitor) -> Iterator[dict[str, Any]]:
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
            yield _firing(monitor, str(service), burst)


def _firing(monitor: Monitor, service: str, burst: Burst) -> dict[str, Any]:
    start, end = (pd.Timestamp(at).to_pydatetime() for at in (burst.start, burst.end))
    facts = {
        "metric": monitor.metric,
        "service_name": service,
        "start": start.isoformat(),
        "end": end.isoformat(),
        "value": burst.value,
        "expected": burst.expected,
        "n": burst.n,
    }
    same_day = start.date() == end.date()
    sentence = monitor.words.format(
        service=service,
        start=f"{start:%a %d %b %H:%M}",
        end=f"{end:%H:%M}" if same_day else f"{end:%a %d %b %H:%M}",
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
        "severity": monitor.weight * float(np.clip(burst.score / _BEYOND_DOUBT, 0.5, 1)),
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
        "severity": float(np.clip(0.3 + row["effect"], 0, 1)),
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
