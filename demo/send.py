"""Sends the script through the real doors with the real OpenTelemetry SDK, and checks that nothing was lost."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Status, StatusCode, Tracer

from demo import genai_spans, openinference_spans
from demo.events import Event
from demo.knowledge import CUSTOMER, STAFF
from demo.script import Script, Turn
from demo.spans import PlannedSpan, span_id
from undertow.errors import UndertowError

_BATCH = 1500
_QUEUE = 200_000
_FLUSH_MS = 120_000
_EXPORT_TIMEOUT_S = 60
_POST_WORKERS = 8
_POST_TIMEOUT_S = 30

PLANNERS: dict[str, Callable[[Turn], list[PlannedSpan]]] = {
    CUSTOMER: genai_spans.customer_spans,
    STAFF: openinference_spans.staff_spans,
}
_SCOPES = {CUSTOMER: genai_spans.SCOPE, STAFF: openinference_spans.SCOPE}


class SendError(UndertowError):
    """The collector did not take everything that the demo sent."""


class ScriptedIds(IdGenerator):
    """Gives the ids that the script foresees."""

    def __init__(self) -> None:
        self.trace_id = ""
        self.index = 0

    def generate_trace_id(self) -> int:
        """Return the id of the trace that is being written."""
        return int(self.trace_id, 16)

    def generate_span_id(self) -> int:
        """Return the id of the next span of that trace."""
        made = int(span_id(self.trace_id, self.index), 16)
        self.index += 1
        return made


class CountingExporter(SpanExporter):
    """Passes spans on and counts what the other side took.

    Parameters
    ----------
    inner : the exporter that does the work.
    """

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self.accepted = 0
        self.refused = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export and count one batch."""
        result = self._inner.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.accepted += len(spans)
        else:
            self.refused += len(spans)
        return result

    def shutdown(self) -> None:
        """Close the inner exporter."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the inner exporter."""
        return self._inner.force_flush(timeout_millis)


@dataclass(frozen=True)
class Sent:
    """How much was sent and accepted."""

    interactions: int
    spans: int
    feedback: int
    changes: int


class Service:
    """One instrumented service: a provider with its resource, exporter and ids.

    Parameters
    ----------
    name : value of `service.name`.
    exporter : where its spans go.
    """

    def __init__(self, name: str, exporter: SpanExporter) -> None:
        self.exporter = CountingExporter(exporter)
        self.sent = 0
        self._ids = ScriptedIds()
        resource = Resource.create(
            {
                "service.name": name,
                "service.version": "2.4.1",
                "service.instance.id": f"{name}-1",
                "deployment.environment.name": "production",
            }
        )
        # An interrupted demo must not go on trying to export while it ends: closing is explicit.
        self._provider = TracerProvider(
            resource=resource,
            id_generator=self._ids,
            span_limits=SpanLimits(max_span_attributes=256),
            shutdown_on_exit=False,
        )
        processor = BatchSpanProcessor(self.exporter, max_queue_size=_QUEUE, max_export_batch_size=_BATCH)
        self._provider.add_span_processor(processor)
        self._tracer: Tracer = self._provider.get_tracer(_SCOPES[name], "1.0")
        self._plan = PLANNERS[name]

    def write(self, turn: Turn) -> None:
        """Make the spans of one turn with the SDK."""
        self._ids.trace_id, self._ids.index = turn.trace_id, 0
        planned = self._plan(turn)
        contexts: list[Context] = []
        open_spans = []
        for plan in planned:
            context = Context() if plan.parent is None else contexts[plan.parent]
            span = self._tracer.start_span(plan.name, context, plan.kind, plan.attributes, start_time=plan.start_ns)
            contexts.append(trace.set_span_in_context(span, context))
            open_spans.append(span)
        for plan, span in reversed(list(zip(planned, open_spans, strict=True))):
            if plan.error:
                span.set_status(Status(StatusCode.ERROR, plan.error))
            span.end(plan.end_ns)
        self.sent += len(planned)

    def close(self) -> None:
        """Flush and check that every span was accepted.

        Raises
        ------
        SendError
            Some span was not.
        """
        flushed = self._provider.force_flush(_FLUSH_MS)
        self._provider.shutdown()
        if not flushed or self.exporter.accepted != self.sent:
            raise SendError(
                f"the collector accepted {self.exporter.accepted:,} of {self.sent:,} spans"
                f" ({self.exporter.refused:,} refused); its log is in the demo's folder"
            )


def exporters(http_url: str, grpc_url: str) -> dict[str, SpanExporter]:
    """Return one exporter a service: the customers' over HTTP, the staff's over gRPC."""
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return {
        CUSTOMER: HttpExporter(endpoint=f"{http_url}/v1/traces", timeout=_EXPORT_TIMEOUT_S),
        STAFF: GrpcExporter(endpoint=grpc_url, insecure=True, timeout=_EXPORT_TIMEOUT_S),
    }


def send_spans(
    script: Script, targets: dict[str, SpanExporter], progress: Callable[[int], None] = lambda _: None
) -> int:
    """Send the spans of every turn.

    Parameters
    ----------
    targets : exporter by service.
    progress : called with the number of turns written so far.

    Returns
    -------
    int
        Spans accepted.

    Raises
    ------
    SendError
        Not everything was accepted.
    """
    services = {name: Service(name, exporter) for name, exporter in targets.items()}
    try:
        for number, turn in enumerate(script.turns, 1):
            services[turn.service].write(turn)
            if number % 100 == 0:
                progress(number)
        for service in services.values():
            service.close()
    except BaseException:
        for service in services.values():
            service.exporter.shutdown()  # ends its retries: the collector may be gone
        raise
    progress(len(script.turns))
    return sum(service.sent for service in services.values())


def send(script: Script, http_url: str, grpc_url: str, progress: Callable[[int], None]) -> Sent:
    """Send spans, then feedback and changes."""
    spans = send_spans(script, exporters(http_url, grpc_url), progress)
    feedback, changes = list(feedback_bodies(script)), list(change_bodies(script.events.values()))
    post_all(http_url, [("/v1/feedback", body) for body in feedback] + [("/v1/changes", body) for body in changes])
    return Sent(len(script.turns), spans, len(feedback), len(changes))


def feedback_bodies(script: Script) -> Iterator[dict[str, Any]]:
    """Yield one body of `POST /v1/feedback` for every thumb."""
    for turn in script.turns:
        if turn.thumb is None:
            continue
        yield {
            "id": f"thumb-{turn.trace_id}",
            "target": {"trace_id": turn.trace_id, "span_id": turn.answer_span_id},
            "kind": "thumb",
            "value": turn.thumb,
            "author": turn.user_id,
            "at": (turn.start + timedelta(seconds=35)).isoformat() + "Z",
        }


def change_bodies(events: Iterable[Event]) -> Iterator[dict[str, Any]]:
    """Yield one body of `POST /v1/changes` for every change that telemetry does not tell by itself.

    The new version of a prompt is seen on the spans; what a knowledge base holds is not.
    """
    bodies = {
        "article": ("knowledge_base", "customer-help", "nothing on Travel Shield", "with travel-shield-1"),
        "old_edition": ("knowledge_base", "staff-handbook", "index of today", "index of 2019 in part"),
    }
    for event in events:
        if event.kind in bodies:
            kind, name, before, after = bodies[event.kind]
            yield {
                "id": f"demo-{event.kind}",
                "kind": kind,
                "name": name,
                "before": before,
                "after": after,
                "at": event.start.isoformat() + "Z",
                "source": "deployment log",
            }


def post_all(http_url: str, posts: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Post bodies as JSON over a few kept connections.

    Raises
    ------
    SendError
        One was not accepted.
    """
    local = threading.local()
    parts = urlsplit(http_url)

    def post(item: tuple[str, dict[str, Any]]) -> None:
        path, body = item
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_POST_TIMEOUT_S)
        local.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = local.connection.getresponse()
        text = response.read()
        if response.status != http.client.ACCEPTED:
            raise SendError(f"{path} answered {response.status}: {text[:300].decode(errors='replace')}")

    with ThreadPoolExecutor(_POST_WORKERS) as workers:
        list(workers.map(post, posts))
