"""The comparison of groups of people as an artifact: measured here, shown on the Quality page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from analysis.safety.counterfactual import Comparison, compare_groups
from undertow.store import Store, answer_reads

KIND = "bias"
OUTCOMES = ("refusal", "ungrounded", "offensive")
SCHEMA = pa.schema(
    {
        "attribute": pa.string(),
        "outcome": pa.string(),
        "verdict": pa.string(),
        "gap": pa.float64(),
        "p_value": pa.float64(),
        "templates": pa.int64(),
        "term": pa.string(),
        "n": pa.int64(),
        "count": pa.int64(),
        "low": pa.float64(),
        "high": pa.float64(),
    }
)
"""One row a group; a comparison without enough answers has one row without a group."""


def measure(store: Store) -> tuple[list[str], list[Comparison]]:
    """Return the prompts of the store, and how their outcomes differ between the groups that they name."""
    rows = store.query(answer_reads.COUNTERFACTUAL_OUTCOMES).to_pylist()
    prompts = [row["prompt"] for row in rows]
    return prompts, compare_groups(prompts, {name: [row[name] for row in rows] for name in OUTCOMES})


def artifact(found: Sequence[Comparison], calls: int, run_id: str, now: datetime) -> pa.Table:
    """Return the row of `artifacts` that holds comparisons of so many calls."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA) as writer:
        writer.write_table(pa.Table.from_pylist(_rows(found), SCHEMA))
    return pa.Table.from_pylist(
        [
            {
                "artifact_id": KIND,
                "kind": KIND,
                "version": str(calls),
                "run_id": run_id,
                "created_at": now,
                "body": sink.getvalue().to_pybytes(),
            }
        ]
    )


def _rows(found: Sequence[Comparison]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for item in found:
        shared = {name: getattr(item, name) for name in ("attribute", "outcome", "verdict", "gap", "p_value")}
        shared["templates"] = item.templates
        groups = [
            {"term": rate.term, "n": rate.n, "count": rate.count, "low": rate.low, "high": rate.high}
            for rate in item.rates
        ]
        rows += [{**shared, **group} for group in groups or [{}]]
    return rows
