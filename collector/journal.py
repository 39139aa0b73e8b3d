"""The journal: what was acknowledged but is not yet in the store.

A folder of segments named by the position of their first frame. One thread appends; all requests that wait
while it works share the next fsync. A position is a point in the endless stream of frames; positions only grow.
The files are those of :mod:`collector.segments`.
"""

from __future__ import annotations

import logging
import os
import threading
import zlib
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from collector.segments import (
    FRAME,
    FRAME_MAGIC,
    NUMBERS,
    SEGMENT_HEADER,
    SEGMENT_MAGIC,
    Frame,
    Segment,
    frames_of,
    recover,
)
from undertow.errors import NotDurableError, OverloadedError

logger = logging.getLogger(__name__)

_MOST_BUFFERS = 512
_MOST_BYTES_PER_SYNC = 64 * 2**20


@dataclass(frozen=True)
class _Waiting:
    header: bytes
    payload: bytes
    future: Future[int]

    @property
    def size(self) -> int:
        return len(self.header) + len(self.payload)


class Journal:
    """Append-only, checksummed, fsynced; safe to use from several threads.

    Parameters
    ----------
    folder : where the segments are; created when absent.
    segment_bytes : a segment is closed at this size.
    max_bytes : frames not yet released, in bytes; beyond it nothing is taken.
    """

    def __init__(self, folder: Path, *, segment_bytes: int, max_bytes: int) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._queued_bytes = 0
        self._closing = False
        self._fd: int | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.id, self._segments, self.recovery = recover(folder)
        self._released = self._segments[0].base if self._segments else 0
        self._durable = self._next_base = self._segments[-1].end if self._segments else 0
        self._thread = threading.Thread(target=self._write_forever, name="journal", daemon=True)
        self._thread.start()

    @property
    def durable(self) -> int:
        """Position after the last durable frame."""
        with self._changed:
            return self._durable

    @property
    def alive(self) -> bool:
        """Whether what is appended will be written."""
        return self._thread.is_alive()

    @property
    def pending_bytes(self) -> int:
        """Bytes of durable frames that were not released yet."""
        with self._changed:
            return self._pending()

    def append(self, payload: bytes, items: int) -> Future[int]:
        """Queue a payload; the future gives the position after it once it is durable.

        Raises
        ------
        OverloadedError
            The journal holds as much as it may, or is closing.
            The future raises `NotDurableError` when the disk refused; then nothing of the payload counts.
        """
        checksum = zlib.crc32(payload, zlib.crc32(NUMBERS.pack(len(payload), items)))
        header = FRAME.pack(FRAME_MAGIC, len(payload), items, checksum)
        waiting = _Waiting(header, payload, Future())
        # From now on nobody can cancel it: a client that hangs up must not reach into the writer.
        waiting.future.set_running_or_notify_cancel()
        with self._changed:
            if self._closing:
                raise OverloadedError("the collector is stopping; send again in a moment")
            if self._pending() + self._queued_bytes + waiting.size > self._max_bytes:
                raise OverloadedError(
                    f"the journal holds {self._max_bytes} bytes that are not in the store yet"
                    " (collector.max_journal_bytes); send again later",
                    retry_after_s=5,
                )
            self._queue.append(waiting)
            self._queued_bytes += waiting.size
            self._changed.notify_all()
        return waiting.future

    def read(self, after: int, max_bytes: int) -> list[Frame]:
        """Return durable frames behind a position, in order; at least one if there is any, then up to a size."""
        with self._changed:
            segments = [Segment(s.path, s.base, s.end) for s in self._segments if s.end > after]
        frames: list[Frame] = []
        size = 0
        for segment in segments:
            for frame in frames_of(segment, max(after, segment.base)):
                if frames and size + len(frame.payload) > max_bytes:
                    return frames
                frames.append(frame)
                size += len(frame.payload)
        return frames

    def release(self, position: int) -> None:
        """Forget frames up to a position; closed segments that hold nothing else are removed."""
        with self._changed:
            self._released = max(self._released, position)
            if position > self._durable:
                # The disk lost frames after they were loaded: their positions must not be given out again.
                self._durable = self._next_base = position
            # The last segment stays: its name and header carry position and identity over a restart.
            gone = [segment for segment in self._segments[:-1] if segment.end <= self._released]
            self._segments = [segment for segment in self._segments if segment not in gone]
        for segment in gone:
            segment.path.unlink(missing_ok=True)

    def wait(self, after: int, timeout_s: float) -> bool:
        """Wait until a frame behind a position is durable; whether there is one."""
        with self._changed:
            return self._changed.wait_for(lambda: self._durable > after, timeout_s)

    def forget(self) -> None:
        """Remove all that was released, also where the segment being written holds it.

        Frames of that segment that were not released yet stay until they are.

        Raises
        ------
        OverloadedError
            The journal is closing, or its disk refused.
        """
        turn = _Waiting(b"", b"", Future())
        turn.future.set_running_or_notify_cancel()
        with self._changed:
            if self._closing:
                raise OverloadedError("the collector is stopping; try again in a moment")
            self._queue.append(turn)
            self._changed.notify_all()
        turn.future.result()
        self.release(0)

    def close(self) -> None:
        """Write what is queued, then stop."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _pending(self) -> int:
        return sum(max(0, segment.end - max(segment.base, self._released)) for segment in self._segments)

    def _write_forever(self) -> None:
        while batch := self._take():
            try:
                ends = self._write(batch)
            except Exception as error:  # whatever it is, the thread must live: nobody else writes
                self._refuse(batch, error)
            else:
                self._settle(batch, ends[-1])
                for waiting, end in zip(batch, ends, strict=True):
                    waiting.future.set_result(end)

    def _refuse(self, batch: list[_Waiting], error: Exception) -> None:
        reason = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        logger.error("the journal cannot be written: %s", reason)
        self._give_up_segment(sum(waiting.size for waiting in batch))
        refusal = f"the journal cannot be written ({reason}); nothing was acknowledged, send again later"
        self._settle(batch)
        for waiting in batch:
            waiting.future.set_exception(NotDurableError(refusal, retry_after_s=5))

    def _take(self) -> list[_Waiting]:
        """Wait for frames and return those that share the next fsync; nothing when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            batch: list[_Waiting] = []
            size = 0
            while self._queue and (not batch or size + self._queue[0].size <= _MOST_BYTES_PER_SYNC):
                batch.append(self._queue.popleft())
                size += batch[-1].size
            return batch

    def _settle(self, batch: list[_Waiting], end: int | None = None) -> None:
        with self._changed:
            self._queued_bytes -= sum(waiting.size for waiting in batch)
            if end is not None:
                self._durable = self._segments[-1].end = end
            self._changed.notify_all()

    def _write(self, batch: list[_Waiting]) -> list[int]:
        full = self._fd is not None and self._segments[-1].end - self._segments[-1].base >= self._segment_bytes
        turned = not all(waiting.size for waiting in batch)
        if self._fd is None or full or turned:
            self._open_segment()
        assert self._fd is not None  # noqa: S101 - _open_segment set it or raised
        _write_fully(self._fd, [part for waiting in batch for part in (waiting.header, waiting.payload)])
        os.fdatasync(self._fd)
        ends, end = [], self._segments[-1].end
        for waiting in batch:
            end += waiting.size
            ends.append(end)
        self._next_base = end
        return ends

    def _open_segment(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        path = self._folder / f"{self._next_base:020d}.seg"
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            _write_fully(fd, [SEGMENT_MAGIC, self.id.bytes])
            os.fsync(fd)
            sync_folder(self._folder)
        except Exception:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        with self._changed:
            self._fd = fd
            self._segments = [s for s in self._segments if s.path != path]
            self._segments.append(Segment(path, self._next_base, self._next_base))

    def _give_up_segment(self, attempted: int) -> None:
        """After a failed fsync nobody knows what is on the disk: cut the tail off and never write there again.

        A segment that holds nothing is removed as a whole: its place in the stream is still free.
        """
        if self._fd is None:
            return
        segment = self._segments[-1]
        try:
            os.ftruncate(self._fd, SEGMENT_HEADER + segment.end - segment.base)
            os.fsync(self._fd)
        except OSError:
            logger.warning("the tail of journal segment %s could not be cut off", segment.path.name)
        os.close(self._fd)
        self._fd = None
        if segment.end > segment.base:
            self._next_base = segment.end + attempted
            return
        with self._changed:
            self._segments.remove(segment)
        with suppress(OSError):  # what cannot be removed is overwritten or dropped later
            segment.path.unlink(missing_ok=True)


def _write_fully(fd: int, buffers: list[bytes]) -> None:
    pending = deque(memoryview(buffer) for buffer in buffers if buffer)
    while pending:
        written = os.writev(fd, [pending[i] for i in range(min(len(pending), _MOST_BUFFERS))])
        while written:
            if written >= len(pending[0]):
                written -= len(pending.popleft())
            else:
                pending[0] = pending[0][written:]
                written = 0


def sync_folder(folder: Path) -> None:
    """Make durable which files a folder holds."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
