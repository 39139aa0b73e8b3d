"""The HTTP door: OTLP, feedback, changes, flush, health, metrics. Transport only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from google.protobuf import json_format
from google.rpc import code_pb2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from collector.auth import Authenticator, Scope, Verdict
from collector.bodies import too_large
from collector.bounds import Bounds
from collector.intake import Encoding, Intake, Receipt
from collector.lookups import Lookups
from collector.otlp_answers import metrics_answer, signal_answer
from collector.records import Record
from collector.refusal import FORBIDDEN, UNKNOWN_TOKEN, Refusal, refusal_of
from collector.telemetry import Telemetry
from undertow.errors import MalformedError, TooLargeError

_ENCODINGS: Mapping[str, Encoding] = {"application/x-protobuf": "protobuf", "application/json": "json"}
_MEDIA = {encoding: media for media, encoding in _ENCODINGS.items()}
_LOOKUP_S = 1.0
_FLUSH_S = 30.0
_SLOWEST_BYTES_PER_S = 8 * 2**10


class Health(Protocol):
    """What the door tells about the process behind it."""

    def ready(self) -> bool:
        """Whether requests are taken."""
        ...

    def health(self) -> Mapping[str, Any]:
        """What ``/healthz`` tells."""
        ...

    def flushed(self) -> Future[int]:
        """Be done when everything acknowledged by now is loaded."""
        ...


class _Refused(Exception):
    """Carries a refusal that is no error of the intake."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


_TOO_SLOW = Refusal(408, code_pb2.DEADLINE_EXCEEDED, "the body did not arrive in time (collector.read_timeout_s)")


@dataclass(frozen=True)
class HttpDoor:
    """Everything the routes need.

    Attributes
    ----------
    workers : decode, redact and journal.
    lookups : ask the store what a feedback speaks of.
    read_timeout_s : a client may pause for this long while it sends.
    """

    intake: Intake
    auth: Authenticator
    telemetry: Telemetry
    health: Health
    workers: Executor
    lookups: Lookups
    read_timeout_s: float

    def app(self) -> Starlette:
        """Return the ASGI application."""
        routes = [
            Route("/v1/traces", self._counted("traces", self._signal), methods=["POST"]),
            Route("/v1/logs", self._counted("logs", self._signal), methods=["POST"]),
            Route("/v1/metrics", self._counted("metrics", self._metrics), methods=["POST"]),
            Route("/v1/feedback", self._counted("feedback", self._feedback), methods=["POST"]),
            Route("/v1/changes", self._counted("changes", self._changes), methods=["POST"]),
            Route("/v1/flush", self._counted("flush", self._flush), methods=["POST"]),
            Route("/healthz", self._healthz, methods=["GET"]),
            Route("/readyz", self._readyz, methods=["GET"]),
            Route("/metrics", self._prometheus, methods=["GET"]),
        ]
        app = Starlette(routes=routes, exception_handlers={HTTPException: self._not_served})
        # A redirection would name this process's own scheme and host, whatever stands in front of it.
        app.router.redirect_slashes = False
        return app

    def _counted(
        self, signal: str, answer: Callable[[str, Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            encoding = _encoding(request) or "json"
            try:
                response = await answer(signal, request)
            except ClientDisconnect:
                response = Response(status_code=499)
            except _Refused as refused:
                response = _refuse(refused.refusal, encoding)
            except Exception as error:
                response = _refuse(refusal_of(error), encoding)
            self._count(signal, response)
            return response

        return endpoint

    def _count(self, signal: str, response: Response) -> None:
        self.telemetry.add("undertow_requests_total", door="http", signal=signal, status=str(response.status_code))

    async def _not_served(self, request: Request, error: Exception) -> Response:
        """404 and 405, in the request's encoding."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        code = code_pb2.UNIMPLEMENTED if status == 405 else code_pb2.NOT_FOUND
        message = f"{request.method} is not served here" if status == 405 else "there is nothing at this path"
        response = _refuse(Refusal(status, code, message), _encoding(request) or "json")
        if isinstance(error, HTTPException):
            response.headers.update(error.headers or {})
        self._count("none", response)
        return response

    def _require(self, request: Request, *scopes: Scope) -> Bounds | None:
        """Return what the token is bound to, unless it is refused."""
        authorization = request.headers.get("authorization")
        verdict = self.auth.decide(authorization, *scopes)
        if verdict is not Verdict.ALLOWED:
            raise _Refused(UNKNOWN_TOKEN if verdict is Verdict.UNKNOWN else FORBIDDEN)
        return self.auth.bounds(authorization)

    async def _signal(self, signal: str, request: Request) -> Response:
        bounds = self._require(request, "ingest")
        encoding = _required_encoding(request)
        compressed = _compressed(request)
        with self.intake.admission() as take:
            body = await self._body(request, take)

            def submit() -> Receipt:
                return self.intake.submit(signal, body, encoding=encoding, compressed=compressed, bounds=bounds)

            receipt = await asyncio.get_running_loop().run_in_executor(self.workers, submit)
            await asyncio.wrap_future(receipt.durable)
        return Response(signal_answer(signal, receipt, encoding), media_type=_MEDIA[encoding])

    async def _metrics(self, signal: str, request: Request) -> Response:
        self._require(request, "ingest")
        encoding = _required_encoding(request)
        compressed = _compressed(request)
        with self.intake.admission() as take:
            body = await self._body(request, take)

            def answer() -> bytes:
                return metrics_answer(self.intake.plain(body, compressed=compressed), encoding)

            content = await asyncio.get_running_loop().run_in_executor(self.workers, answer)
        return Response(content, media_type=_MEDIA[encoding])

    async def _feedback(self, signal: str, request: Request) -> Response:
        record, receipt = await self._posted(request, self.intake.submit_feedback)
        await asyncio.wrap_future(receipt.durable)
        resolved = await self.lookups.resolves(record["feedback"]["target"], _LOOKUP_S)
        return _json_response({"feedback_id": record["feedback"]["id"], "resolved": resolved}, 202)

    async def _changes(self, signal: str, request: Request) -> Response:
        record, receipt = await self._posted(request, self.intake.submit_change)
        await asyncio.wrap_future(receipt.durable)
        return _json_response({"change_id": record["change"]["id"]}, 202)

    async def _posted(
        self, request: Request, submit: Callable[[Any, Bounds | None], tuple[Record, Receipt]]
    ) -> tuple[Record, Receipt]:
        """Read a JSON body and submit it, on a worker."""
        bounds = self._require(request, "ingest")
        if _required_encoding(request) != "json":
            raise _Refused(_unsupported("this path takes application/json"))
        compressed = _compressed(request)
        with self.intake.admission() as take:
            body = await self._body(request, take)

            def work() -> tuple[Record, Receipt]:
                return submit(_parsed(self.intake.plain(body, compressed=compressed)), bounds)

            return await asyncio.get_running_loop().run_in_executor(self.workers, work)

    async def _flush(self, signal: str, request: Request) -> Response:
        self._require(request)
        timeout_s = _timeout(request.query_params.get("timeout_s"))
        try:
            seq = await asyncio.wait_for(asyncio.wrap_future(self.health.flushed()), timeout_s)
        except TimeoutError:
            message = f"not everything acknowledged was loaded within {timeout_s:g} s; the collector goes on loading"
            raise _Refused(Refusal(504, code_pb2.DEADLINE_EXCEEDED, message)) from None
        return _json_response({"last_load_seq": seq})

    async def _healthz(self, request: Request) -> Response:
        return _json_response(self.health.health())

    async def _readyz(self, request: Request) -> Response:
        ready = self.health.ready()
        return PlainTextResponse("ready\n" if ready else "not ready\n", 200 if ready else 503)

    async def _prometheus(self, request: Request) -> Response:
        return Response(self.telemetry.prometheus(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _body(self, request: Request, take: Callable[[int], None]) -> bytes:
        limit = self.intake.max_body_bytes
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise TooLargeError(too_large(limit))
        chunks: list[bytes] = []
        size = 0
        clock = asyncio.get_running_loop().time
        latest = clock() + self.read_timeout_s
        try:
            async with asyncio.timeout_at(latest) as patience:
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > limit:
                        raise TooLargeError(too_large(limit))
                    take(len(chunk))
                    chunks.append(chunk)
                    patience.reschedule(min(clock() + self.read_timeout_s, latest + size / _SLOWEST_BYTES_PER_S))
        except TimeoutError:
            raise _Refused(_TOO_SLOW) from None
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise MalformedError("the body is not JSON") from None


def _encoding(request: Request) -> Encoding | None:
    return _ENCODINGS.get(request.headers.get("content-type", "").partition(";")[0].strip().lower())


def _required_encoding(request: Request) -> Encoding:
    encoding = _encoding(request)
    if encoding is None:
        raise _Refused(_unsupported(f"the content type must be one of {', '.join(_ENCODINGS)}"))
    return encoding


def _compressed(request: Request) -> bool:
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "", "gzip"):
        raise _Refused(_unsupported("the content encoding must be gzip or identity"))
    return coding == "gzip"


def _unsupported(message: str) -> Refusal:
    return Refusal(415, code_pb2.INVALID_ARGUMENT, message)


def _timeout(text: str | None) -> float:
    try:
        timeout_s = _FLUSH_S if text is None else float(text)
    except ValueError:
        timeout_s = -1.0
    if not 0 <= timeout_s <= 86_400:
        raise MalformedError("timeout_s is not a number of seconds between 0 and 86400")
    return timeout_s


def _refuse(refusal: Refusal, encoding: Encoding) -> Response:
    status = refusal.status
    content = (
        status.SerializeToString()
        if encoding == "protobuf"
        else json_format.MessageToJson(status, indent=None).encode()
    )
    headers = {} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)}
    if refusal is UNKNOWN_TOKEN:
        headers["WWW-Authenticate"] = "Bearer"
    if refusal is _TOO_SLOW:
        headers["Connection"] = "close"
    return Response(content, refusal.http, headers, _MEDIA[encoding])


def _json_response(content: Mapping[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
