"""One way to the store, whatever is behind it."""

from __future__ import annotations

from pathlib import Path

from undertow.config import Settings, load_settings
from undertow.errors import ConfigError
from undertow.store import endpoint
from undertow.store.base import Store

FILE_NAME = "undertow.duckdb"


def open_store(url: str | None = None, *, settings: Settings | None = None) -> Store:
    """Open a store.

    Parameters
    ----------
    url : ``duckdb:NAME`` (in the data folder), ``duckdb:///absolute/path``, ``grpc://host:port`` or
        ``grpc+tls://host:port``. Without one: the configured URL, else the service of a live collector of the
        data folder, else the file in the data folder.
    settings : read from the environment when absent.

    Raises
    ------
    ConfigError
        The URL has an unknown scheme.
    StoreLockedError, StoreUnavailableError
        The store exists but cannot be opened from here; the message says what to do.
    """
    settings = settings or load_settings().settings
    url = url or settings.store.url
    if url is None:
        live = endpoint.find(settings.data_dir)
        url = live.store_url if live else f"duckdb:{FILE_NAME}"
    scheme, _, rest = url.partition(":")
    if scheme == "duckdb":
        return _open_file(rest, settings)
    if scheme in ("grpc", "grpc+tls"):
        from undertow.store.flight import FlightStore

        return FlightStore(url, token=_own_token(settings))
    raise ConfigError(f"store URL {url!r} has an unknown scheme; use duckdb:…, grpc://… or grpc+tls://…")


def _open_file(rest: str, settings: Settings) -> Store:
    from undertow.store.embedded import EmbeddedStore

    if not rest:
        raise ConfigError("store URL 'duckdb:' names no file; use duckdb:undertow.duckdb or duckdb:///absolute/path")
    path = Path(rest[2:]) if rest.startswith("///") else settings.data_dir / rest
    live = endpoint.find(path.parent)
    return EmbeddedStore(
        path,
        memory_limit=settings.store.memory_limit,
        threads=settings.store.threads,
        query_timeout_s=settings.store.query_timeout_s,
        hint=f"use the store URL {live.store_url} instead (UNDERTOW_STORE__URL)" if live else "",
    )


def _own_token(settings: Settings) -> str | None:
    """The configured token with the widest scope, so that processes of one installation reach each other."""
    for scope in ("write", "read"):
        for token, scopes in settings.auth.tokens.items():
            if scope in scopes:
                return token
    return None
