"""One gRPC call by hand, for what no library sends: unknown codings, broken gzip, messages that never come."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.running import PATIENCE_S

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _WINDOW = 0, 1, 3, 4, 6, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_FRAME = 16_384
_WINDOW_BYTES = 65_535


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(name: str, value: str) -> bytes:
    """A header in HPACK without index and without compression."""
    parts = [name.encode(), value.encode()]
    return b"\0" + b"".join(_length(len(part)) + part for part in parts)


def _length(number: int) -> bytes:
    return bytes([number]) if number < 127 else bytes([127, number - 127])


class Call:
    """One call on a connection of its own."""

    def __init__(self, port: int, method: str, **headers: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._windows = {0: _WINDOW_BYTES, 1: _WINDOW_BYTES}
        self._unread = b""
        self.ended = self._ponged = False
        self.trailers = b""
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": method,
            ":authority": "127.0.0.1",
            "te": "trailers",
            "content-type": "application/grpc",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        block = b"".join(_literal(name, value) for name, value in fields.items())
        self._socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0) + _frame(_HEADERS, _END_HEADERS, 1, block))

    def send(self, data: bytes, *, last: bool = True) -> None:
        """Send bytes as the other side's windows allow; stops when the call has ended."""
        at = 0
        while at < len(data) and not self.ended:
            allowed = min(_FRAME, self._windows[0], self._windows[1], len(data) - at)
            if allowed <= 0:
                self._receive()
                continue
            end = last and at + allowed == len(data)
            self._write(_frame(_DATA, _END_STREAM if end else 0, 1, data[at : at + allowed]))
            for stream in self._windows:
                self._windows[stream] -= allowed
            at += allowed

    def status(self) -> int:
        """Wait for the end of the call and return its gRPC status, 0 to 16; -1 where the connection just ended."""
        while not self.ended:
            self._receive()
        name = self.trailers.find(b"grpc-status")
        if name < 0:
            return -1
        at = name + len(b"grpc-status")
        return int(self.trailers[at + 1 : at + 1 + (self.trailers[at] & 0x7F)])

    def wait_until_taken(self) -> None:
        """Return once the other side has read everything sent so far: it answers a ping behind it."""
        self._write(_frame(_PING, 0, 0, b"12345678"))
        while not self._ponged and not self.ended:
            self._receive()

    def close(self) -> None:
        """Cut the connection."""
        self._socket.close()

    def _write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError:
            self.ended = True

    def _receive(self) -> None:
        head = self._exactly(9)
        if not head:
            self.ended = True
            return
        size = int.from_bytes(head[:3])
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        payload = self._exactly(size)
        if kind == _SETTINGS and not flags & _ACK:
            self._take_settings(payload)
            self._write(_frame(_SETTINGS, _ACK, 0))
        elif kind == _WINDOW and stream in self._windows:
            self._windows[stream] += int.from_bytes(payload)
        elif kind == _PING and not flags & _ACK:
            self._write(_frame(_PING, _ACK, 0, payload))
        elif kind == _PING:
            self._ponged = True
        elif kind == _HEADERS and stream == 1:
            self.trailers += payload
        self.ended |= kind == _RESET or (stream == 1 and kind in (_DATA, _HEADERS) and flags & _END_STREAM)

    def _take_settings(self, payload: bytes) -> None:
        for at in range(0, len(payload), 6):
            name, value = struct.unpack(">HI", payload[at : at + 6])
            if name == 4:
                self._windows[1] += value - _WINDOW_BYTES

    def _exactly(self, size: int) -> bytes:
        while len(self._unread) < size:
            try:
                more = self._socket.recv(65_536)
            except ConnectionError:
                more = b""
            if not more:
                return b""
            self._unread += more
        taken, self._unread = self._unread[:size], self._unread[size:]
        return taken


def message(body: bytes, *, compressed: bool = False) -> bytes:
    """A gRPC message with its prefix."""
    return struct.pack(">BI", compressed, len(body)) + body


@contextmanager
def call(port: int, method: str, **headers: str) -> Iterator[Call]:
    """Open a call and cut its connection afterwards."""
    opened = Call(port, method, **headers)
    try:
        yield opened
    finally:
        opened.close()
