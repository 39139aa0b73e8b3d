"""The files of the journal: what a segment and a frame are, and what is left of them after a crash or damage.

Segment: magic and the journal's identity, then frames. Frame: magic, length of the payload, number of items, CRC-32
of the two numbers and the payload; then the payload.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

SEGMENT_MAGIC = b"UTJRNL01"
SEGMENT_HEADER = len(SEGMENT_MAGIC) + 16
FRAME_MAGIC = b"\xd5UTf"
FRAME = struct.Struct("<4sIII")
NUMBERS = struct.Struct("<II")


@dataclass(frozen=True)
class Frame:
    """One journaled request: its payload, how many items it holds, and the position after it."""

    payload: bytes
    items: int
    end: int


@dataclass(frozen=True)
class Recovery:
    """What was found at the start: whole frames and their items, and bytes that were no whole frame."""

    frames: int = 0
    items: int = 0
    dropped_bytes: int = 0

    def __add__(self, other: Recovery) -> Recovery:
        return Recovery(self.frames + other.frames, self.items + other.items, self.dropped_bytes + other.dropped_bytes)


@dataclass
class Segment:
    """A file and the positions that it spans."""

    path: Path
    base: int
    end: int


@contextmanager
def reserved(folder: Path) -> Iterator[bool]:
    """Reserve a folder for one process, made when absent; whether nobody else has it.

    Who opens a journal cuts off its tail and removes segments: two that do so lose what was acknowledged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fd = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            logger.warning("%s cannot be locked on this file system; let only one collector use it", folder)
        yield True
    finally:
        os.close(fd)


def inspect(folder: Path) -> Recovery:
    """What a recovery would find in a journal, which stays as it is; somebody may be writing it."""
    found = Recovery()
    for path in sorted(folder.glob("*.seg")):
        with suppress(FileNotFoundError):  # all of it was loaded a moment ago
            found += _scan(path)[1]
    return found


def recover(folder: Path) -> tuple[uuid.UUID, list[Segment], Recovery]:
    """Return identity, segments and what is in them, after cutting off what was never acknowledged."""
    identity: uuid.UUID | None = None
    segments: list[Segment] = []
    total = Recovery()
    for path in sorted(folder.glob("*.seg")):
        segment, found = _scan(path)
        total += found
        if segment.end == segment.base:  # it holds nothing; its base may lie behind positions that nobody ever reached
            path.unlink()
            continue
        identity = _read_head(path) or identity
        # What stands behind the last whole frame was never acknowledged.
        os.truncate(path, SEGMENT_HEADER + segment.end - segment.base)
        segments.append(segment)
    if total.dropped_bytes:
        logger.warning(
            "journal: %d bytes were no whole record and were dropped; %d records are whole",
            total.dropped_bytes,
            total.frames,
        )
    return identity or uuid.uuid4(), segments, total


def _scan(path: Path) -> tuple[Segment, Recovery]:
    """Return a segment up to its last whole frame, and what is in it."""
    size = path.stat().st_size
    base, room = int(path.stem), max(0, size - SEGMENT_HEADER)
    headless = min(size, SEGMENT_HEADER) if _read_head(path) is None else 0
    frames = items = held = 0
    end = base
    for frame in frames_of(Segment(path, base, base + room), base):
        frames, items, end = frames + 1, items + frame.items, frame.end
        held += FRAME.size + len(frame.payload)
    return Segment(path, base, end), Recovery(frames, items, room - held + headless)


def _read_head(path: Path) -> uuid.UUID | None:
    """Return the journal's identity, None for a damaged header; its frames carry checksums of their own."""
    with path.open("rb") as file:
        head = file.read(SEGMENT_HEADER)
    if len(head) < SEGMENT_HEADER or not head.startswith(SEGMENT_MAGIC):
        return None
    return uuid.UUID(bytes=head[len(SEGMENT_MAGIC) :])


def frames_of(segment: Segment, start: int) -> Iterator[Frame]:
    """Yield whole frames from a position on; damaged stretches are skipped up to the next whole frame."""
    with segment.path.open("rb") as file:
        position = start
        while position < segment.end:
            frame = _frame_at(file.fileno(), segment, position)
            if frame is None:
                position = _resume(file.fileno(), segment, position + 1)
                continue
            yield frame
            position = frame.end


def _frame_at(fd: int, segment: Segment, position: int) -> Frame | None:
    offset = SEGMENT_HEADER + position - segment.base
    head = os.pread(fd, FRAME.size, offset)
    if len(head) < FRAME.size:
        return None
    magic, length, items, checksum = FRAME.unpack(head)
    end = position + FRAME.size + length
    if magic != FRAME_MAGIC or end > segment.end:
        return None
    payload = os.pread(fd, length, offset + FRAME.size)
    if zlib.crc32(payload, zlib.crc32(NUMBERS.pack(length, items))) != checksum:
        return None
    return Frame(payload, items, end)


def _resume(fd: int, segment: Segment, position: int) -> int:
    """Position of the next whole frame, or the end of the segment."""
    offset = SEGMENT_HEADER + position - segment.base
    rest = os.pread(fd, segment.end - position, offset)
    at = rest.find(FRAME_MAGIC)
    while at >= 0:
        if _frame_at(fd, segment, position + at) is not None:
            return position + at
        at = rest.find(FRAME_MAGIC, at + 1)
    return segment.end
