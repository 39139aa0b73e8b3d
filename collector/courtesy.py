"""Work in the background steps back while requests are being worked on: both need the same interpreter."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_MOST = 3.0
_LONGEST_S = 0.2


@dataclass(frozen=True)
class Pace:
    """How the background works: the least time between two transactions, and who goes first."""

    interval_s: float
    courtesy: Courtesy


class Courtesy:
    """Who answers a request goes first, but never alone.

    Parameters
    ----------
    most : the background pauses at most this many times as long as it worked since its last pause.
    """

    def __init__(self, most: float = _MOST) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._working = 0
        self._since = time.monotonic()

    @contextmanager
    def first(self) -> Iterator[None]:
        """Work on a request."""
        with self._changed:
            self._working += 1
        try:
            yield
        finally:
            with self._changed:
                self._working -= 1
                if not self._working:
                    self._changed.notify_all()

    def begin(self) -> None:
        """Begin some work in the background; one thread does that."""
        self._since = time.monotonic()

    def step_back(self) -> None:
        """Between two steps of that work: let requests go first."""
        pause_s = min(_LONGEST_S, self._most * (time.monotonic() - self._since))
        with self._changed:
            self._changed.wait_for(lambda: not self._working, pause_s)
        self._since = time.monotonic()
