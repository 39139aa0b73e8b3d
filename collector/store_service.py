"""The store for other processes: an Arrow Flight service over the file that this process owns."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pyarrow import flight

from collector.auth import Authenticator, Scope, Verdict
from undertow.errors import StoreError
from undertow.store.base import Store, data_version
from undertow.store.flight import COMMIT_ACTION, as_flight_error, decode_query

logger = logging.getLogger(__name__)

HEALTH_ACTION = "health"
_STAGED_S = 600.0
_MIDDLEWARE = "authorization"


@dataclass
class _Staged:
    started: float
    parts: list[tuple[str, str, pa.Table]] = field(default_factory=list)


class StoreService(flight.FlightServerBase):  # type: ignore[misc] # pyarrow has no types
    """Answers queries and commits; it listens from its construction until ``shutdown``.

    Parameters
    ----------
    host, port : where to listen; port 0 takes a free one (``port`` tells which).
    staged_s : an upload that no commit asked for is dropped after this time.
    """

    def __init__(self, store: Store, auth: Authenticator, *, host: str, port: int, staged_s: float = _STAGED_S) -> None:
        self._store = store
        self._auth = auth
        self._staged_s = staged_s
        self._lock = threading.Lock()
        self._staged: dict[str, _Staged] = {}
        bracketed = f"[{host}]" if ":" in host else host
        super().__init__(f"grpc+tcp://{bracketed}:{port}", middleware={_MIDDLEWARE: _HeaderReader()})

    def list_flights(self, context: Any, criteria: bytes) -> Iterator[Any]:
        """Return nothing: the call only tells that the service is up."""
        return iter(())

    def do_get(self, context: Any, ticket: Any) -> Any:
        """Answer a query."""
        self._require(context, "read")
        with _store_errors():
            sql, params = decode_query(ticket.ticket)
            return flight.RecordBatchStream(self._store.query(sql, params))

    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        """Keep one table of a commit until the commit is asked for."""
        self._require(context, "write")
        with _store_errors():
            path = [part.decode("utf-8", "replace") for part in descriptor.path or ()]
            if len(path) != 3 or path[1] not in ("write", "delete"):
                raise StoreError("an upload needs the path (token, write or delete, table)")
            token, kind, name = path
            rows = reader.read_all()
            with self._lock:
                self._drop_stale()
                self._staged.setdefault(token, _Staged(time.monotonic())).parts.append((kind, name, rows))

    def do_action(self, context: Any, action: Any) -> list[bytes]:
        """Commit what was uploaded, or tell the version of the data."""
        if action.type == HEALTH_ACTION:
            self._require(context, "read")
            with _store_errors():
                return [json.dumps({"seq": data_version(self._store)}).encode()]
        self._require(context, "write")
        with _store_errors():
            if action.type != COMMIT_ACTION:
                raise StoreError(
                    f"there is no action {action.type!r}; the actions are {COMMIT_ACTION}, {HEALTH_ACTION}"
                )
            return [json.dumps({"seq": self._commit(action.body.to_pybytes())}).encode()]

    def list_actions(self, context: Any) -> list[tuple[str, str]]:
        """Name the actions."""
        return [
            (COMMIT_ACTION, "write the uploaded tables in one transaction"),
            (HEALTH_ACTION, "tell the sequence number of the newest commit"),
        ]

    def _commit(self, body: bytes) -> int:
        try:
            asked = json.loads(body)
            token, key, expected = str(asked["token"]), str(asked["key"]), int(asked["parts"])
        except (ValueError, KeyError, TypeError):
            raise StoreError("a commit needs a JSON object with token, key and parts") from None
        with self._lock:
            staged = self._staged.pop(token, None)
        parts = staged.parts if staged else []
        if len(parts) != expected:
            raise StoreError(f"commit {key!r}: {len(parts)} of {expected} tables have arrived; nothing was written")
        tables = {name: rows for kind, name, rows in parts if kind == "write"}
        delete = {name: rows for kind, name, rows in parts if kind == "delete"}
        return self._store.commit(tables, key=key, delete=delete)

    def _drop_stale(self) -> None:
        oldest = time.monotonic() - self._staged_s
        for token in [token for token, staged in self._staged.items() if staged.started < oldest]:
            del self._staged[token]

    def _require(self, context: Any, scope: Scope) -> None:
        header = context.get_middleware(_MIDDLEWARE)
        verdict = self._auth.decide(header.value if header else None, scope)
        if verdict is Verdict.UNKNOWN:
            raise flight.FlightUnauthenticatedError("a bearer token of this collector is needed (auth.tokens)")
        if verdict is Verdict.FORBIDDEN:
            raise flight.FlightUnauthorizedError(f"the token lacks the scope {scope!r}")


class _Header(flight.ServerMiddleware):  # type: ignore[misc]
    """The Authorization header of one call."""

    def __init__(self, value: str | None) -> None:
        self.value = value


class _HeaderReader(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    def start_call(self, info: Any, headers: dict[str, list[str]]) -> _Header:
        values = headers.get("authorization") or [None]  # type: ignore[list-item]
        return _Header(values[0])


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise as_flight_error(error) from None
    except pa.ArrowException as error:
        raise as_flight_error(StoreError(f"the tables cannot be read: {error}")) from None
