"""Bodies of OTLP's successful answers, in the encoding of the request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.intake import Encoding, Receipt
from undertow.errors import MalformedError

_NO_METRICS = "Undertow keeps no metrics; they were dropped. Send them to a metrics backend, or switch their export off"
_RESPONSES: Mapping[str, Any] = {"traces": ExportTraceServiceResponse, "logs": ExportLogsServiceResponse}
_REJECTED = {"traces": ("rejected_spans", "rejectedSpans"), "logs": ("rejected_log_records", "rejectedLogRecords")}


def signal_answer(signal: str, receipt: Receipt, encoding: Encoding) -> bytes:
    """Answer for traces or logs; ``partial_success`` is set only where something was rejected."""
    field, camel = _REJECTED[signal]
    partly = bool(receipt.rejected or receipt.error_message)
    if encoding == "json":
        # 64-bit integers are strings in the JSON form of protobuf.
        told = {camel: str(receipt.rejected), "errorMessage": receipt.error_message}
        return orjson.dumps({"partialSuccess": told} if partly else {})
    response = _RESPONSES[signal]()
    if partly:
        setattr(response.partial_success, field, receipt.rejected)
        response.partial_success.error_message = receipt.error_message
    return bytes(response.SerializeToString())


def metrics_answer(body: bytes, encoding: Encoding) -> bytes:
    """Answer for metrics: accepted, dropped, and a warning that says so.

    Raises
    ------
    MalformedError
        The body is no such request.
    """
    if encoding == "json":
        try:
            parsed = orjson.loads(body)
        except orjson.JSONDecodeError:
            parsed = None
        if not isinstance(parsed, dict):
            raise MalformedError("the body is not a JSON object")
        return orjson.dumps({"partialSuccess": {"errorMessage": _NO_METRICS}})
    try:
        ExportMetricsServiceRequest.FromString(body)
    except DecodeError:
        raise MalformedError("the body is not a protobuf ExportMetricsServiceRequest") from None
    response = ExportMetricsServiceResponse()
    response.partial_success.error_message = _NO_METRICS
    return bytes(response.SerializeToString())
