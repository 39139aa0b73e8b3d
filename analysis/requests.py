"""Computations that people ask for on the screen: rows of `requests`, taken within a second."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pyarrow as pa

from analysis.analyzer import Context, Shared
from analysis.ondemand import compare_selections, default_field, parse_selection
from undertow.clock import utc_now
from undertow.errors import UndertowError
from undertow.settings import Settings
from undertow.store import Store, data_version, reads

POLL_S = 0.5
AFTER_TROUBLE_S = 10.0
_log = logging.getLogger(__name__)


class Requests:
    """Takes what was asked for, one after the other, oldest first.

    Parameters
    ----------
    store, settings : where to work and how.
    shared : what is expensive to load.
    """

    def __init__(self, store: Store, settings: Settings, shared: Shared | None = None) -> None:
        self._store = store
        self._settings = settings
        self._shared = shared or Shared(settings)
        self._states = ["asked", "running"]

    def take(self) -> int:
        """Do everything that waits; return how many were done.

        The first call also takes what a process that died has left ``running``.
        """
        waiting = [
            row for state in self._states for row in self._store.query(reads.ASKED, {"state": state}).to_pylist()
        ]
        self._states = ["asked"]
        for row in waiting:
            self._do(row)
        return len(waiting)

    def _do(self, row: Mapping[str, Any]) -> None:
        self._write(row, "running", result={"doing": "comparing"})
        try:
            result = self._compare(orjson.loads(row["arguments"]))
        except UndertowError as error:
            self._write(row, "failed", error=str(error))
        except Exception as error:  # one request must not stop the loop; the row tells
            _log.exception("request %s failed", row["request_id"])
            self._write(row, "failed", error=f"{type(error).__name__}: {error}")
        else:
            self._write(row, "done", result=result)

    def _compare(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        zone = ZoneInfo(self._settings.timezone)
        reference, current = (parse_selection(str(asked[side]), zone) for side in ("reference", "current"))
        head = data_version(self._store)
        context = Context(self._store, self._settings, uuid.uuid4().hex, utc_now(), 0, head, shared=self._shared)
        return compare_selections(
            context,
            reference,
            current,
            field=asked.get("field") or default_field(reference, current),
            service=asked.get("service"),
            segment=asked.get("segment"),
        )

    def _write(self, row: Mapping[str, Any], state: str, *, result: Any = None, error: str | None = None) -> None:
        over = state in ("done", "failed")
        written = {
            **row,
            "state": state,
            "result": None if result is None else orjson.dumps(result).decode(),
            "error": error,
            "finished_at": utc_now() if over else None,
        }
        table = pa.Table.from_pylist([{name: value for name, value in written.items() if value is not None}])
        self._store.commit({"requests": table}, key=f"request:{row['request_id']}:{state}:{uuid.uuid4().hex}")


@contextmanager
def serving(store: Store, settings: Settings, shared: Shared | None = None) -> Iterator[None]:
    """Take requests in a thread of its own meanwhile, so that a long analysis keeps nobody waiting."""
    requests, stop = Requests(store, settings, shared), threading.Event()

    def loop() -> None:
        while not stop.is_set():
            try:
                requests.take()
            except UndertowError as error:
                _log.warning("requests wait: %s", error)
                stop.wait(AFTER_TROUBLE_S)
            stop.wait(POLL_S)

    thread = threading.Thread(target=loop, name="requests", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
