"""Questions to the store on behalf of a request that does not wait for them long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

_THREADS = 2
_MOST_WAITING = 64


class Lookups:
    """Asks on threads of its own; when the store does not answer, a bounded number of questions waits for it.

    Parameters
    ----------
    ask : whether the store holds a target; may take long.
    most : questions in hand; what is asked beyond them is answered with no.
    """

    def __init__(self, ask: Callable[[Mapping[str, str]], bool], *, most: int = _MOST_WAITING) -> None:
        self._ask = ask
        self._places = threading.BoundedSemaphore(most)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="lookup")

    async def resolves(self, target: Mapping[str, str], timeout_s: float) -> bool:
        """Whether the store holds a target, as far as it tells in time."""
        if not self._places.acquire(blocking=False):
            return False
        question = self._threads.submit(self._ask, target)
        question.add_done_callback(self._leave)
        # Shielded: who stops waiting must not free a place that the question still takes in the queue.
        asked = asyncio.shield(asyncio.wrap_future(question))
        try:
            return await asyncio.wait_for(asked, timeout_s)
        except TimeoutError:
            return False

    def close(self) -> None:
        """Drop what waits, leave behind what is being asked."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _leave(self, _: Future[bool]) -> None:
        self._places.release()
