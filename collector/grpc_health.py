"""The standard health service of gRPC (``grpc.health.v1.Health``), which load balancers and Kubernetes ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

import grpc
from google.protobuf.message import DecodeError

# A message with one string in field 1, as HealthCheckRequest is, and one with a number there, as its response is.
from google.protobuf.wrappers_pb2 import StringValue, UInt32Value

from collector.bodies import GZIP, gunzip
from undertow.errors import MalformedError, TooLargeError

CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
_PAUSE_S = 0.5
_MOST_BYTES = 2**16


class HealthService:
    """Tells whether the door takes requests; needs no token, as ``/readyz`` needs none.

    Parameters
    ----------
    ready : whether requests are taken.
    services : names that may be asked for, besides the empty one of the whole server.
    """

    def __init__(self, ready: Callable[[], bool], services: Collection[str]) -> None:
        self._ready = ready
        self._services = {"", *services}

    async def check(self, request: bytes, context: Any) -> bytes:
        """Answer once; ``NOT_FOUND`` for a service that is not there."""
        status = self._status(await _service(request, context))
        if status == SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return _answer(status)

    async def watch(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """Answer now and at every change, until requests are taken no more."""
        service = await _service(request, context)
        told = None
        while True:
            status = self._status(service)
            if status != told:
                yield _answer(status)
                told = status
            if not self._ready():
                return
            await asyncio.sleep(_PAUSE_S)

    def _status(self, service: str) -> int:
        if service not in self._services:
            return SERVICE_UNKNOWN
        return SERVING if self._ready() else NOT_SERVING


async def _service(request: bytes, context: Any) -> str:
    try:
        message = gunzip(request, _MOST_BYTES) if request.startswith(GZIP) else request
        return str(StringValue.FromString(message).value)
    except (DecodeError, MalformedError, TooLargeError):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message is no HealthCheckRequest")
        raise


def _answer(status: int) -> bytes:
    return bytes(UInt32Value(value=status).SerializeToString())
