"""The collector's own counters and their Prometheus text."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping

from collector.self_trace import SelfTracer, WorkTrace

Labels = tuple[tuple[str, str], ...]

HELP: Mapping[str, tuple[str, str]] = {
    "undertow_requests_total": ("counter", "Requests answered, by door, signal and status"),
    "undertow_accepted_items_total": ("counter", "Spans, log records, feedback and changes acknowledged"),
    "undertow_rejected_items_total": ("counter", "Items of accepted requests that were refused"),
    "undertow_ignored_items_total": ("counter", "Log records accepted that hold nothing that Undertow stores"),
    "undertow_redactions_total": ("counter", "Strings replaced, by kind of secret"),
    "undertow_loaded_items_total": ("counter", "Items that this process acknowledged and loaded into the store"),
    "undertow_recovered_items_total": ("counter", "Items that an earlier process acknowledged and this one loaded"),
    "undertow_partly_assembled_traces_total": ("counter", "Times that a trace too large to read back was added to"),
    "undertow_load_failures_total": ("counter", "Transactions of the loader that failed and were tried again"),
    "undertow_unassembled_requests_total": ("counter", "Journaled requests that could not be assembled"),
    "undertow_journal_damaged_bytes_total": ("counter", "Bytes that were no whole record when the journal was opened"),
    "undertow_journal_bytes": ("gauge", "Bytes acknowledged but not yet loaded"),
    "undertow_backlog_bytes": ("gauge", "Bytes of requests that wait for the journal"),
    "undertow_last_load_seq": ("gauge", "Sequence number of the loader's newest commit"),
    "undertow_load_lag_seconds": ("gauge", "Age of the oldest acknowledged data that is not loaded"),
}


class Telemetry:
    """Counters by name and labels; gauges are read when asked. Safe to use from several threads.

    Parameters
    ----------
    tracer : traces a share of the work, where the settings ask for it.
    """

    def __init__(self, tracer: SelfTracer | None = None) -> None:
        self._tracer = tracer
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, Labels]] = Counter()
        self._gauges: dict[str, Callable[[], float]] = {}

    def add(self, name: str, amount: int = 1, **labels: str) -> None:
        """Count something; the name must be in ``HELP``."""
        if name not in HELP:
            raise KeyError(f"counter {name!r} is not described in HELP")
        with self._lock:
            self._counts[name, tuple(sorted(labels.items()))] += amount

    def begin(self, name: str) -> WorkTrace | None:
        """Begin to trace a piece of work; ``None`` where it is not traced."""
        return self._tracer.begin(name) if self._tracer else None

    def close(self) -> None:
        """Send what is left of the traces."""
        if self._tracer:
            self._tracer.close()

    def watch(self, name: str, read: Callable[[], float]) -> None:
        """Show a value that is read when the text is made."""
        self._gauges[name] = read

    def total(self, name: str) -> int:
        """Sum of a counter over its labels."""
        with self._lock:
            return sum(count for (counter, _), count in self._counts.items() if counter == name)

    def prometheus(self) -> str:
        """Everything in the Prometheus text format 0.0.4."""
        with self._lock:
            counts = dict(self._counts)
        lines: list[str] = []
        for name, (kind, text) in HELP.items():
            series = [(labels, count) for (counter, labels), count in sorted(counts.items()) if counter == name]
            values: list[tuple[Labels, float]] = [*series]
            if name in self._gauges:
                values.append(((), self._gauges[name]()))
            if kind == "counter" and not values:
                values.append(((), 0))
            if values:
                lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
                lines += [
                    f"{name}{_render(labels)} {value:g}"
                    if isinstance(value, float)
                    else f"{name}{_render(labels)} {value}"
                    for labels, value in values
                ]
        return "\n".join(lines) + "\n"


def _render(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
