"""One way to the store, whatever is behind it."""

from __future__ import annotations

import os
from pathlib import Path

from undertow.config import load_settings
from undertow.errors import ConfigError, StoreMissingError
from undertow.settings import Settings
from undertow.store import endpoint
from undertow.store.base import Store
from undertow.tls import trust_of

FILE_NAME = "undertow.duckdb"


def open_store(url: str | None = None, *, settings: Settings | None = None, create: bool = True) -> Store:
    """Open a store.

    Parameters
    ----------
    url : ``duckdb:NAME`` (in the data folder), ``duckdb:///absolute/path``, ``grpc://host:port`` or
        ``grpc+tls://host:port``. Without one: the configured URL, else the service of a live collector of the
        data folder, else the file in the data folder.
    settings : read from the environment when absent.
    create : make the file when it is absent.

    Raises
    ------
    ConfigError
        The URL has an unknown scheme or names no file.
    StoreMissingError
        There is no file, and `create` is false.
    StoreLockedError, StoreUnavailableError
        The store exists but cannot be opened from here; the message says what to do.
    """
    settings = settings or load_settings().settings
    url = url or settings.store.url
    live = endpoint.find(settings.data_dir)
    if url is None:
        url = live.store_url if live else f"duckdb:{FILE_NAME}"
    scheme, _, rest = url.partition(":")
    if scheme == "duckdb":
        return _open_file(rest, settings, create)
    if scheme in ("grpc", "grpc+tls"):
        from undertow.store.flight import FlightStore

        ours = live is not None and live.store_url == url
        trust = live.trust if live and ours else trust_of(settings.tls)
        return FlightStore(url, token=own_token(settings, "write", "read"), trust=trust)
    raise ConfigError(f"store URL {url!r} has an unknown scheme; use duckdb:…, grpc://… or grpc+tls://…")


def _open_file(rest: str, settings: Settings, create: bool) -> Store:
    path = _file(rest, settings.data_dir)
    live = endpoint.find(path.parent)
    if not create and not os.path.exists(path):  # unlike Path.exists, never an error
        raise StoreMissingError(
            f"no store at {path}; start `undertow up`, which makes one,"
            " or set UNDERTOW_DATA_DIR to the folder that has one"
        )
    from undertow.store.embedded import EmbeddedStore

    return EmbeddedStore(
        path,
        memory_limit=settings.store.memory_limit,
        threads=settings.store.threads,
        query_timeout_s=settings.store.query_timeout_s,
        hint=f"use the store URL {live.store_url} instead (UNDERTOW_STORE__URL)" if live else "",
    )


def _file(rest: str, data_dir: Path) -> Path:
    """The file that the part of a URL after ``duckdb:`` names."""
    absolute = rest.startswith("///")
    name = rest.lstrip("/") if absolute else rest
    if not name or name.startswith("/"):
        raise ConfigError(
            f"store URL 'duckdb:{rest}' names no file; use duckdb:undertow.duckdb, a name in the data folder,"
            " or duckdb:///absolute/path with three slashes"
        )
    return Path("/") / name if absolute else data_dir / name


def own_token(settings: Settings, *scopes: str) -> str | None:
    """The configured token with the first of the scopes, so that processes of one installation reach each other.

    One that is bound to a service or environment comes last: it does not see everything.
    """
    for scope in scopes:
        having = [token for token, entries in settings.auth.tokens.items() if scope in entries]
        free = [t for t in having if not any("=" in entry for entry in settings.auth.tokens[t])]
        if having:
            return (free or having)[0]
    return None
