"""HTTP on one connection, with limits to the time and the size of a head: a slow client holds nothing for ever."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_REFUSAL = "HTTP/1.1 {}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_TOO_SLOW, _TOO_LARGE = (
    _REFUSAL.format(status).encode() for status in ("408 Request Timeout", "431 Request Header Fields Too Large")
)
_MOST_HEAD_BYTES = 64 * 2**10


class PatientProtocol(HttpToolsProtocol):
    """Closes a connection whose request line and headers are not complete in time, or endless."""

    read_timeout_s: float

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as its base does
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._head: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes; as long as they complete no head, their number is bounded."""
        super().data_received(data)
        if self._head is not None:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD_BYTES:
                self._give_up(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of the head."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """Wait no more; what limits the body is the door."""
        self._forget()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._forget()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._forget()
        self._head_bytes = 0
        self._head = self.loop.call_later(self.read_timeout_s, self._give_up, _TOO_SLOW)

    def _forget(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _give_up(self, answer: bytes) -> None:
        self._forget()
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


def patient_protocol(read_timeout_s: float) -> type[PatientProtocol]:
    """Return the protocol with its limit; the server makes one of it per connection."""
    settings: dict[str, Any] = {"read_timeout_s": read_timeout_s}
    return type("PatientProtocol", (PatientProtocol,), settings)
