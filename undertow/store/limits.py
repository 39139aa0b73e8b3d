"""The time that a query may take."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import duckdb

AGAIN_S = 0.1
TRIES = 100
"""How often what runs is interrupted anew: DuckDB forgets an interruption that comes just before a query begins."""


@contextmanager
def limited(cursor: Any, limit_s: float) -> Iterator[None]:
    """Interrupt a cursor when its time is over."""
    over = threading.Event()
    limits = (cursor, limit_s, over)
    threading.Thread(target=_interrupt_after, args=limits, name="query limit", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _interrupt_after(cursor: Any, limit_s: float, over: threading.Event) -> None:
    for wait_s in (limit_s, *[AGAIN_S] * TRIES):
        if over.wait(wait_s):
            return
        with suppress(duckdb.Error):  # it has just been closed
            cursor.interrupt()
