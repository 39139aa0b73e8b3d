"""What the judge said, and what it used of its budget: one local SQLite file for all processes of a data folder."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from undertow.clock import utc_now

FILE_NAME = "judge.sqlite"
_KEEP = timedelta(days=90)
_WAIT_S = 30.0
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, body TEXT NOT NULL, said_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS calls (
    call_id TEXT PRIMARY KEY, called_at TEXT NOT NULL, model TEXT NOT NULL, purpose TEXT NOT NULL,
    status TEXT NOT NULL, input_tokens INTEGER, output_tokens INTEGER, cost_usd REAL, duration_ms REAL,
    expected_tokens INTEGER NOT NULL, expected_usd REAL, taken INTEGER NOT NULL DEFAULT 0
);
"""
_USED = """
SELECT count(*), coalesce(sum(coalesce(input_tokens + output_tokens, expected_tokens)), 0),
       coalesce(sum(coalesce(cost_usd, expected_usd)), 0)
FROM calls WHERE called_at >= ?
"""
_NEWS = """
SELECT call_id, called_at, model, purpose, status, input_tokens, output_tokens, cost_usd, duration_ms
FROM calls WHERE NOT taken AND status <> 'open' ORDER BY called_at
"""


@dataclass(frozen=True, slots=True)
class Budget:
    """Most that may be used in a UTC day; `usd` None means no limit."""

    calls: int
    tokens: int
    usd: float | None


class Ledger:
    """The file; safe between threads and processes.

    Parameters
    ----------
    folder
        Where it lies; made if absent.
    now
        Clock, naive UTC.
    """

    def __init__(self, folder: Path, now: Callable[[], datetime] = utc_now) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE_NAME
        path.touch(mode=0o600)  # it holds what was said about texts of the traffic
        self._now = now
        self._lock = threading.Lock()
        self._file = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        self._file.executescript(_TABLES)
        self._file.execute("DELETE FROM answers WHERE said_at < ?", [(now() - _KEEP).isoformat()])

    def said(self, key: str) -> str | None:
        """Return the answer to a question that was asked before."""
        with self._lock:
            row = self._file.execute("SELECT body FROM answers WHERE key = ?", [key]).fetchone()
        return None if row is None else str(row[0])

    def remember(self, key: str, body: str) -> None:
        """Keep a valid answer for 90 days."""
        with self._lock:
            self._file.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", [key, body, self._now().isoformat()])

    def reserve(self, budget: Budget, model: str, purpose: str, tokens: int, usd: float | None) -> str | None:
        """Enter a call before it is made.

        Parameters
        ----------
        budget
            The limits of the day.
        model, purpose
            For the record.
        tokens, usd
            What the call is expected to take; counted until `settle` tells better.

        Returns
        -------
        str or None
            Its id; None where it would exceed the budget.
        """
        now = self._now()
        call_id = uuid.uuid4().hex
        with self._lock:
            self._file.execute("BEGIN IMMEDIATE")
            try:
                calls, used, paid = self._file.execute(_USED, [now.date().isoformat()]).fetchone()
                fits = calls < budget.calls and used + tokens <= budget.tokens
                if fits and (budget.usd is None or paid + (usd or 0.0) <= budget.usd):
                    self._file.execute(
                        "INSERT INTO calls (call_id, called_at, model, purpose, status, expected_tokens, expected_usd)"
                        " VALUES (?, ?, ?, ?, 'open', ?, ?)",
                        [call_id, now.isoformat(), model, purpose, tokens, usd],
                    )
                    return call_id
                return None
            finally:
                self._file.execute("COMMIT")

    def settle(  # noqa: PLR0913, PLR0917 - one argument a column
        self, call_id: str, status: str, tokens_in: int, tokens_out: int, usd: float | None, duration_ms: float
    ) -> None:
        """Enter what a call took."""
        with self._lock:
            self._file.execute(
                "UPDATE calls SET status = ?, input_tokens = ?, output_tokens = ?, cost_usd = ?, duration_ms = ?"
                " WHERE call_id = ?",
                [status, tokens_in, tokens_out, usd, duration_ms, call_id],
            )

    def news(self) -> list[dict[str, Any]]:
        """Return the calls that are not known to be in the store, with the columns of ``judge_calls``."""
        with self._lock:
            cursor = self._file.execute(_NEWS)
            names = [column[0] for column in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return [{**row, "called_at": datetime.fromisoformat(row["called_at"])} for row in rows]

    def taken(self, call_ids: Sequence[str]) -> None:
        """Note that calls are in the store."""
        with self._lock:
            self._file.executemany("UPDATE calls SET taken = 1 WHERE call_id = ?", [[id_] for id_ in call_ids])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()
