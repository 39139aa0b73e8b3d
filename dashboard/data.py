"""The only reads of the dashboard: named SQL, cached under the version of the store's data."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import streamlit as st

from dashboard.filters import Filters, Window
from dashboard.queries import NAMED
from undertow.config import load_settings
from undertow.errors import StoreError, StoreUnavailableError
from undertow.settings import Settings
from undertow.store import Store, data_version, endpoint, open_store

MAX_ROWS = 1_000
_opening = threading.Lock()


@st.cache_resource(show_spinner=False)
def settings() -> Settings:
    """Settings of this process, read once."""
    return load_settings().settings


@st.cache_resource(show_spinner=False)
def _last_url() -> dict[str, str]:
    """The URL of the store that was open last, which outlives its connection."""
    return {}


@st.cache_resource(show_spinner=False)
def _connection() -> Store:
    last = _last_url().get("url", "")
    if last.startswith("grpc") and settings().store.url is None and live_collector() is None:
        # Opening the file now would keep a collector that restarts from owning it.
        raise StoreUnavailableError(
            f"the collector at {last} has stopped; start it again with `undertow collect` or `undertow up`,"
            " or restart the dashboard to open the file without a collector"
        )
    opened = open_store(settings=settings())
    _last_url()["url"] = opened.url
    return opened


def store() -> Store:
    """The open store, shared by all sessions.

    Raises
    ------
    StoreError
        It cannot be opened; the message says what to do.
    """
    with _opening:
        return _connection()


def reconnect() -> None:
    """Forget the connection, so that the next read opens the store again."""
    with _opening:
        _connection.clear()


def release() -> None:
    """Let go of an empty file: the collector that is started next must be able to own it."""
    source = store()
    if source.url.startswith("duckdb:"):
        reconnect()
        source.close()


def version() -> int:
    """Version of the data; a service that was restarted is connected to again.

    Raises
    ------
    StoreError
        The store is locked or does not answer.
    """
    source = store()
    try:
        return data_version(source)
    except StoreError:
        reconnect()
        return data_version(store())


def read(name: str, filters: Filters | None = None, window: Window | None = None, **params: Any) -> pd.DataFrame:
    """Run a named query.

    Parameters
    ----------
    name : a key of ``queries.NAMED``; ``{scope}`` in it becomes the predicate of the filters.
    window : restricts ``i.start_time``; its bounds are also bound as ``$start`` and ``$end``.
    params : further values.

    Returns
    -------
    DataFrame
        At most `MAX_ROWS` rows where the query says so; times naive UTC.
    """
    predicate = (filters or Filters()).predicate(window)
    sql = NAMED[name]
    bound: dict[str, Any] = dict(params)
    if "{scope}" in sql:
        sql = sql.replace("{scope}", predicate.sql)
        bound |= predicate.params
    elif window is not None:
        bound |= {"start": window.start, "end": window.end}
    values = {key: value.to_pydatetime() if isinstance(value, pd.Timestamp) else value for key, value in bound.items()}
    return _read(sql, tuple(sorted(values.items())), (store().url, version_of_run()))


@st.cache_data(show_spinner=False, max_entries=400)
def _read(sql: str, params: tuple[tuple[str, Any], ...], version_key: tuple[str, int]) -> pd.DataFrame:
    del version_key  # only part of the cache's key
    return frame(store(), sql, dict(params))


def rows(
    name: str, filters: Filters | None = None, window: Window | None = None, **params: Any
) -> list[dict[str, Any]]:
    """Run a named query and return its rows as dictionaries, empty cells as ``None``."""
    table = read(name, filters, window, **params).astype(object)
    records: list[dict[str, Any]] = table.where(table.notna(), None).to_dict("records")
    return records


def texts(ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Prompt and response of interactions, by id."""
    if not ids:
        return {}
    return {row["interaction_id"]: row for row in rows("texts_of", ids=json.dumps(list(ids)))}


def frame(source: Store, sql: str, params: Mapping[str, Any]) -> pd.DataFrame:
    """Run SQL and return a frame; whole numbers with NULL become floats, as do sums (HUGEINT, on the wire decimals)."""
    table = source.query(sql, dict(params) or None)
    fields = [pa.field(f.name, pa.float64()) if pa.types.is_decimal(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields)).to_pandas()


def version_of_run() -> int:
    """Version read once at the start of this run of the script, so that one screen shows one state."""
    key = "_data_version"
    if key not in st.session_state:
        st.session_state[key] = version()
    return int(st.session_state[key])


def begin_run() -> int:
    """Read the version anew; called once by ``app.py`` before anything is drawn."""
    st.session_state["_data_version"] = version()
    return version_of_run()


@dataclass(frozen=True)
class Extent:
    """What the store holds; times naive UTC, ``None`` when there is nothing."""

    interactions: int
    without_content: int
    oldest: datetime | None
    newest: datetime | None
    analysed: datetime | None
    spans: int


def extent() -> Extent:
    """How much there is, from when to when, and when it was analysed last."""
    row = read("extent").iloc[0]
    return Extent(
        int(row["interactions"]),
        int(row["without_content"]),
        moment(row["oldest"]),
        moment(row["newest"]),
        moment(row["analysed"]),
        int(row["spans"]),
    )


def moment(value: Any) -> datetime | None:
    """A cell as a time, ``None`` where it is empty."""
    return None if value is None or pd.isna(value) else pd.Timestamp(value).to_pydatetime()


def live_collector() -> endpoint.Endpoint | None:
    """The running collector of the data folder."""
    return endpoint.find(settings().data_dir)
