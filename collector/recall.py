"""What the store holds of the traces that a batch touches, and of those tied to them by a response id.

Columns are read where a first look at the ids found rows (``rowid IN``): the others are long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from collector.packs import microseconds, unpacked
from collector.records import Record
from undertow.store.base import Store

MOST_RECALLED = 2000
"""Of a trace with more records than this, only those nearest in time to the new ones are read back."""

# A response id that more records share (a fake model, a constant) identifies only calls that run at the same time.
_MOST_SHARING_AN_ID = 64
_JOIN_WINDOW_US = 3_600 * 1_000_000
# A judgement that names a response id may come long after the answer, and old traffic may be replayed.
_JUDGEMENT_WINDOW_US = 10 * 366 * 24 * 3_600 * 1_000_000
_ROUNDS = 8

_IDS = "(SELECT unnest(from_json($ids, '[\"VARCHAR\"]')))"
_KNOWN_IN_TRACES = f"""
    SELECT record_id FROM records
    WHERE rowid IN (SELECT rowid FROM records WHERE trace_id IN {_IDS})
      AND record_id IN (SELECT unnest(from_json($records, '["VARCHAR"]')))
"""
_KNOWN = f"SELECT record_id FROM records WHERE record_id IN {_IDS}"
_OF_TRACES = """
    WITH touched AS (
        SELECT unnest(from_json($touched, '[{"id": "VARCHAR", "low": "BIGINT", "high": "BIGINT"}]'), recursive := true)
    ), near AS (
        SELECT * FROM records
        WHERE rowid IN (SELECT rowid FROM records WHERE trace_id IN (SELECT id FROM touched))
    ), parts AS (
        SELECT trace_id, coalesce(packed_in, record_id) AS holder, count(*) AS size,
               min(greatest(low - epoch_us(time), epoch_us(time) - high, 0)) AS distance
        FROM near JOIN touched ON trace_id = id GROUP BY ALL
    )
    SELECT trace_id, holder, distance, sum(size) OVER (PARTITION BY trace_id) AS total,
           sum(size) OVER (PARTITION BY trace_id ORDER BY distance, holder ROWS UNBOUNDED PRECEDING) - size AS nearer
    FROM parts QUALIFY nearer < $most ORDER BY trace_id, distance, holder
"""
_OF_RESPONSES = f"""
    SELECT response_id, coalesce(packed_in, record_id) AS holder FROM records
    WHERE rowid IN (SELECT rowid FROM records WHERE response_id IN {_IDS})
      AND (trace_id IS NULL OR kind = 'feedback' OR time BETWEEN make_timestamp($low) AND make_timestamp($high))
    QUALIFY row_number() OVER (PARTITION BY response_id) <= {_MOST_SHARING_AN_ID + 1}
"""
_AT_ONCE = f"""
    WITH touched AS (
        SELECT unnest(from_json($touched, $shape), recursive := true)
    ), calls AS (
        SELECT interaction_id FROM interactions JOIN touched ON response_id = id
        WHERE start_time BETWEEN make_timestamp($first) AND make_timestamp($last)
          AND epoch_us(start_time) <= high AND epoch_us(end_time) >= low
        QUALIFY row_number() OVER (PARTITION BY id, low, high ORDER BY start_time, interaction_id)
            <= {_MOST_SHARING_AN_ID}
    )
    SELECT DISTINCT coalesce(packed_in, record_id) AS holder FROM records
    WHERE rowid IN (SELECT rowid FROM records WHERE record_id IN (SELECT interaction_id FROM calls))
"""
_SHAPE = '[{"id": "VARCHAR", "low": "BIGINT", "high": "BIGINT"}]'
_HOLDERS = f"""
    SELECT body, packed FROM records WHERE rowid IN (SELECT rowid FROM records WHERE record_id IN {_IDS})
"""
_ABOVE = f"""
    SELECT coalesce(packed_in, record_id) AS holder FROM records
    WHERE rowid IN (SELECT rowid FROM records WHERE record_id IN {_IDS})
"""


@dataclass
class Recalled:
    """Stored records that help to understand new ones.

    Attributes
    ----------
    records : in no order, each once, none of them new.
    settled : ids of those records of very large traces that are read only to understand others: their own
        neighbours may be missing, so that what is stored about them stays as it is.
    partial : traces of which not everything was read.
    """

    records: list[Record] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)
    partial: set[str] = field(default_factory=set)


class Recall:
    """Reads back what belongs to new records.

    Parameters
    ----------
    response_ids : what ties records to records outside their trace.
    """

    def __init__(self, store: Store, response_ids: Callable[[Sequence[Record]], set[str]]) -> None:
        self._store = store
        self._response_ids = response_ids

    def known(self, records: Sequence[Record]) -> set[str]:
        """Return the ids of those records that are stored already.

        Raises
        ------
        StoreError
            The store failed.
        """
        # A feedback's id is its sender's, whatever it speaks of; all other ids follow from what they name.
        in_traces = [record for record in records if record.get("trace_id") and record["kind"] != "feedback"]
        alone = [r["record_id"] for r in records if not r.get("trace_id") or r["kind"] == "feedback"]
        found: set[str] = set()
        if in_traces:
            traces = sorted({record["trace_id"] for record in in_traces if record["trace_id"]})
            ids = [record["record_id"] for record in in_traces]
            found.update(self._column(_KNOWN_IN_TRACES, ids=_json(traces), records=_json(ids)))
        if alone:
            found.update(self._column(_KNOWN, ids=_json(alone)))
        return found

    def around(self, new: Sequence[Record]) -> Recalled:
        """Return stored records of the touched traces, and of those tied to them, until no more are found.

        Raises
        ------
        StoreError
            The store failed.
        """
        recalled = Recalled()
        seen = {record["record_id"] for record in new}
        traces: set[str] = set()
        responses: set[str] = set()
        crowded: set[str] = set()
        frontier: Sequence[Record] = new
        for _ in range(_ROUNDS):
            more_traces = {trace for record in frontier if (trace := record.get("trace_id"))} - traces
            more_responses = self._response_ids(frontier) - responses
            holders = self._of_traces(more_traces, frontier, recalled)
            holders += self._of_responses(more_responses, frontier, crowded)
            holders += self._at_once(crowded, frontier)
            traces |= more_traces
            responses |= more_responses
            found = self._records(holders)
            frontier = list({r["record_id"]: r for r in found if r["record_id"] not in seen}.values())
            if not frontier:
                break
            seen.update(record["record_id"] for record in frontier)
            recalled.records += frontier
        if recalled.partial:
            self._add_ancestors(recalled, new, seen)
            _settle(recalled, new)
        return recalled

    def _of_traces(self, ids: set[str], around: Sequence[Record], recalled: Recalled) -> list[str]:
        if not ids:
            return []
        touched = _json([{"id": trace, "low": low, "high": high} for trace, (low, high) in _reach(around, ids).items()])
        found = self._store.query(_OF_TRACES, {"touched": touched, "most": MOST_RECALLED})
        for trace, total in zip(found["trace_id"].to_pylist(), found["total"].to_pylist(), strict=True):
            if total > MOST_RECALLED:
                recalled.partial.add(trace)
        holders: list[str] = found["holder"].to_pylist()
        return holders

    def _of_responses(self, ids: set[str], around: Sequence[Record], crowded: set[str]) -> list[str]:
        """Return what shares these ids; an id that too many share is added to the crowded ones instead."""
        times = [microseconds(record) for record in around]
        if not ids or not times:
            return []
        judging = any(record.get("trace_id") is None or record["kind"] == "feedback" for record in around)
        reach = _JUDGEMENT_WINDOW_US if judging else _JOIN_WINDOW_US
        low, high = min(times) - reach, max(times) + _JOIN_WINDOW_US
        found = self._store.query(_OF_RESPONSES, {"ids": _json(sorted(ids)), "low": low, "high": high})
        shared: list[str] = found["response_id"].to_pylist()
        crowded |= {name for name, number in Counter(shared).items() if number > _MOST_SHARING_AN_ID}
        pairs = zip(shared, found["holder"].to_pylist(), strict=True)
        return [holder for name, holder in pairs if name not in crowded]

    def _at_once(self, crowded: set[str], around: Sequence[Record]) -> list[str]:
        """Return the calls with a crowded response id that ran while one of these records did."""
        if not crowded:
            return []
        touched = [
            (name, microseconds(record), max(record["end_ns"], record["start_ns"]) // 1000)
            for record in around
            for name in self._response_ids([record]) & crowded
        ]
        if not touched:
            return []
        first = min(low for _, low, _ in touched) - _JOIN_WINDOW_US
        last = max(high for *_, high in touched)
        named = _json([{"id": name, "low": low, "high": high} for name, low, high in touched])
        return self._column(_AT_ONCE, touched=named, shape=_SHAPE, first=first, last=last)

    def _add_ancestors(self, recalled: Recalled, new: Sequence[Record], seen: set[str]) -> None:
        """Add the missing ancestors in very large traces: what a long task states once holds for all of it."""
        frontier: Sequence[Record] = [*new, *recalled.records]
        for _ in range(_ROUNDS):
            above = {
                f"{record['trace_id']}:{record['parent_span_id']}"
                for record in frontier
                if record.get("trace_id") in recalled.partial and record.get("parent_span_id")
            } - seen
            if not above:
                return
            seen |= above
            found = self._records(self._column(_ABOVE, ids=_json(sorted(above))))
            frontier = [record for record in found if record["record_id"] in above]
            recalled.records += frontier
            recalled.settled.update(record["record_id"] for record in frontier)

    def _records(self, holders: list[str]) -> list[Record]:
        if not holders:
            return []
        rows = self._store.query(_HOLDERS, {"ids": _json(sorted(set(holders)))})
        pairs = zip(rows["body"].to_pylist(), rows["packed"].to_pylist(), strict=True)
        return [record for body, packed in pairs for record in unpacked(body, packed)]

    def _column(self, sql: str, **params: Any) -> list[str]:
        found: pa.ChunkedArray = self._store.query(sql, params).column(0)
        values: list[str] = found.to_pylist()
        return values


def _settle(recalled: Recalled, new: Sequence[Record]) -> None:
    """Leave as they are stored the outer half of what was read: the neighbours of those records may be missing."""
    reach = _reach(new, recalled.partial)
    distances: dict[str, list[tuple[int, str]]] = {}
    for record in recalled.records:
        trace = record.get("trace_id")
        if trace in reach and record["record_id"] not in recalled.settled:
            low, high = reach[trace]
            at = microseconds(record)
            distances.setdefault(trace, []).append((max(low - at, at - high, 0), record["record_id"]))
    for found in distances.values():
        found.sort()
        recalled.settled.update(record_id for _, record_id in found[MOST_RECALLED // 2 :])


def _reach(records: Iterable[Record], traces: set[str]) -> dict[str, tuple[int, int]]:
    """Return from when to when the records of each trace began, in microseconds."""
    reach: dict[str, tuple[int, int]] = {}
    for record in records:
        trace = record.get("trace_id")
        if trace in traces:
            at = microseconds(record)
            low, high = reach.get(trace, (at, at))
            reach[trace] = min(low, at), max(high, at)
    return reach


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
