"""Bodies of requests as they arrive: how large they may be, and what they are without gzip."""

from __future__ import annotations

import zlib

from undertow.errors import MalformedError, TooLargeError

GZIP = b"\x1f\x8b"
"""What every gzip begins with, and no message in protobuf: there is no wire type 7."""

_CHUNK = 2**20
_FIRST_WINDOW = 2**10


def gunzip(body: bytes, limit: int) -> bytes:
    """Decompress gzip without ever holding more than the limit.

    Raises
    ------
    TooLargeError
        The content is larger than the limit.
    MalformedError
        The bytes are not gzip, or incomplete.
    """
    chunks: list[bytes] = []
    size = at = 0
    window = _CHUNK
    while True:
        member = zlib.decompressobj(wbits=31)
        try:
            while not member.eof:
                data = body[at : at + window]
                chunk = member.decompress(data, _CHUNK)
                at += len(data) - len(member.unconsumed_tail) - len(member.unused_data)
                size += len(chunk)
                if size > limit:
                    raise TooLargeError(too_large(limit))
                if not chunk and not data and not member.eof:
                    raise MalformedError("the gzip body ends too early")
                chunks.append(chunk)
                window = min(2 * window, _CHUNK)
        except zlib.error:
            raise MalformedError("the body says that it is gzip, but it is not") from None
        if at >= len(body):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        # What stands behind a member is copied to find its end: of millions of tiny ones, only little each time.
        window = _FIRST_WINDOW


def too_large(limit: int) -> str:
    """Text of the refusal of a body beyond the limit."""
    return f"the body is larger than {limit} bytes after decompression (collector.max_body_bytes); send smaller batches"
