"""gRPC messages that are on their way: how many are taken in at a time, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from undertow.errors import OverloadedError

_FAIR_S = 2.0
_MOST_WAITING = 64
_A_MOMENT_S = 0.05


class Arriving:
    """Places for calls whose message is asked for.

    What has come of a message cannot be counted before it is whole, so the number of places bounds the memory: of a
    message that nobody has asked for, only the first 64 KiB come. A call without a place waits, the newest is served
    first, and the call that has held its place longest gives way once it had its fair time: slow senders cannot keep
    out the others.

    Parameters
    ----------
    most : places.
    timeout_s : how long a call may wait and hold a place altogether.
    fair_s : how long a place is kept even when others wait.
    most_waiting : calls without a place; beyond it the oldest is refused.
    """

    def __init__(
        self, most: int, timeout_s: float, *, fair_s: float = _FAIR_S, most_waiting: int = _MOST_WAITING
    ) -> None:
        self._free = most
        self._timeout_s = timeout_s
        self._fair_s = fair_s
        self._most_waiting = most_waiting
        self._held: dict[asyncio.Timeout, float] = {}
        self._waiting: list[asyncio.Future[None]] = []

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place.

        Raises
        ------
        TimeoutError
            The time is over, or the call gave way to another one.
        OverloadedError
            Too many wait.
        """
        async with asyncio.timeout(self._timeout_s) as limit:
            await self._enter()
            self._held[limit] = asyncio.get_running_loop().time()
            try:
                yield
            finally:
                self._held.pop(limit, None)
                self._leave()

    async def _enter(self) -> None:
        if self._free:
            self._free -= 1
            return
        if len(self._waiting) >= self._most_waiting:
            self._waiting.pop(0).set_exception(OverloadedError("too many messages are on their way; send again"))
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            while not (await asyncio.wait([turn], timeout=self._until_one_gives_way()))[0]:
                self._make_way()
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif turn.exception() is None:  # the place came too late
                self._leave()
            raise
        turn.result()

    def _leave(self) -> None:
        if self._waiting:
            self._waiting.pop().set_result(None)
        else:
            self._free += 1

    def _until_one_gives_way(self) -> float:
        oldest = next(iter(self._held.values()), None)
        if oldest is None:  # those that give way are about to leave
            return _A_MOMENT_S
        return max(0.0, oldest + self._fair_s - asyncio.get_running_loop().time())

    def _make_way(self) -> None:
        oldest, since = next(iter(self._held.items()), (None, 0.0))
        if oldest is not None and asyncio.get_running_loop().time() >= since + self._fair_s:
            del self._held[oldest]
            if not oldest.expired():
                oldest.reschedule(0)
