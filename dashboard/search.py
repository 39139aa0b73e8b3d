"""Search by meaning and text, for the pages; the index lives in the data folder and is shared with the command line."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import data
from dashboard.screen import Screen
from undertow.embedding import Embedder, load_embedder
from undertow.errors import ModelMissingError, QueryError
from undertow.finder import Finder, Found
from undertow.search import Field

LIMIT = 12


@st.cache_resource(show_spinner=False)
def _embedder() -> Embedder:
    settings = data.settings()
    return load_embedder(settings.embedding.model, models_dir=settings.models_dir)


@st.cache_resource(show_spinner=False, max_entries=1)
def _finder(url: str) -> Finder:
    del url  # another store needs another finder
    return Finder(data.store, _embedder, folder=data.settings().data_dir / "search")


def find(asked: str, field: Field, screen: Screen) -> tuple[list[Found], str]:
    """Texts found within the window and the filters, and why meaning was left out (empty where it was not)."""
    scope = screen.filters.predicate(screen.window)
    arguments: dict[str, Any] = {"limit": LIMIT, "scope": scope.sql, "params": scope.params}
    finder = _finder(data.store().url)
    try:
        return finder.find(asked, field, **arguments), ""
    except (ModelMissingError, QueryError) as error:
        return finder.find(asked, field, by="text", **arguments), str(error)


def like(content_hash: str, field: Field, screen: Screen) -> list[Found]:
    """Texts near a stored one, whatever the window; nothing where the model is absent."""
    scope = screen.filters.predicate()
    try:
        finder = _finder(data.store().url)
        return finder.like(content_hash, field, limit=LIMIT, scope=scope.sql, params=scope.params)
    except (ModelMissingError, QueryError):
        return []
