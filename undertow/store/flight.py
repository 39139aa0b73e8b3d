"""The store through the collector's store service (Arrow Flight), and the wire format that both sides share.

A query is one ticket: a JSON header and, as a one-row Arrow table, the values. A commit uploads each table
under a token of its own and then asks for the commit by action, so that nothing is written before all has arrived.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, Self

import pyarrow as pa
from pyarrow import flight

from undertow.errors import ConfigError, QueryError, QueryStoppedError, StoreError, StoreUnavailableError
from undertow.store.base import Params
from undertow.store.compact import Compacted
from undertow.tls import SYSTEM, Trust

COMMIT_ACTION = "commit"
COMPACT_ACTION = "compact"
ERRORS: Mapping[str, type[StoreError]] = {kind.__name__: kind for kind in (QueryError, QueryStoppedError, StoreError)}


def encode_query(sql: str, params: Params) -> bytes:
    """Pack a query into the bytes of a ticket."""
    named = isinstance(params, Mapping)
    values = dict(params) if isinstance(params, Mapping) else {f"p{i}": value for i, value in enumerate(params or ())}
    header = json.dumps({"sql": sql, "named": named}).encode()
    body = b""
    if values:
        table = pa.Table.from_pylist([values])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        body = sink.getvalue().to_pybytes()
    return len(header).to_bytes(4, "big") + header + body


def decode_query(ticket: bytes) -> tuple[str, Params]:
    """Unpack a ticket into SQL and values.

    Raises
    ------
    QueryError
        The ticket is no query of Undertow's.
    """
    try:
        size = int.from_bytes(ticket[:4], "big")
        header = json.loads(ticket[4 : 4 + size])
        body = ticket[4 + size :]
        values = pa.ipc.open_stream(body).read_all().to_pylist()[0] if body else {}
        sql = str(header["sql"])
        return (sql, values) if header["named"] else (sql, list(values.values()))
    except (ValueError, KeyError, IndexError, TypeError, pa.ArrowInvalid) as error:
        raise QueryError(f"the ticket is not a query: {error}") from None


class FlightStore:
    """A store served by a collector.

    Parameters
    ----------
    url : ``grpc://host:port``, or ``grpc+tls://host:port`` where the service, or a proxy before it, speaks TLS.
    token : bearer token with the scope ``read`` or ``write``, where the service asks for one.
    trust : whom to believe over TLS.

    Raises
    ------
    ConfigError
        The URL is malformed.
    StoreUnavailableError
        Nothing answers at the address.
    """

    def __init__(self, url: str, *, token: str | None = None, trust: Trust = SYSTEM) -> None:
        self.url = url
        headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
        self._options = flight.FlightCallOptions(headers=headers)
        try:
            self._client = flight.connect(
                url.replace("grpc://", "grpc+tcp://"),
                tls_root_certs=trust.pem.encode() or None,
                override_hostname=trust.pinned_name or None,
            )
        except pa.ArrowInvalid as error:
            raise ConfigError(f"store URL {url!r} is malformed ({error}); use grpc://host:port") from None
        try:
            self._client.wait_for_available(timeout=5)
        except (flight.FlightError, pa.ArrowException, OSError):
            doubt = "; its certificate may not be one that tls.ca vouches for" if url.startswith("grpc+tls:") else ""
            raise StoreUnavailableError(
                f"no store service answers at {url}; start `undertow up`, or set another store.url{doubt}"
            ) from None

    def query(self, sql: str, params: Params = None) -> pa.Table:
        """See :meth:`undertow.store.base.Store.query`."""
        ticket = flight.Ticket(encode_query(sql, params))
        try:
            return self._client.do_get(ticket, self._options).read_all()
        except (flight.FlightError, pa.ArrowException) as error:
            raise _translated(error, self.url) from None

    def commit(self, tables: Mapping[str, pa.Table], *, key: str, delete: Mapping[str, pa.Table] | None = None) -> int:
        """See :meth:`undertow.store.base.Store.commit`."""
        token = uuid.uuid4().hex
        parts = [("delete", name, rows) for name, rows in (delete or {}).items()]
        parts += [("write", name, rows) for name, rows in tables.items()]
        try:
            for kind, name, rows in parts:
                descriptor = flight.FlightDescriptor.for_path(token, kind, name)
                writer, _ = self._client.do_put(descriptor, rows.schema, self._options)
                with writer:
                    writer.write_table(rows)
            body = json.dumps({"token": token, "key": key, "parts": len(parts)}).encode()
            results = list(self._client.do_action(flight.Action(COMMIT_ACTION, body), self._options))
        except (flight.FlightError, pa.ArrowException) as error:
            raise _translated(error, self.url) from None
        return int(json.loads(results[0].body.to_pybytes())["seq"])

    def compact(self, *, actor: str) -> Compacted:
        """See :meth:`undertow.store.compact.Compactable.compact`; the collector's journal is written anew as well."""
        asked = flight.Action(COMPACT_ACTION, json.dumps({"actor": actor}).encode())
        try:
            results = list(self._client.do_action(asked, self._options))
        except (flight.FlightError, pa.ArrowException) as error:
            raise _translated(error, self.url) from None
        return Compacted(**json.loads(results[0].body.to_pybytes()))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def as_flight_error(error: StoreError) -> Exception:
    """The error as it goes over the wire; the client makes the same kind of error of it."""
    kind = type(error).__name__ if type(error).__name__ in ERRORS else StoreError.__name__
    wire: Exception = flight.FlightServerError(str(error), extra_info=kind.encode())
    return wire


def _translated(error: Any, url: str) -> StoreError:
    if isinstance(error, flight.FlightUnauthenticatedError | flight.FlightUnauthorizedError):
        return StoreError(f"{url} refused the token: {_first_line(error)}")
    kind = ERRORS.get(bytes(getattr(error, "extra_info", b"") or b"").decode("ascii", "replace"))
    if kind is not None:
        return kind(_first_line(error))
    return StoreUnavailableError(f"the store service at {url} does not answer: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    """The message without the transport's own trailer."""
    return str(error).split(". Detail: ")[0].split(". gRPC client debug context")[0]
