"""The gRPC door: OTLP's trace, log and metric services. Transport only.

Handlers get the raw bytes, so that a message is decoded once, by the intake. They are registered as streaming
ones (the same on the wire) because only those let a token be checked before the message is read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
from google.rpc import code_pb2

from collector.auth import Authenticator, Verdict
from collector.intake import Intake
from collector.otlp_answers import metrics_answer, signal_answer
from collector.refusal import FORBIDDEN, UNKNOWN_TOKEN, Refusal, refusal_of
from collector.telemetry import Telemetry

_SERVICES = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
}
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_WORKERS = 8


class GrpcDoor(grpc.GenericRpcHandler):  # type: ignore[misc] # grpcio has no types
    """Serves the three services."""

    def __init__(self, intake: Intake, auth: Authenticator, telemetry: Telemetry) -> None:
        self._intake = intake
        self._auth = auth
        self._telemetry = telemetry

    def server(self) -> grpc.Server:
        """Return a server without ports."""
        # The library logs a traceback for every message that it refuses for its size.
        logging.getLogger("grpc._server").setLevel(logging.CRITICAL)
        server = grpc.server(
            ThreadPoolExecutor(_WORKERS, thread_name_prefix="grpc"),
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", self._intake.max_body_bytes),
            ],
        )
        server.add_generic_rpc_handlers((self,))
        return server

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a method, or nothing when it is not served."""
        signal = _SERVICES.get(handler_call_details.method)
        if signal is None:
            return None
        return grpc.stream_unary_rpc_method_handler(self._handler(signal))

    def _handler(self, signal: str) -> Callable[[Iterator[bytes], Any], bytes]:
        def handle(messages: Iterator[bytes], context: Any) -> bytes:
            refusal = self._unauthorised(context)
            if refusal is None:
                try:
                    answer = self._answer(signal, messages)
                except grpc.RpcError:
                    raise  # the transport has answered: the message is too large, or the client is gone
                except Exception as error:
                    refusal = refusal_of(error)
            code = code_pb2.OK if refusal is None else refusal.code
            name = code_pb2.Code.Name(code)
            self._telemetry.add("undertow_requests_total", door="grpc", signal=signal, status=name)
            if refusal is not None:
                _abort(context, refusal)
            return answer

        return handle

    def _unauthorised(self, context: Any) -> Refusal | None:
        sent = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        verdict = self._auth.decide(sent.get("authorization"), "ingest")
        return {Verdict.ALLOWED: None, Verdict.UNKNOWN: UNKNOWN_TOKEN, Verdict.FORBIDDEN: FORBIDDEN}[verdict]

    def _answer(self, signal: str, messages: Iterator[bytes]) -> bytes:
        body = next(messages, b"")
        with self._intake.admission() as take:
            take(len(body))
            if signal == "metrics":
                return metrics_answer(body, "protobuf")
            receipt = self._intake.submit(signal, body, encoding="protobuf")
            receipt.durable.result()
            return signal_answer(signal, receipt, "protobuf")


def _abort(context: Any, refusal: Refusal) -> NoReturn:
    trailer = [("grpc-status-details-bin", refusal.status.SerializeToString())]
    if refusal.retry_after_s is not None:
        # Some exporters read RetryInfo only here.
        trailer.append(("google.rpc.retryinfo-bin", refusal.retry_info.SerializeToString()))
    context.set_trailing_metadata(tuple(trailer))
    context.abort(_CODES[refusal.code], refusal.message)
    raise AssertionError("abort raises")
