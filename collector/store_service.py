"""The store for other processes: an Arrow Flight service over the file that this process owns."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import pyarrow as pa
from pyarrow import flight

from collector.auth import Authenticator, Scope, Verdict
from collector.bound_reads import BoundReads
from collector.bounds import Bounds
from undertow.errors import StoreError
from undertow.store.base import Params, Store, data_version
from undertow.store.compact import Compacted
from undertow.store.flight import COMMIT_ACTION, COMPACT_ACTION, as_flight_error, decode_query
from undertow.tls import Identity

logger = logging.getLogger(__name__)

HEALTH_ACTION = "health"
_LONGEST_PAUSE_S = 30.0
_GRACE_S = 5.0
_MIDDLEWARE = "authorization"
_LONGEST_NAME = 200


class Streaming(Store, Protocol):
    """A store whose results need not be in memory as a whole."""

    def stream(self, sql: str, params: Params = None) -> tuple[pa.Schema, Generator[pa.RecordBatch]]:
        """Run one SELECT and return its columns and its rows, which are worked out as they are taken."""
        ...


@dataclass(frozen=True)
class Uploads:
    """Limits of what waits for its commit.

    Attributes
    ----------
    kept_s : an upload that no commit asked for is dropped after this time.
    max_bytes : uploads together hold no more than this.
    """

    kept_s: float = 600.0
    max_bytes: int = 2**30


_UPLOADS = Uploads()


@dataclass
class _Staged:
    started: float
    size: int = 0
    parts: list[tuple[str, str, pa.Table]] = field(default_factory=list)


class StoreService(flight.FlightServerBase):  # type: ignore[misc] # pyarrow has no types
    """Answers queries and commits; it listens from its construction until ``shutdown``.

    Parameters
    ----------
    host, port : where to listen; port 0 takes a free one (``port`` tells which).
    compact : write the store anew, on behalf of whom it is told.
    identity : certificate and key, where the service speaks TLS.
    query_timeout_s : the limit of a reader whose token is bound; that of others is the store's own.
    """

    def __init__(
        self,
        store: Streaming,
        auth: Authenticator,
        *,
        host: str,
        port: int,
        compact: Callable[[str], Compacted] | None = None,
        identity: Identity | None = None,
        query_timeout_s: float = 60.0,
        uploads: Uploads = _UPLOADS,
    ) -> None:
        self._store = store
        self._auth = auth
        self._compact = compact
        self._bound_reads = BoundReads(store, timeout_s=query_timeout_s)
        self._uploads = uploads
        self._lock = threading.Lock()
        self._staged: dict[str, _Staged] = {}
        self.staged_bytes = 0
        self._stopped = threading.Event()
        bracketed = f"[{host}]" if ":" in host else host
        super().__init__(
            f"grpc+{'tls' if identity else 'tcp'}://{bracketed}:{port}",
            tls_certificates=[(identity.certificate, identity.key)] if identity else None,
            middleware={_MIDDLEWARE: _HeaderReader()},
        )
        threading.Thread(target=self._drop_stale_forever, name="staged", daemon=True).start()

    def shutdown(self, grace_s: float = _GRACE_S) -> bool:
        """Answer what is in flight for at most this time; whether nothing was left.

        Arrow's own shutdown waits for ever: for a query of an hour, or a reader that takes no more rows.
        """
        self._stopped.set()
        ending = threading.Thread(target=super().shutdown, name="store service", daemon=True)
        ending.start()
        ending.join(grace_s)
        if ending.is_alive():
            logger.warning("the store service still answers after %g s and is left behind", grace_s)
        return not ending.is_alive()

    def list_flights(self, context: Any, criteria: bytes) -> Iterator[Any]:
        """Return nothing: the call only tells that the service is up."""
        return iter(())

    def do_get(self, context: Any, ticket: Any) -> Any:
        """Answer a query."""
        bounds = self._require(context, "read")
        with _store_errors():
            sql, params = decode_query(ticket.ticket)
            if bounds:
                schema, batches = self._bound_reads.stream(bounds, sql, params)
            else:
                schema, batches = self._store.stream(sql, params)
            return flight.GeneratorStream(schema, _sent(batches))

    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        """Keep one table of a commit until the commit is asked for."""
        self._require(context, "write")
        with _store_errors():
            path = [part.decode("utf-8", "replace") for part in descriptor.path or ()]
            if len(path) != 3 or path[1] not in ("write", "delete"):
                raise StoreError("an upload needs the path (token, write or delete, table)")
            token, kind, name = path
            rows, size = self._received(reader)
            with self._lock:
                staged = self._staged.setdefault(token, _Staged(time.monotonic()))
                staged.parts.append((kind, name, rows))
                staged.size += size

    def do_action(self, context: Any, action: Any) -> list[bytes]:
        """Commit what was uploaded, write the store anew, or tell the version of the data."""
        if action.type == HEALTH_ACTION:
            self._require(context, "read")
            with _store_errors():
                return [json.dumps({"seq": data_version(self._store)}).encode()]
        self._require(context, "write")
        with _store_errors():
            if action.type == COMPACT_ACTION and self._compact is not None:
                done = self._compact(_actor(action.body.to_pybytes()))
                return [json.dumps(asdict(done)).encode()]
            if action.type != COMMIT_ACTION:
                actions = ", ".join(name for name, _ in self.list_actions(context))
                raise StoreError(f"there is no action {action.type!r}; the actions are {actions}")
            return [json.dumps({"seq": self._commit(action.body.to_pybytes())}).encode()]

    def list_actions(self, context: Any) -> list[tuple[str, str]]:
        """Name the actions."""
        return [
            (COMMIT_ACTION, "write the uploaded tables in one transaction"),
            (COMPACT_ACTION, "write the store anew, without what was erased"),
            (HEALTH_ACTION, "tell the sequence number of the newest commit"),
        ]

    def _commit(self, body: bytes) -> int:
        try:
            asked = json.loads(body)
            token, key, expected = str(asked["token"]), str(asked["key"]), int(asked["parts"])
        except (ValueError, KeyError, TypeError):
            raise StoreError("a commit needs a JSON object with token, key and parts") from None
        with self._lock:
            staged = self._staged.pop(token, None) or _Staged(0.0)
        try:
            parts = staged.parts
            if len(parts) != expected:
                raise StoreError(f"commit {key!r}: {len(parts)} of {expected} tables have arrived; nothing was written")
            tables = {name: rows for kind, name, rows in parts if kind == "write"}
            delete = {name: rows for kind, name, rows in parts if kind == "delete"}
            return self._store.commit(tables, key=key, delete=delete)
        finally:
            self._hold(-staged.size)

    def _received(self, reader: Any) -> tuple[pa.Table, int]:
        """Return an uploaded table and how many bytes are held for it."""
        batches, size = [], 0
        try:
            for chunk in reader:
                self._hold(chunk.data.nbytes)
                size += chunk.data.nbytes
                # What comes off the wire stands at odd addresses, which DuckDB's scan of Arrow tables warns of.
                batches.append(chunk.data.copy_to(pa.default_cpu_memory_manager()))
            return pa.Table.from_batches(batches, schema=reader.schema), size
        except BaseException:
            self._hold(-size)
            raise

    def _hold(self, size: int) -> None:
        with self._lock:
            if size > 0 and self.staged_bytes + size > self._uploads.max_bytes:
                raise StoreError(
                    f"the uploads that wait for their commit would hold more than {self._uploads.max_bytes} bytes;"
                    " send smaller commits, or this one later"
                )
            self.staged_bytes += size

    def _drop_stale_forever(self) -> None:
        while not self._stopped.wait(min(self._uploads.kept_s / 2, _LONGEST_PAUSE_S)):
            oldest = time.monotonic() - self._uploads.kept_s
            with self._lock:
                stale = [token for token, staged in self._staged.items() if staged.started < oldest]
                self.staged_bytes -= sum(self._staged.pop(token).size for token in stale)

    def _require(self, context: Any, scope: Scope) -> Bounds | None:
        """Return what the token is bound to, unless it is refused."""
        header = context.get_middleware(_MIDDLEWARE)
        authorization = header.value if header else None
        verdict = self._auth.decide(authorization, scope)
        if verdict is Verdict.UNKNOWN:
            raise flight.FlightUnauthenticatedError("a bearer token of this collector is needed (auth.tokens)")
        if verdict is Verdict.FORBIDDEN:
            raise flight.FlightUnauthorizedError(f"the token lacks the scope {scope!r}")
        return self._auth.bounds(authorization)


def _actor(body: bytes) -> str:
    try:
        return str(json.loads(body)["actor"])[:_LONGEST_NAME]
    except (ValueError, KeyError, TypeError):
        raise StoreError("a compaction needs a JSON object with actor") from None


class _Header(flight.ServerMiddleware):  # type: ignore[misc]
    """The Authorization header of one call."""

    def __init__(self, value: str | None) -> None:
        self.value = value


class _HeaderReader(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    def start_call(self, info: Any, headers: dict[str, list[str]]) -> _Header:
        values = headers.get("authorization") or [None]  # type: ignore[list-item]
        return _Header(values[0])


def _sent(batches: Generator[pa.RecordBatch]) -> Generator[pa.RecordBatch]:
    with _store_errors():
        yield from batches


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise as_flight_error(error) from None
    except pa.ArrowException as error:
        raise as_flight_error(StoreError(f"the tables cannot be read: {error}")) from None
