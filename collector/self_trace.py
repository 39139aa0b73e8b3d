"""Traces of the collector's own work: receive → decode → redact → journal, and load → assemble → commit.

Spans are made when their times are known, so that what is not sampled costs one random number, and what is not asked
for costs nothing. Telemetry of a collector about itself is never traced again, so that one that reports to itself,
or two that report to each other, do not go on for ever.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from collector.records import Record
from undertow import __version__
from undertow.settings.doors import CollectorSettings

SCOPE = "undertow.collector"
SERVICE = "undertow-collector"
_TIMEOUT_S = 2
_NOTHING = nullcontext()


class WorkTrace:
    """The times of one piece of work, in nanoseconds since the epoch; becomes spans at its end."""

    def __init__(self, tracer: Any, name: str) -> None:
        self._tracer = tracer
        self._name = name
        self._start = time.time_ns()
        self._steps: list[tuple[str, int, int]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step; it counts even where it fails."""
        start = time.time_ns()
        try:
            yield
        finally:
            self._steps.append((name, start, time.time_ns()))

    def end_with(self, last: Future[int], name: str, **attributes: str | int) -> None:
        """End the work when a step that goes on elsewhere is done."""
        start = time.time_ns()

        def done(future: Future[int]) -> None:
            self._steps.append((name, start, time.time_ns()))
            self.end(future.exception(), **attributes)

        last.add_done_callback(done)

    def end(self, error: BaseException | None = None, **attributes: str | int) -> None:
        """Hand over the spans; of an error only its kind, because its message may quote what people wrote."""
        from opentelemetry import trace
        from opentelemetry.trace import Status, StatusCode

        named = {f"undertow.{name}": value for name, value in attributes.items()}
        root = self._tracer.start_span(self._name, start_time=self._start, attributes=named, context=_no_context())
        if error is not None:
            root.set_attribute("error.type", type(error).__name__)
            root.set_status(Status(StatusCode.ERROR))
        below = trace.set_span_in_context(root, _no_context())
        for name, start, end in self._steps:
            self._tracer.start_span(name, start_time=start, context=below).end(end)
        root.end()


class SelfTracer:
    """Makes traces of a share of the work and exports them over OTLP/HTTP.

    Parameters
    ----------
    endpoint : base address; ``None`` leaves it to ``OTEL_EXPORTER_OTLP_ENDPOINT``.
    ratio : share of the work that is traced.
    """

    def __init__(self, endpoint: str | None, ratio: float) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        url = f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None
        name = os.environ.get("OTEL_SERVICE_NAME", SERVICE)
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create({"service.name": name, "service.version": __version__}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url, timeout=_TIMEOUT_S)))
        self._tracer = self._provider.get_tracer(SCOPE, __version__)
        self._ratio = ratio

    def begin(self, name: str) -> WorkTrace | None:
        """Begin a piece of work; ``None`` where it is not sampled."""
        return WorkTrace(self._tracer, name) if random.random() < self._ratio else None  # noqa: S311 - a sample

    def close(self) -> None:
        """Send what waits, for a short time."""
        self._provider.shutdown()


def self_tracer(settings: CollectorSettings) -> SelfTracer | None:
    """Return a tracer where the settings ask for one."""
    if settings.trace_self is None:
        return None
    return SelfTracer(None if settings.trace_self == "true" else settings.trace_self, settings.trace_self_ratio)


def step(trace: WorkTrace | None, name: str) -> AbstractContextManager[None]:
    """Time a step of work that may not be traced."""
    return trace.step(name) if trace else _NOTHING


def is_own(records: Sequence[Record]) -> bool:
    """Whether records are a collector's telemetry about itself; those of one request are of one sender."""
    return bool(records) and records[0].get("scope_name") == SCOPE


def is_own_table(spans: pa.Table | None) -> bool:
    """Whether all rows of ``spans`` are a collector's telemetry about itself."""
    return spans is not None and bool(pc.all(pc.equal(spans.column("scope_name"), SCOPE)).as_py())


def _no_context() -> Any:
    from opentelemetry.context import Context

    return Context()
