"""What redaction replaced, as rows of the store: written with the data that it was taken out of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from collector.records import Record

_HOUR_NS = 3_600 * 10**9


def redaction_rows(records: Iterable[Record], batch: str) -> list[dict[str, Any]]:
    """Count replacements by hour of the data, service, environment and kind.

    Parameters
    ----------
    records : those of one commit, each at most once; :class:`collector.redact.Redactor` left its counts in them.
    batch : names the commit for ever, so that a repeated one replaces its own rows.

    Returns
    -------
    list of dict
        Rows of ``redactions`` without ``load_seq``.
    """
    counts: Counter[tuple[int, str | None, str | None, str]] = Counter()
    for record in records:
        for kind, strings in record.get("redactions", {}).items():
            hour = record.get("start_ns", 0) // _HOUR_NS
            counts[hour, record.get("service_name"), record.get("environment"), kind] += strings
    return [
        {
            "batch": batch,
            "hour": datetime.fromtimestamp(hour * 3600, UTC).replace(tzinfo=None),
            "service_name": service,
            "environment": environment,
            "kind": kind,
            "strings": strings,
        }
        for (hour, service, environment, kind), strings in counts.items()
    ]
