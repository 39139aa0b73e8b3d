"""The journal keeps what it acknowledged, whatever happens to the process or the disk."""

from __future__ import annotations

import errno
import os
import random
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.journal import Journal
from collector.segments import SEGMENT_HEADER
from undertow.errors import NotDurableError, OverloadedError

TIMEOUT_S = 120


def opened(folder: Path, *, segment_bytes: int = 2**20, max_bytes: int = 2**26) -> Journal:
    return Journal(folder, segment_bytes=segment_bytes, max_bytes=max_bytes)


def append(journal: Journal, *payloads: bytes) -> list[int]:
    futures = [journal.append(payload, 1) for payload in payloads]
    return [future.result(TIMEOUT_S) for future in futures]


def payloads(journal: Journal, after: int = 0) -> list[bytes]:
    return [frame.payload for frame in journal.read(after, 2**30)]


def only_segment(folder: Path) -> Path:
    (path,) = folder.glob("*.seg")
    return path


def test_what_was_appended_is_read_in_order_with_growing_positions(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    ends = append(journal, b"one", b"", b"three")
    frames = journal.read(0, 2**20)
    assert [frame.payload for frame in frames] == [b"one", b"", b"three"]
    assert [frame.end for frame in frames] == ends == sorted(ends)
    assert payloads(journal, ends[0]) == [b"", b"three"]
    journal.close()


def test_a_read_returns_at_least_one_frame_and_stops_at_its_size(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    append(journal, b"a" * 100, b"b" * 100, b"c" * 100)
    assert [len(f.payload) for f in journal.read(0, 1)] == [100]
    assert len(journal.read(0, 250)) == 2
    journal.close()


def test_everything_is_there_after_a_restart_and_positions_go_on(tmp_path: Path) -> None:
    first = opened(tmp_path)
    (end,) = append(first, b"before")
    first.close()
    second = opened(tmp_path)
    assert second.id == first.id
    assert (second.recovery.frames, second.recovery.items, second.recovery.dropped_bytes) == (1, 1, 0)
    (later,) = append(second, b"after")
    assert later > end
    assert payloads(second) == [b"before", b"after"]
    second.close()


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 300), min_size=1, max_size=6), data=st.data())
def test_a_torn_tail_costs_only_the_records_it_cuts(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = opened(folder)
    written = [bytes([i]) * size for i, size in enumerate(sizes)]
    ends = append(journal, *written)
    journal.close()
    path = only_segment(folder)
    cut = data.draw(st.integers(SEGMENT_HEADER, path.stat().st_size))
    os.truncate(path, cut)
    whole = [payload for payload, end in zip(written, ends, strict=True) if SEGMENT_HEADER + end <= cut]
    again = opened(folder)
    assert payloads(again) == whole
    kept = max((SEGMENT_HEADER + end for end in ends if SEGMENT_HEADER + end <= cut), default=SEGMENT_HEADER)
    assert again.recovery.dropped_bytes == cut - kept
    append(again, b"new")
    assert payloads(again) == [*whole, b"new"]
    again.close()


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_costs_only_the_record_it_is_in(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = opened(folder)
    written = [random.Random(i).randbytes(50 + i) for i in range(5)]
    append(journal, *written)
    journal.close()
    path = only_segment(folder)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(SEGMENT_HEADER, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    again = opened(folder)
    kept = payloads(again)
    again.close()
    assert len(kept) == 4 and kept == [payload for payload in written if payload in kept]


def test_a_segment_without_a_whole_header_is_dropped_and_reported(tmp_path: Path) -> None:
    (tmp_path / f"{0:020d}.seg").write_bytes(b"UTJ")
    journal = opened(tmp_path)
    assert journal.recovery.dropped_bytes == 3
    append(journal, b"new")
    assert payloads(journal) == [b"new"]
    journal.close()


def test_segments_are_closed_at_their_size_and_removed_once_released(tmp_path: Path) -> None:
    journal = opened(tmp_path, segment_bytes=500)
    ends = [append(journal, b"x" * 200)[0] for _ in range(10)]
    assert len(list(tmp_path.glob("*.seg"))) > 2
    journal.release(ends[5])
    assert payloads(journal, ends[5]) == [b"x" * 200] * 4
    assert journal.pending_bytes == ends[9] - ends[5]
    journal.release(ends[9])
    assert journal.pending_bytes == 0
    assert len(list(tmp_path.glob("*.seg"))) == 1
    journal.close()
    again = opened(tmp_path, segment_bytes=500)
    assert append(again, b"y")[0] > ends[9]
    again.close()


def test_requests_that_wait_share_one_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = 0
    gate = threading.Event()
    real = os.fdatasync

    def held(fd: int) -> None:
        nonlocal syncs
        syncs += 1
        gate.wait(TIMEOUT_S)
        real(fd)

    journal = opened(tmp_path)
    append(journal, b"opens the segment")
    monkeypatch.setattr(os, "fdatasync", held)
    futures = [journal.append(b"x", 1) for _ in range(200)]
    gate.set()
    assert len({future.result(TIMEOUT_S) for future in futures}) == 200
    journal.close()
    assert syncs <= 3


def test_nothing_is_readable_or_acknowledged_before_its_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    real = os.fdatasync

    def held(fd: int) -> None:
        gate.wait(TIMEOUT_S)
        real(fd)

    journal = opened(tmp_path)
    (end,) = append(journal, b"first")
    monkeypatch.setattr(os, "fdatasync", held)
    future = journal.append(b"second", 1)
    assert not journal.wait(end, 0.1)
    assert not future.done()
    assert journal.read(end, 2**20) == []
    gate.set()
    assert future.result(TIMEOUT_S) > end
    journal.close()


def full_disk(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("broken", ["writev", "fdatasync"])
def test_a_full_disk_refuses_and_later_appends_work_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    journal = opened(tmp_path)
    append(journal, b"kept")
    with monkeypatch.context() as patch:
        patch.setattr(os, broken, full_disk)
        for _ in range(3):
            with pytest.raises(NotDurableError, match="No space left"):
                journal.append(b"lost", 1).result(TIMEOUT_S)
    append(journal, b"after")
    assert payloads(journal) == [b"kept", b"after"]
    journal.close()
    again = opened(tmp_path)
    assert payloads(again) == [b"kept", b"after"]
    again.close()


def test_an_error_that_nobody_foresaw_refuses_its_requests_and_stops_no_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise MemoryError

    journal = opened(tmp_path)
    append(journal, b"kept")
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", failing)
        with pytest.raises(NotDurableError, match="MemoryError"):
            journal.append(b"lost", 1).result(TIMEOUT_S)
    assert journal.alive
    append(journal, b"after")
    assert payloads(journal) == [b"kept", b"after"]
    journal.close()
    assert not journal.alive


def test_failures_in_a_row_promise_nothing_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = opened(tmp_path)
    (end,) = append(journal, b"kept")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", full_disk)
        for _ in range(2):
            with pytest.raises(NotDurableError):
                journal.append(b"lost", 1).result(TIMEOUT_S)
            journal.release(end)
            assert journal.durable == end
            assert not journal.wait(end, 0.01)
    journal.close()
    again = opened(tmp_path)
    assert again.durable <= end
    again.release(end)
    (later,) = append(again, b"after")
    assert later > end
    assert payloads(again, end) == [b"after"]
    again.close()


def test_positions_that_were_loaded_are_not_given_out_again_when_the_disk_loses_their_frames(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    ends = append(journal, b"one", b"two")
    journal.close()
    os.truncate(only_segment(tmp_path), SEGMENT_HEADER + ends[0])
    again = opened(tmp_path)
    again.release(ends[1])
    assert again.durable == ends[1]
    assert append(again, b"three")[0] > ends[1]
    assert payloads(again, ends[1]) == [b"three"]
    again.close()


def test_a_write_that_stops_half_way_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = opened(tmp_path)
    append(journal, b"kept")
    real = os.writev
    calls = 0

    def partial(fd: int, buffers: list[bytes]) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            return real(fd, [bytes(buffers[0])[:7]])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", partial)
        with pytest.raises(NotDurableError):
            journal.append(b"lost" * 100, 1).result(TIMEOUT_S)
    append(journal, b"after")
    journal.close()
    again = opened(tmp_path)
    assert payloads(again) == [b"kept", b"after"]
    assert again.recovery.dropped_bytes == 0
    again.close()


def test_the_journal_takes_no_more_than_its_limit_until_frames_are_released(tmp_path: Path) -> None:
    journal = opened(tmp_path, max_bytes=1000)
    (end,) = append(journal, b"x" * 700)
    with pytest.raises(OverloadedError):
        journal.append(b"x" * 700, 1)
    journal.release(end)
    append(journal, b"x" * 700)
    journal.close()


def test_closing_writes_what_is_queued_and_takes_nothing_more(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    futures: list[Future[int]] = [journal.append(str(i).encode(), 1) for i in range(500)]
    journal.close()
    assert all(future.done() for future in futures)
    assert len(payloads(journal)) == 500
    with pytest.raises(OverloadedError):
        journal.append(b"late", 1)


def test_many_threads_append_and_one_reads_without_losing_a_record(tmp_path: Path) -> None:
    journal = opened(tmp_path, segment_bytes=4000)

    def send(name: int) -> None:
        for i in range(50):
            journal.append(f"{name}:{i}".encode(), 1).result(TIMEOUT_S)

    threads = [threading.Thread(target=send, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    seen: list[bytes] = []
    position = 0
    while len(seen) < 400 and journal.wait(position, TIMEOUT_S):
        for frame in journal.read(position, 500):
            seen.append(frame.payload)
            position = frame.end
        journal.release(position)
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(f"{name}:{i}".encode() for name in range(8) for i in range(50))
    journal.close()


def test_a_damaged_header_costs_no_record_of_its_segment(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    append(journal, b"one", b"two")
    journal.close()
    path = only_segment(tmp_path)
    content = bytearray(path.read_bytes())
    content[3] ^= 255
    path.write_bytes(content)
    again = opened(tmp_path)
    assert payloads(again) == [b"one", b"two"]
    assert again.recovery.dropped_bytes == SEGMENT_HEADER
    append(again, b"three")
    again.close()
    assert payloads(opened(tmp_path)) == [b"one", b"two", b"three"]


def test_a_sender_that_hangs_up_cancels_no_record_and_stops_no_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    real = os.fdatasync

    def held(fd: int) -> None:
        gate.wait(TIMEOUT_S)
        real(fd)

    journal = opened(tmp_path)
    monkeypatch.setattr(os, "fdatasync", held)
    futures = [journal.append(payload, 1) for payload in (b"one", b"two")]
    assert [future.cancel() for future in futures] == [False, False]
    gate.set()
    append(journal, b"three")
    assert payloads(journal) == [b"one", b"two", b"three"]
    journal.close()


def test_what_was_released_can_be_forgotten_and_the_journal_goes_on(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    (one,) = append(journal, b"released")
    journal.release(one)
    assert b"released" in only_segment(tmp_path).read_bytes()
    journal.forget()
    assert b"released" not in only_segment(tmp_path).read_bytes()
    (two,) = append(journal, b"next")
    assert two > one
    assert payloads(journal, one) == [b"next"]
    journal.close()
    again = opened(tmp_path)
    assert (again.id, again.durable, payloads(again, one)) == (journal.id, two, [b"next"])
    again.close()


def test_what_was_not_released_is_forgotten_only_when_it_is(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    one, two = append(journal, b"released", b"waiting")
    journal.release(one)
    journal.forget()
    assert payloads(journal, one) == [b"waiting"]
    append(journal, b"next")
    journal.release(two)
    assert b"waiting" not in b"".join(path.read_bytes() for path in tmp_path.glob("*.seg"))
    assert payloads(journal, two) == [b"next"]
    journal.close()


def test_forgetting_with_requests_under_way_loses_none(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    over = threading.Event()
    ends: list[int] = []

    def send() -> None:
        while not over.is_set():
            ends.extend(append(journal, b"x" * 100))

    sender = threading.Thread(target=send)
    sender.start()
    for _ in range(20):
        journal.forget()
    over.set()
    sender.join(TIMEOUT_S)
    assert len(payloads(journal)) == len(ends)
    journal.close()
    with pytest.raises(OverloadedError, match="stopping"):
        journal.forget()


def test_forgetting_on_a_full_disk_says_so_and_the_journal_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(tmp_path)
    (one,) = append(journal, b"kept")
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", full_disk)
        with pytest.raises(NotDurableError, match="No space left"):
            journal.forget()
    append(journal, b"next")
    assert payloads(journal) == [b"kept", b"next"]
    assert one == len(b"kept") + 16
    journal.close()
