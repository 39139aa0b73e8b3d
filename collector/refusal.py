"""What a refused request is told, the same at every door: status codes and ``google.rpc.Status``."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

from undertow.errors import IntakeError, MalformedError, OutOfBoundsError, OverloadedError, TooLargeError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refusal:
    """An answer other than success.

    Attributes
    ----------
    http, code : status of HTTP and of ``google.rpc.Code``.
    retry_after_s : when to send again; ``None`` where that cannot help.
    """

    http: int
    code: int
    message: str
    retry_after_s: int | None = None

    @property
    def status(self) -> status_pb2.Status:
        """The refusal as ``google.rpc.Status``, with ``RetryInfo`` where sending again helps."""
        status = status_pb2.Status(code=self.code, message=self.message)
        if self.retry_after_s is not None:
            status.details.add().Pack(self.retry_info)
        return status

    @property
    def retry_info(self) -> error_details_pb2.RetryInfo:
        """When to send again."""
        return error_details_pb2.RetryInfo(retry_delay=Duration(seconds=self.retry_after_s or 0))


UNKNOWN_TOKEN = Refusal(401, code_pb2.UNAUTHENTICATED, "a bearer token of this collector is needed (auth.tokens)")
FORBIDDEN = Refusal(403, code_pb2.PERMISSION_DENIED, "the token lacks the scope that this needs")


def refusal_of(error: Exception) -> Refusal:
    """Translate an error; what nobody foresaw is logged without its message, which may quote the request."""
    if isinstance(error, MalformedError):
        return Refusal(400, code_pb2.INVALID_ARGUMENT, str(error))
    if isinstance(error, TooLargeError):
        return Refusal(413, code_pb2.RESOURCE_EXHAUSTED, str(error))
    if isinstance(error, OutOfBoundsError):
        return Refusal(403, code_pb2.PERMISSION_DENIED, str(error))
    if isinstance(error, OverloadedError):
        return Refusal(503, code_pb2.UNAVAILABLE, str(error), error.retry_after_s)
    if isinstance(error, IntakeError):
        return Refusal(400, code_pb2.INVALID_ARGUMENT, str(error))
    logger.error("a request failed with %s", without_content(error))
    return Refusal(500, code_pb2.INTERNAL, "the request could not be processed; nothing of it was stored")


def without_content(error: BaseException) -> str:
    """Kind and place of an error, without its message, which may quote what people wrote."""
    frames = reversed(traceback.extract_tb(error.__traceback__)[-4:])
    return f"{type(error).__name__} at " + " < ".join(f"{frame.filename}:{frame.lineno}" for frame in frames)
