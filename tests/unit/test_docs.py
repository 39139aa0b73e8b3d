"""The docs name what exists, and nothing that exists is missing from them."""

import re
from importlib.metadata import entry_points
from pathlib import Path

import duckdb
import pytest

from undertow.config import load_settings
from undertow.settings import Settings
from undertow.store.migrate import available
from undertow.store.tables import TABLES

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def columns() -> dict[str, list[tuple[str, str]]]:
    connection = duckdb.connect()
    for _, _, sql in available():
        connection.execute(sql)
    rows = connection.execute(
        "SELECT table_name, column_name, data_type FROM information_schema.columns JOIN information_schema.tables"
        " USING (table_name) WHERE table_type = 'BASE TABLE' ORDER BY table_name, ordinal_position"
    ).fetchall()
    found: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in rows:
        found.setdefault(table, []).append((column, kind))
    return found


def test_the_data_model_page_lists_every_table_and_column_with_its_type(columns) -> None:
    page = (DOCS / "data-model.md").read_text("utf-8")
    sections = {part.split("\n", 1)[0]: part for part in page.split("\n## ")[1:]}
    for table, expected in columns.items():
        listed = re.findall(r"^\| `(\w+)` \| (\w+) \|$", sections[table], re.MULTILINE)
        assert listed == expected, table
    assert set(sections) - {"Views"} == set(columns)


def test_every_writable_table_exists_with_its_key(columns) -> None:
    for name, table in TABLES.items():
        assert set(table.key) <= {column for column, _ in columns[name]}, name


def test_every_setting_is_documented() -> None:
    page = (DOCS / "operations.md").read_text("utf-8")
    for name, _, _, description in load_settings(env={}).rows():
        assert f"`{name}`" in page, name
        assert description
    assert Settings.model_config["extra"] == "forbid"


def test_every_verb_is_documented() -> None:
    page = (DOCS / "operations.md").read_text("utf-8")
    for point in entry_points(group="undertow.commands"):
        assert f"`undertow {point.name}" in page, point.name
