"""The gRPC door: OTLP's trace, log and metric services, and the standard health service. Transport only.

Handlers get the raw bytes, so that a message is decoded once, by the intake. It also unpacks them: the library would
unpack every message that arrives, before anybody can count its bytes. Handlers are registered as streaming ones (the
same on the wire) because only those let a token be checked before the message is read. They are coroutines: a client
that opens a call and sends nothing holds no thread that another one needs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, Protocol

import grpc
import grpc.aio
from google.rpc import code_pb2

from collector.arriving import Arriving
from collector.auth import Authenticator, Verdict
from collector.bodies import GZIP
from collector.bounds import Bounds
from collector.grpc_health import CHECK, WATCH, HealthService
from collector.intake import Intake
from collector.otlp_answers import metrics_answer, signal_answer
from collector.refusal import FORBIDDEN, UNKNOWN_TOKEN, Refusal, refusal_of
from collector.telemetry import Telemetry
from undertow.errors import MalformedError, OverloadedError

_SERVICES = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
}
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_IDENTITY_AND_GZIP = 0b101
_MOST_ARRIVING = 8
_MOST_CALLS_A_CONNECTION = 64
_CANCELS_WITHIN_S = 0.1
_UNREADABLE = "the library has refused the message"
_TIMEOUTS_PER_MESSAGE = 3
"""The library does not tell how much of a message has come, so a whole one gets the time of several pauses."""


class Readiness(Protocol):
    """What the door tells about the process behind it."""

    def ready(self) -> bool:
        """Whether requests are taken."""
        ...


class GrpcDoor(grpc.GenericRpcHandler):  # type: ignore[misc] # grpcio has no types
    """Serves the three services and the health service.

    Parameters
    ----------
    workers : decode, redact and journal.
    read_timeout_s : a client may pause for this long while it sends.
    """

    def __init__(
        self,
        intake: Intake,
        auth: Authenticator,
        telemetry: Telemetry,
        health: Readiness,
        workers: Executor,
        *,
        read_timeout_s: float,
    ) -> None:
        self._intake = intake
        self._auth = auth
        self._telemetry = telemetry
        self._workers = workers
        self._arriving = Arriving(_MOST_ARRIVING, read_timeout_s * _TIMEOUTS_PER_MESSAGE)
        self._health = HealthService(health.ready, {method.split("/")[1] for method in _SERVICES})

    def server(self) -> grpc.aio.Server:
        """Return a server without ports; call it where the event loop runs."""
        # The library logs a traceback for every message that it refuses for its size.
        for name in ("grpc._server", "grpc.aio._server"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        return grpc.aio.server(
            handlers=[self],
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", self._intake.max_body_bytes),
                ("grpc.max_concurrent_streams", _MOST_CALLS_A_CONNECTION),
                # Without probes, no more than 64 KiB of a message come before it is asked for.
                ("grpc.http2.bdp_probe", 0),
                ("grpc.per_message_decompression", 0),
                ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_AND_GZIP),
            ],
        )

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a method, or nothing when it is not served."""
        method = handler_call_details.method
        if method == CHECK:
            return grpc.unary_unary_rpc_method_handler(self._health.check)
        if method == WATCH:
            return grpc.unary_stream_rpc_method_handler(self._health.watch)
        signal = _SERVICES.get(method)
        if signal is None:
            return None
        return grpc.stream_unary_rpc_method_handler(self._handler(signal))

    def _handler(self, signal: str) -> Callable[[AsyncIterator[bytes], Any], Awaitable[bytes]]:
        async def handle(messages: AsyncIterator[bytes], context: Any) -> bytes:
            answer = b""
            refusal = self._unauthorised(context)
            if refusal is None:
                try:
                    answer = await self._answer(signal, messages, self._auth.bounds(_authorization(context)))
                except asyncio.CancelledError as gone:
                    self._count(signal, code_pb2.RESOURCE_EXHAUSTED if _UNREADABLE in gone.args else code_pb2.CANCELLED)
                    raise
                except Exception as error:
                    refusal = refusal_of(error)
            self._count(signal, code_pb2.OK if refusal is None else refusal.code)
            if refusal is not None:
                await _abort(context, refusal)
            return answer

        return handle

    def _count(self, signal: str, code: int) -> None:
        self._telemetry.add("undertow_requests_total", door="grpc", signal=signal, status=code_pb2.Code.Name(code))

    def _unauthorised(self, context: Any) -> Refusal | None:
        verdict = self._auth.decide(_authorization(context), "ingest")
        return {Verdict.ALLOWED: None, Verdict.UNKNOWN: UNKNOWN_TOKEN, Verdict.FORBIDDEN: FORBIDDEN}[verdict]

    async def _answer(self, signal: str, messages: AsyncIterator[bytes], bounds: Bounds | None) -> bytes:
        body = await self._message(messages)
        compressed = body.startswith(GZIP)
        run = asyncio.get_running_loop().run_in_executor
        with self._intake.admission() as take:
            take(len(body))
            if signal == "metrics":
                return await run(self._workers, self._metrics, body, compressed)
            submit = partial(
                self._intake.submit, signal, body, encoding="protobuf", compressed=compressed, bounds=bounds
            )
            receipt = await run(self._workers, submit)
            await asyncio.wrap_future(receipt.durable)
        return signal_answer(signal, receipt, "protobuf")

    def _metrics(self, body: bytes, compressed: bool) -> bytes:
        return metrics_answer(self._intake.plain(body, compressed=compressed), "protobuf")

    async def _message(self, messages: AsyncIterator[bytes]) -> bytes:
        try:
            async with self._arriving.place():
                stream: Any = aiter(messages)
                body = await anext(stream, None)
            # Left open, it would keep the message until cycles are looked for.
            await stream.aclose()
        except TimeoutError:
            raise OverloadedError("the message did not arrive in time; send again") from None
        if body is None:
            await _unless_refused()
            raise MalformedError("the call holds no message")
        return bytes(body)


def _authorization(context: Any) -> str | None:
    sent = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
    return sent.get("authorization")


async def _unless_refused() -> None:
    """Return for a call that its client ended without a message.

    A message that is too large is refused by the library, which then cancels the handler. Sometimes a client that
    hangs up looks the same; it is counted as too large, because that loss is the one to be seen.
    """
    try:
        await asyncio.sleep(_CANCELS_WITHIN_S)
    except asyncio.CancelledError:
        raise asyncio.CancelledError(_UNREADABLE) from None


async def _abort(context: Any, refusal: Refusal) -> None:
    trailer = [("grpc-status-details-bin", refusal.status.SerializeToString())]
    if refusal.retry_after_s is not None:
        # Some exporters read RetryInfo only here.
        trailer.append(("google.rpc.retryinfo-bin", refusal.retry_info.SerializeToString()))
    context.set_trailing_metadata(tuple(trailer))
    await context.abort(_CODES[refusal.code], refusal.message)
