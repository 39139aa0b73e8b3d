"""Versions of prompts, and changes of prompts, models, documents and deployments, discovered from the traffic."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pyarrow as pa

from analysis.analyzer import Batch, Context
from analysis.metrics.document_sets import find_new_documents
from analysis.scenes import moment
from undertow.store import trend_reads

# A deployment rolls out: what it brings is first seen a while after it was announced, or before.
_ONE_CHANGE = timedelta(hours=24)


class Prompts:
    """What was in use when, and what replaced it."""

    name = "prompts"
    version = "2"
    requires: tuple[str, ...] = ()

    def run(self, context: Context) -> Iterator[Batch]:
        """Write the versions that new calls used, and every first use of a new one."""
        versions = context.store.query(trend_reads.PROMPT_VERSIONS, context.scope)
        found = context.store.query(trend_reads.DISCOVERED_CHANGES, {"head": context.head}).to_pylist()
        found += _document_sets(context)
        known = context.store.query(trend_reads.KNOWN_CHANGES).to_pylist()
        changes = [{"change_id": _change_id(row), **row, "source": "telemetry"} for row in found]
        changes = [row for row in changes if not any(_same(row, old) for old in known)]
        if versions.num_rows == 0 and not changes:
            return
        tables = {"prompts": versions}
        if changes:
            tables["changes"] = pa.Table.from_pylist(changes)
        yield Batch(tables, rows=versions.num_rows)


def _document_sets(context: Context) -> list[dict[str, Any]]:
    given = context.store.query(trend_reads.DOCUMENTS_FIRST_GIVEN, {"head": context.head}).to_pandas()
    rows = []
    for service, texts in given.groupby("service_name"):
        for burst in find_new_documents(texts["document"], texts["first_given"]):
            new = burst.texts - burst.replaced
            after = " and ".join(
                part
                for part in (
                    f"{new} new documents" if new else "",
                    f"{burst.replaced} new texts" if burst.replaced else "",
                )
                if part
            )
            rows.append(
                {
                    "kind": "knowledge_base",
                    "name": str(service),
                    "before": f"{burst.known} texts",
                    "after": f"{after} from {moment(burst.at):%Y-%m-%d}",
                    "at": moment(burst.at),
                    "service_name": str(service),
                }
            )
    return rows


def _same(row: dict[str, Any], old: dict[str, Any]) -> bool:
    """Whether a change is recorded already, by an earlier run or by whoever made it."""
    if row["change_id"] == old["change_id"]:
        return True
    # What a set of documents became has no name: one change of it is posted and seen under different ones.
    same = old["kind"] == row["kind"] and (old["after"] == row["after"] or row["kind"] == "knowledge_base")
    posted = bool(old["source"] != "telemetry" and same)
    return posted and bool(abs(old["at"] - row["at"]) <= _ONE_CHANGE)


def _change_id(row: dict[str, Any]) -> str:
    identity = "\x1f".join(str(row[key]) for key in ("kind", "name", "after"))
    return hashlib.sha256(identity.encode()).hexdigest()[:32]
