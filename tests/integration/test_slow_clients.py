"""Clients that send a byte a second, or nothing at all, stop no other client."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import psutil
import pytest

from collector.arriving import Arriving
from tests.integration.doors import DOORS, send, stored
from tests.integration.http2 import Call, message
from tests.integration.running import (
    PATIENCE_S,
    PROTOBUF,
    TRACES,
    RunningCollector,
    StartCollector,
    new_trace,
    trace_request,
    wait_until,
)
from undertow.errors import OverloadedError

SLOW = 200
PARTS, PAUSE_S = 20, 0.4
ALLOWED_S = 0.8 * PARTS * PAUSE_S
"""A steady client takes longer altogether than it may pause for, and pauses for a sixteenth of that."""

UNFINISHED, UNFINISHED_PLACES, UNFINISHED_BYTES = 40, 8, 12 * 2**20
ALLOWANCE_BYTES = 32 * 2**20
NEVER = {"UNDERTOW_COLLECTOR__READ_TIMEOUT_S": "3600"}
"""A slow client is never sent away, so that who waited for it would wait longer than any test."""
HEAD = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\nContent-Length: 5000\r\n\r\n".encode()


def connect(port: int, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    connection.sendall(sent)
    return connection


@contextmanager
def trickling(sockets: list[socket.socket]) -> Iterator[None]:
    """Send one more byte on every connection each half second."""
    done = threading.Event()

    def trickle() -> None:
        while not done.wait(0.5):
            for connection in sockets:
                try:
                    connection.sendall(b"x")
                except OSError:
                    continue

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def answered(collector: RunningCollector) -> None:
    for door in DOORS:
        trace = new_trace()
        assert send(collector, door, trace_request(trace, 3)).code == 0
        assert stored(collector, trace) == 3


def all_until_it_is_cut_off(connection: socket.socket) -> bytes:
    """Everything that is answered until the other side closes."""
    answer = b""
    try:
        while more := connection.recv(65_536):
            answer += more
    except ConnectionError:
        pass
    return answer


@pytest.mark.parametrize("env", [NEVER, {"UNDERTOW_COLLECTOR__READ_TIMEOUT_S": "2"}], ids=["stop no other", "must go"])
def test_hundreds_of_slow_and_idle_http_clients_stop_no_other_and_are_sent_away(
    start_collector: StartCollector, env: dict[str, str]
) -> None:
    collector = start_collector(**env)
    with ExitStack() as stack:

        def opened(sent: bytes) -> list[socket.socket]:
            return [stack.enter_context(connect(collector.http_port, sent)) for _ in range(SLOW)]

        idle, slow_heads, slow_bodies = opened(b""), opened(b"POST /v1/tra"), opened(HEAD + b"\x0a")
        with trickling(slow_heads + slow_bodies):
            answered(collector)
            if env is NEVER:
                return
            for connections in (idle, slow_heads, slow_bodies):
                answers = [all_until_it_is_cut_off(connection) for connection in connections]
                assert [answer for answer in answers if answer and b" 408 " not in answer] == []
            answered(collector)


@pytest.mark.parametrize(
    "sent", [b"", message(trace_request("d" * 32))[:9]], ids=["no message", "the beginning of a message"]
)
def test_hundreds_of_open_grpc_calls_stop_no_other(start_collector: StartCollector, sent: bytes) -> None:
    collector = start_collector(**NEVER)
    with ExitStack() as stack:
        for _ in range(SLOW):
            opened = Call(collector.grpc_port, TRACES)
            stack.callback(opened.close)
            if sent:
                opened.send(sent, last=False)
            stack.enter_context(connect(collector.grpc_port, b"PRI * HT"))
        answered(collector)
    answered(collector)


def test_a_grpc_message_that_never_comes_is_unavailable_in_time(start_collector: StartCollector) -> None:
    collector = start_collector(UNDERTOW_COLLECTOR__READ_TIMEOUT_S="0.3")
    opened = Call(collector.grpc_port, TRACES)
    opened.send(b"\0\0\0", last=False)
    assert opened.status() == 14
    opened.close()


def test_an_endless_header_is_refused(collector: RunningCollector) -> None:
    with connect(collector.http_port, b"POST /v1/traces HTTP/1.1\r\nHost: ") as connection:
        try:
            for _ in range(64):
                connection.sendall(b"x" * 65_536)
        except OSError:
            pass
        assert b" 431 " in (all_until_it_is_cut_off(connection) or b" 431 ")
    assert collector.try_get("/readyz") == 200


def test_slow_but_steady_clients_are_served(start_collector: StartCollector) -> None:
    collector = start_collector(UNDERTOW_COLLECTOR__READ_TIMEOUT_S=str(ALLOWED_S))
    trace = new_trace()
    bodies = [trace_request(trace, 60, first=first, text="word " * 1000) for first in (1, 61)]
    assert len(bodies[0]) > 3 * 8192
    with ThreadPoolExecutor(2) as pool:
        served = list(pool.map(lambda way, body: way(collector, _parts(body)), (_over_http, _over_grpc), bodies))
    assert served == [True, True]
    assert stored(collector, trace) == 120


def _parts(body: bytes) -> list[bytes]:
    size = len(body) // PARTS + 1
    return [body[at : at + size] for at in range(0, len(body), size)]


def _pace(parts: list[bytes]) -> Iterator[bytes]:
    for part in parts:
        time.sleep(PAUSE_S)  # this is the pace of the client under test
        yield part


def _over_http(collector: RunningCollector, parts: list[bytes]) -> bool:
    return collector.request("POST", "/v1/traces", _pace(parts), Content_Type=PROTOBUF).status == 200


def _over_grpc(collector: RunningCollector, parts: list[bytes]) -> bool:
    opened = Call(collector.grpc_port, TRACES)
    opened.send(message(b"".join(parts))[:5], last=False)
    for number, part in enumerate(_pace(parts), 1):
        opened.send(part, last=number == len(parts))
    status = opened.status()
    opened.close()
    return status == 0


async def _waiting(arriving: Arriving, name: str, come: asyncio.Event, ended: list[str]) -> None:
    try:
        async with arriving.place():
            await come.wait()
    except TimeoutError:
        ended.append(f"{name} gave way")
    except OverloadedError:
        ended.append(f"{name} was refused")
    else:
        ended.append(f"{name} came")


def _played(scene: Coroutine[None, None, None]) -> None:
    with ThreadPoolExecutor(1) as apart:  # a browser test may have left a loop in this thread
        apart.submit(asyncio.run, scene).result()


def test_the_call_that_has_held_its_place_longest_gives_way_when_others_wait() -> None:
    arriving = Arriving(2, timeout_s=60, fair_s=0.05)
    ended: list[str] = []

    async def scene() -> None:
        come = asyncio.Event()
        calls = []
        for name in ("first", "second", "third"):
            calls.append(asyncio.create_task(_waiting(arriving, name, come, ended)))
            await asyncio.sleep(0)
        await calls[0]
        come.set()
        await asyncio.gather(*calls)

    _played(scene())
    assert ended == ["first gave way", "second came", "third came"]


def test_the_newest_call_is_served_first_and_the_oldest_of_too_many_is_refused() -> None:
    arriving = Arriving(1, timeout_s=60, most_waiting=2)
    ended: list[str] = []

    async def scene() -> None:
        come = asyncio.Event()
        calls = []
        for name in ("holder", "oldest", "older", "newest"):
            calls.append(asyncio.create_task(_waiting(arriving, name, come, ended)))
            await asyncio.sleep(0)
        gone = calls.pop(1)
        await gone
        come.set()
        await asyncio.gather(*calls)

    _played(scene())
    assert ended == ["oldest was refused", "holder came", "newest came", "older came"]


def test_a_waiting_call_that_hangs_up_costs_no_place() -> None:
    arriving = Arriving(1, timeout_s=60)
    ended: list[str] = []

    async def scene() -> None:
        come = asyncio.Event()
        holder, gone, last = (
            asyncio.create_task(_waiting(arriving, name, come, ended)) for name in ("holder", "gone", "last")
        )
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0)
        come.set()
        last.cancel()  # in the moment in which it may get the place
        await asyncio.gather(holder, gone, last, return_exceptions=True)
        await _waiting(arriving, "next", come, ended)

    _played(scene())
    assert ended == ["holder came", "next came"]


def test_unfinished_grpc_messages_together_hold_bounded_memory(start_collector: StartCollector) -> None:
    collector = start_collector()
    process = psutil.Process(collector.pid)
    before = process.memory_info().rss
    large = message(bytes(UNFINISHED_BYTES))[:-1]

    def begin(opened: Call) -> None:
        with suppress(OSError):  # at the end the connection is cut
            opened.send(large, last=False)

    with ExitStack() as stack:
        calls = [Call(collector.grpc_port, TRACES) for _ in range(UNFINISHED)]
        for opened in calls:
            stack.callback(opened.close)
        senders = [threading.Thread(target=begin, args=(opened,), daemon=True) for opened in calls]
        for sender in senders:
            sender.start()
        wait_until(lambda: process.memory_info().rss - before > UNFINISHED_BYTES)
        peak = 0
        until = time.monotonic() + 4.0
        while time.monotonic() < until:
            peak = max(peak, process.memory_info().rss - before)
            time.sleep(0.02)  # this is the pace of the watch, not a wait for something
        answered(collector)
    # Twice: for a moment those that give way overlap with those that come.
    assert peak < 2 * UNFINISHED_PLACES * UNFINISHED_BYTES + ALLOWANCE_BYTES
