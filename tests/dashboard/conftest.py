"""A filled store and an empty one, and the app over either of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import streamlit as st  # noqa: E402 - the path above must come first
from streamlit.testing.v1 import AppTest  # noqa: E402 - as above

from dashboard import data  # noqa: E402 - as above
from tests.dashboard import factory  # noqa: E402 - as above
from undertow.store.embedded import EmbeddedStore  # noqa: E402 - as above

APP = ROOT / "dashboard" / "app.py"


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, factory.Made]:
    """A data folder with the factory's rows, and what they are; read only."""
    folder = tmp_path_factory.mktemp("filled")
    return folder, factory.filled_folder(folder)


@pytest.fixture(scope="session")
def empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose store has no rows."""
    folder = tmp_path_factory.mktemp("empty")
    EmbeddedStore(folder / "undertow.duckdb").close()
    return folder


def forget() -> None:
    """Close the store of the app, which outlives a test otherwise."""
    data.store().close()
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture
def app_over(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], AppTest]]:
    """Start the app over a data folder."""

    def start(folder: Path) -> AppTest:
        monkeypatch.setenv("UNDERTOW_DATA_DIR", str(folder))
        st.cache_resource.clear()
        st.cache_data.clear()
        return AppTest.from_file(str(APP), default_timeout=180)

    yield start
    forget()


@pytest.fixture
def own_store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """A small filled store of this test alone, to be written to."""
    with EmbeddedStore(tmp_path / "undertow.duckdb") as store:
        factory.fill(store, days=9, per_day=12)
        yield store
