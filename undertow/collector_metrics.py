"""What a running collector counts about itself, read from its `/metrics`."""

from __future__ import annotations

import http.client
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from undertow.store.endpoint import Endpoint
from undertow.tls import http_connection

TIMEOUT_S: Final = 0.5
_LINE: Final = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

_REASONS: Final[Mapping[str, str]] = {
    "400": "the body could not be read",
    "INVALID_ARGUMENT": "the body could not be read",
    "401": "no known token",
    "UNAUTHENTICATED": "no known token",
    "403": "the token lacks the scope ingest",
    "PERMISSION_DENIED": "the token lacks the scope ingest",
    "404": "no such path or method",
    "405": "no such path or method",
    "UNIMPLEMENTED": "no such path or method",
    "413": "larger than collector.max_body_bytes",
    "RESOURCE_EXHAUSTED": "larger than collector.max_body_bytes",
    "415": "an unknown content type or encoding",
    "499": "the sender went away",
    "CANCELLED": "the sender went away",
    "503": "too much in hand, or no room on the disk",
    "UNAVAILABLE": "too much in hand, or no room on the disk",
    "504": "a flush took too long",
}
_WELL: Final = re.compile(r"^(OK|[123]\d\d)$")


@dataclass(frozen=True)
class Sample:
    """One number of the Prometheus text."""

    name: str
    labels: Mapping[str, str]
    value: float


def read_metrics(live: Endpoint, *, timeout_s: float = TIMEOUT_S) -> tuple[Sample, ...] | None:
    """Return the counters of a running collector, ``None`` when it does not answer in time.

    Parameters
    ----------
    live : as its endpoint file tells; ``/metrics`` asks for no token.
    """
    try:
        connection = http_connection(live.http_url, timeout_s, live.trust)
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read().decode("utf-8")
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return parse(text) if answer.status == http.client.OK else None


def parse(text: str) -> tuple[Sample, ...]:
    """Return the numbers of a text in the Prometheus format 0.0.4; other lines are passed over."""
    found = []
    for line in text.splitlines():
        matched = _LINE.match(line)
        if matched:
            name, labels, value = matched.groups()
            found.append(Sample(name, dict(_LABEL.findall(labels or "")), float(value)))
    return tuple(found)


def total(samples: Iterable[Sample], name: str) -> float:
    """Sum of a counter over its labels."""
    return sum(sample.value for sample in samples if sample.name == name)


def refusals(samples: Iterable[Sample]) -> list[tuple[str, int]]:
    """Return reason and number of what was refused since the collector started, most frequent first."""
    counts: Counter[str] = Counter()
    for sample in samples:
        status = sample.labels.get("status", "")
        if sample.name == "undertow_requests_total" and not _WELL.match(status):
            counts[_REASONS.get(status, f"status {status}")] += int(sample.value)
        if sample.name == "undertow_rejected_items_total" and sample.value:
            counts["one bad item in a good request"] += int(sample.value)
    return counts.most_common()
