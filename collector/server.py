"""Starts and stops the doors, the loader and the store service in one process."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.abc import MetaPathFinder
from typing import Any

import grpc
import uvicorn
import uvloop

from collector.assemble import assemble, response_ids, span_rows
from collector.auth import Authenticator
from collector.courtesy import Courtesy, Pace
from collector.grpc import GrpcDoor
from collector.http import HttpDoor
from collector.http_protocol import patient_protocol
from collector.intake import Intake
from collector.journal import Journal
from collector.loader import Loader
from collector.lookups import Lookups
from collector.normalise import normalise_logs, normalise_traces
from collector.redact import Redactor
from collector.redact_key import installation_key
from collector.segments import reserved
from collector.self_trace import self_tracer
from collector.store_service import StoreService
from collector.telemetry import Telemetry
from undertow.errors import ConfigError, OverloadedError, PortInUseError, StoreError, StoreLockedError
from undertow.settings import Settings
from undertow.store.compact import Compacted
from undertow.store.embedded import EmbeddedStore
from undertow.store.endpoint import announce
from undertow.store.open import FILE_NAME, open_store
from undertow.tls import SYSTEM, identity_of

logger = logging.getLogger(__name__)

_GRACE_S = 5
_DRAIN_S = 10.0
_WORKERS = 4
_SWITCH_S = 0.001
"""How long one thread may keep the interpreter from the others: the event loop waits so long for every one of them."""

_LOOKUPS: Mapping[tuple[str, ...], str] = {
    ("trace_id", "span_id"): "SELECT 1 FROM spans WHERE trace_id = $trace_id AND span_id = $span_id LIMIT 1",
    ("trace_id",): "SELECT 1 FROM spans WHERE trace_id = $trace_id LIMIT 1",
    ("response_id",): "SELECT 1 FROM interactions WHERE response_id = $response_id LIMIT 1",
    ("session_id",): "SELECT 1 FROM interactions WHERE session_id = $session_id LIMIT 1",
}


def run(settings: Settings) -> None:
    """Run a collector until SIGTERM or SIGINT.

    Raises
    ------
    PortInUseError
        A port is taken; the message names it and its setting.
    StoreLockedError
        Another process owns the store file.
    """
    sys.meta_path.insert(0, _WithoutPandas())
    _allow_many_connections()
    _look_for_cycles_rarely()
    sys.setswitchinterval(_SWITCH_S)
    with ExitStack() as stack, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        collector = Collector(settings, stack)
        runner.run(collector.serve())
    if collector.left_behind:
        # Arrow's destructor waits for the same readers for ever; all that was acknowledged is on the disk.
        logging.shutdown()
        os._exit(0)


def _look_for_cycles_rarely() -> None:
    """Requests make and drop many objects, hardly any in cycles: looking for those costs a tenth of all work."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def _allow_many_connections() -> None:
    """Raise the number of open files, every connection is one, to what the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _WithoutPandas(MetaPathFinder):
    """DuckDB and pyarrow import pandas where it is installed, to look at values: 40 MB that a collector never uses."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Refuse pandas, leave everything else to the other finders."""
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is kept out of the collector", name=fullname)


class Collector:
    """The parts of one collector process; the stack closes them in reverse order.

    Parameters
    ----------
    settings : of the whole installation.
    stack : takes over what must be closed.
    """

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self._settings = settings
        self._ready = False
        self.left_behind = False
        limits = settings.collector
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._store = stack.enter_context(_own_store(settings))
        self._telemetry = Telemetry(self_tracer(limits))
        stack.callback(self._telemetry.close)
        self._identity = identity_of(settings.tls)
        auth = Authenticator(settings.auth.tokens)
        self._http_socket = stack.enter_context(_listening(limits.host, limits.http_port, "collector.http_port"))
        self._service = self._started_service(auth, stack)
        journal_dir = settings.data_dir / "journal"
        if not stack.enter_context(reserved(journal_dir)):
            raise StoreLockedError(f"{journal_dir} is in use by another collector; set another data_dir for this one")
        self._journal = Journal(journal_dir, segment_bytes=limits.segment_bytes, max_bytes=limits.max_journal_bytes)
        courtesy = Courtesy()
        self._loader = Loader(
            self._journal,
            self._store,
            span_rows=span_rows,
            assemble=assemble,
            response_ids=response_ids,
            telemetry=self._telemetry,
            pace=Pace(limits.load_interval_s, courtesy),
            aside=journal_dir / "aside",
        )
        stack.callback(self._drain)
        self._intake = Intake(
            self._journal,
            normalisers={"traces": normalise_traces, "logs": normalise_logs},
            redactor=_redactor(settings),
            courtesy=courtesy,
            telemetry=self._telemetry,
            max_body_bytes=limits.max_body_bytes,
            max_backlog_bytes=limits.max_backlog_bytes,
        )
        self._watch()
        workers = stack.enter_context(ThreadPoolExecutor(_WORKERS, thread_name_prefix="worker"))
        lookups = Lookups(self._resolves)
        stack.callback(lookups.close)
        self._http = HttpDoor(self._intake, auth, self._telemetry, self, workers, lookups, limits.read_timeout_s)
        self._grpc_door = GrpcDoor(
            self._intake, auth, self._telemetry, self, workers, read_timeout_s=limits.read_timeout_s
        )
        self._loader.start()

    def ready(self) -> bool:
        """Whether every door is open, what comes in is written, and what is written is loaded."""
        return self._ready and self._journal.alive and self._loader.alive

    def health(self) -> dict[str, Any]:
        """Counters of this process; the journal's bytes are those not loaded yet."""
        return {
            "accepted": self._telemetry.total("undertow_accepted_items_total"),
            "loaded": self._telemetry.total("undertow_loaded_items_total"),
            "journal_bytes": self._journal.pending_bytes,
            "last_load_seq": self._loader.last_load_seq,
        }

    def flushed(self) -> Future[int]:
        """See :meth:`collector.loader.Loader.flushed`."""
        return self._loader.flushed()

    def _resolves(self, target: Mapping[str, str]) -> bool:
        """Whether the store holds what a feedback speaks of."""
        known = [names for names in _LOOKUPS if all(name in target for name in names)]
        if ("trace_id", "span_id") in known:
            known.remove(("trace_id",))  # another span of the trace is not what it speaks of
        try:
            return any(self._holds(names, target) for names in known)
        except StoreError:
            return False

    def _holds(self, names: tuple[str, ...], target: Mapping[str, str]) -> bool:
        return bool(self._store.query(_LOOKUPS[names], {name: target[name] for name in names}).num_rows)

    async def serve(self) -> None:
        """Open the doors, wait for a signal, answer what is in flight, close the doors."""
        stop = asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
        grpc_server, grpc_port = self._bound_grpc()
        await grpc_server.start()
        server = _uvicorn(self._http, self._settings)
        serving = asyncio.create_task(server.serve(sockets=[self._http_socket]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        endpoint = self._announce(grpc_port)
        self._ready = True
        await asyncio.wait([asyncio.create_task(stop.wait()), serving], return_when=asyncio.FIRST_COMPLETED)
        self._ready = False
        logger.info("stopping: answering what is in flight, loading what is in the journal")
        endpoint.unlink(missing_ok=True)
        server.should_exit = True
        await grpc_server.stop(_GRACE_S)
        await serving

    def _announce(self, grpc_port: int) -> Any:
        host = _reachable(self._settings.collector.host)
        secure = self._identity is not None
        scheme, flight = ("https", "grpc+tls") if secure else ("http", "grpc")
        urls = {
            "http_url": f"{scheme}://{host}:{self._http_socket.getsockname()[1]}",
            "grpc_url": f"{scheme}://{host}:{grpc_port}",
            "store_url": f"{flight}://{host}:{self._service.port}",
        }
        trust = self._identity.trust if self._identity else SYSTEM
        path = announce(self._settings.data_dir, **urls, trust=trust)
        logger.info("ready: OTLP/HTTP %(http_url)s, OTLP/gRPC %(grpc_url)s, store %(store_url)s", urls)
        return path

    def _started_service(self, auth: Authenticator, stack: ExitStack) -> StoreService:
        host, port = self._settings.collector.host, self._settings.store.port
        with _listening(host, port, "store.port"):
            pass
        try:
            service = StoreService(
                self._store,
                auth,
                host=host,
                port=port,
                compact=self._compact,
                identity=self._identity,
                query_timeout_s=self._settings.store.query_timeout_s,
            )
        except (OSError, ValueError) as error:
            raise _port_error(host, port, "store.port", str(error)) from None
        stack.callback(self._end_service, service)
        return service

    def _bound_grpc(self) -> tuple[Any, int]:
        host, port = self._settings.collector.host, self._settings.collector.grpc_port
        with _listening(host, port, "collector.grpc_port"):
            pass
        server = self._grpc_door.server()
        try:
            return server, self._add_port(server, f"{_bracketed(host)}:{port}")
        except RuntimeError:
            raise _port_error(host, port, "collector.grpc_port", "the address cannot be bound") from None

    def _add_port(self, server: Any, address: str) -> int:
        if self._identity is None:
            return int(server.add_insecure_port(address))
        pair = (self._identity.key.encode(), self._identity.certificate.encode())
        return int(server.add_secure_port(address, grpc.ssl_server_credentials([pair])))

    def _watch(self) -> None:
        self._telemetry.watch("undertow_journal_bytes", lambda: self._journal.pending_bytes)
        self._telemetry.watch("undertow_last_load_seq", lambda: self._loader.last_load_seq)
        self._telemetry.watch("undertow_load_lag_seconds", lambda: self._loader.lag_s)

    def _compact(self, actor: str) -> Compacted:
        """Write the store anew, then the journal, so that neither holds what was erased."""
        if not self._ready:
            raise StoreError("the collector is starting or stopping; try again in a moment")
        logger.info("compacting the store for %r: what arrives is kept in the journal meanwhile", actor)
        done = self._store.compact(actor=actor)
        logger.info("compacted: %d bytes before, %d after", done.bytes_before, done.bytes_after)
        try:
            self._journal.forget()
        except OverloadedError as error:
            raise StoreError(f"the store was compacted, but what was loaded stands in the journal: {error}") from None
        return done

    def _end_service(self, service: StoreService) -> None:
        self.left_behind = not service.shutdown(_GRACE_S)

    def _drain(self) -> None:
        self._journal.close()
        if not self._loader.stop(_DRAIN_S):
            logger.warning("%d bytes stay in the journal; the next start loads them", self._journal.pending_bytes)


def _redactor(settings: Settings) -> Redactor:
    chosen = settings.redaction
    made_here = chosen.enabled and not chosen.key
    return Redactor(chosen, installation_key(settings.data_dir) if made_here else None)


class _Server(uvicorn.Server):
    """Uvicorn without its own signal handlers: this process has more to stop than HTTP."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _uvicorn(door: HttpDoor, settings: Settings) -> _Server:
    return _Server(
        uvicorn.Config(
            door.app(),
            loop="none",
            http=patient_protocol(settings.collector.read_timeout_s),
            ssl_certfile=settings.tls.certificate,
            ssl_keyfile=settings.tls.key,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )


def _own_store(settings: Settings) -> EmbeddedStore:
    url = settings.store.url or f"duckdb:{FILE_NAME}"
    store = open_store(url, settings=settings) if url.startswith("duckdb:") else None
    if not isinstance(store, EmbeddedStore):
        raise ConfigError(
            f"store.url = {url!r}: a collector owns a file and serves it; unset the URL for it, or use duckdb:…"
        )
    return store


@contextmanager
def _listening(host: str, port: int, setting: str) -> Iterator[socket.socket]:
    """Bind a port, or say who should move."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
        except OSError as error:
            reason = "another process listens there" if error.errno == errno.EADDRINUSE else str(error.strerror)
            raise _port_error(host, port, setting, reason) from None
        yield bound


def _port_error(host: str, port: int, setting: str, reason: str) -> PortInUseError:
    variable = "UNDERTOW_" + setting.upper().replace(".", "__")
    return PortInUseError(f"{host}:{port} cannot be used: {reason}; stop that process or set {setting} ({variable})")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _reachable(host: str) -> str:
    """The address that a process of this machine uses for a listening address."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, _bracketed(host))  # noqa: S104 - read, not bound
