"""Both doors of a collector behind one call, and small OTLP requests for them."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from typing import Any, Literal

import grpc
from google.protobuf import json_format
from google.rpc import code_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.integration.running import JSON, LOGS, METRICS, TRACES, RunningCollector

Door = Literal["http", "grpc"]
DOORS: tuple[Door, ...] = ("http", "grpc")
_METHODS = {"traces": TRACES, "logs": LOGS, "metrics": METRICS}
_OF_HTTP = {
    400: code_pb2.INVALID_ARGUMENT,
    401: code_pb2.UNAUTHENTICATED,
    413: code_pb2.RESOURCE_EXHAUSTED,
    503: code_pb2.UNAVAILABLE,
}


@dataclass(frozen=True)
class Told:
    """What a door answered: a code of ``google.rpc``, 0 for taken, and the body of what was taken."""

    code: int
    body: bytes = b""
    message: str = ""
    retry_after_s: float | None = None


def send(
    collector: RunningCollector, door: Door, body: bytes, signal: str = "traces", *, gzipped: bool = False
) -> Told:
    """Send a protobuf body through a door."""
    if door == "http":
        answer = collector.post(f"/v1/{signal}", gzip.compress(body) if gzipped else body, **_coding(gzipped))
        wait = answer.headers.get("retry-after")
        code = 0 if answer.status == 200 else _OF_HTTP[answer.status]
        return Told(code, answer.body, str(answer.body), None if wait is None else float(wait))
    try:
        return Told(0, collector.rpc(_METHODS[signal], body, gzipped=gzipped))
    except grpc.RpcError as error:
        return Told(error.code().value[0], b"", error.details())


def _coding(gzipped: bool) -> dict[str, str]:
    return {"Content_Encoding": "gzip"} if gzipped else {}


def send_json(collector: RunningCollector, tree: Any, signal: str = "traces") -> Any:
    """Send OTLP/JSON and return the answer's JSON."""
    answer = collector.post(f"/v1/{signal}", json.dumps(tree).encode(), JSON)
    assert answer.status == 200, answer.body
    return answer.json


def as_tree(body: bytes, message: Any = ExportTraceServiceRequest) -> Any:
    """OTLP/JSON of a request as a tree: ids in hexadecimal."""
    tree = json_format.MessageToDict(message.FromString(body))

    def hexadecimal(node: Any) -> None:
        if isinstance(node, dict):
            for name in ("traceId", "spanId", "parentSpanId"):
                if name in node:
                    node[name] = base64.b64decode(node[name]).hex()
        for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            hexadecimal(inner)

    hexadecimal(tree)
    return tree


def split(body: bytes) -> list[bytes]:
    """One request per span, in the order of the spans."""
    requests = []
    whole = ExportTraceServiceRequest.FromString(body)
    for group in whole.resource_spans:
        for scope in group.scope_spans:
            for span in scope.spans:
                request = ExportTraceServiceRequest()
                part = request.resource_spans.add(resource=group.resource)
                part.scope_spans.add(scope=scope.scope).spans.add().CopyFrom(span)
                requests.append(bytes(request.SerializeToString()))
    return requests


def log_request(trace: str, span: str, event: str, time_ns: int, **attributes: str | float) -> bytes:
    """An ExportLogsServiceRequest of one event; an empty trace or span is left out."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    name = group.resource.attributes.add(key="service.name")
    name.value.string_value = "test"
    record = group.scope_logs.add().log_records.add(time_unix_nano=time_ns, event_name=event)
    record.trace_id, record.span_id = bytes.fromhex(trace), bytes.fromhex(span)
    for key, value in attributes.items():
        attribute = record.attributes.add(key=key)
        if isinstance(value, str):
            attribute.value.string_value = value
        else:
            attribute.value.double_value = value
    return bytes(request.SerializeToString())


def stored(collector: RunningCollector, trace: str) -> int:
    """How many spans of a trace are in the store once everything acknowledged is."""
    assert collector.flush().status == 200
    found = collector.rows("SELECT count(*) AS n FROM spans WHERE trace_id = ?", [trace])
    return int(found[0]["n"])


def counter(collector: RunningCollector, name: str) -> dict[str, float]:
    """A counter of ``/metrics`` by its labels as written there."""
    text = collector.request("GET", "/metrics").body.decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith(name)]
    return {series.removeprefix(name): float(value) for series, _, value in lines}
