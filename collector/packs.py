"""Records as the store keeps them: those of one trace packed together, because its spans repeat each other's text."""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from collector.records import Record

MOST_IN_A_PACK = 64
_SIZE = struct.Struct("<I")
_CODEC = pa.Codec("lz4_raw")


class Received(NamedTuple):
    """One record, and the JSON text in which it was journaled."""

    record: Record
    text: bytes


def as_payload(records: Iterable[Record]) -> bytes:
    """Return records as they are journaled: one line of JSON each."""
    return b"\n".join(map(_dump, records))


def from_payload(payload: bytes) -> list[Received]:
    """Return the records of one journaled request."""
    if payload.startswith(b"["):  # a journal of an older version
        return [Received(record, _dump(record)) for record in _load(payload)]
    return [Received(_load(line), line) for line in payload.split(b"\n")]


def pack(texts: Sequence[bytes]) -> bytes:
    """Return records in as few bytes as is cheap: the size of their JSON, then the JSON in LZ4."""
    content = b"[" + b",".join(texts) + b"]"
    return _SIZE.pack(len(content)) + bytes(_CODEC.compress(content, asbytes=True))


def unpack(packed: bytes) -> list[Record]:
    """Return the records of a pack."""
    (size,) = _SIZE.unpack_from(packed)
    content = _CODEC.decompress(packed[_SIZE.size :], decompressed_size=size, asbytes=True)
    records: list[Record] = _load(content)
    return records


def unpacked(body: str | None, packed: bytes | None) -> list[Record]:
    """Return the records that a row of ``records`` holds: a pack, or one in the text of an older version."""
    if packed is not None:
        return unpack(packed)
    return [] if body is None else [_load(body.encode())]


def pack_rows(
    received: Sequence[Received], response_ids: Callable[[Sequence[Record]], set[str]]
) -> list[dict[str, Any]]:
    """Return the rows of ``records``: the first of each pack holds it, the others name that one.

    Parameters
    ----------
    received : records of one commit, each once.
    response_ids : what ties a record to records outside its trace.
    """
    by_trace: dict[str | None, list[Received]] = defaultdict(list)
    for item in received:
        by_trace[item.record.get("trace_id")].append(item)
    rows = []
    for trace_id, found in by_trace.items():
        # What belongs to no trace is looked up, and one day erased, by itself.
        size = MOST_IN_A_PACK if trace_id else 1
        for first in range(0, len(found), size):
            pieces = found[first : first + size]
            holder = pieces[0].record["record_id"]
            packed: bytes | None = pack([piece.text for piece in pieces])
            for piece in pieces:
                rows.append(_row(piece.record, response_ids, packed, holder))
                packed = None
    return rows


def _row(
    record: Record, response_ids: Callable[[Sequence[Record]], set[str]], packed: bytes | None, holder: str
) -> dict[str, Any]:
    return {
        "record_id": record["record_id"],
        "kind": record["kind"],
        "trace_id": record.get("trace_id"),
        "span_id": record.get("span_id"),
        "response_id": min(response_ids((record,)), default=None),
        "time": microseconds(record),
        "packed": packed,
        "packed_in": holder,
    }


def microseconds(record: Record) -> int:
    """Return when a record began, in microseconds since the epoch."""
    return record.get("start_ns", 0) // 1000


def _dump(record: Record) -> bytes:
    try:
        return orjson.dumps(record)
    except TypeError:
        # A lone surrogate or an integer beyond 64 bits; Python's own encoder takes both.
        return json.dumps(record, ensure_ascii=False).encode("utf-8", "replace")


def _load(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)
