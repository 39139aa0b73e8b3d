"""Every page, over the factory's data and over an empty store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

PAGES = ("overview", "topics", "drift", "quality", "cost", "prompts", "review", "alerts", "health", "interaction")
Start = Callable[[Path], AppTest]


def open_page(app: AppTest, name: str, **query: str) -> AppTest:
    for key, value in query.items():
        app.query_params[key] = value
    if name != "overview":
        app.switch_page(f"views/{name}.py")
    app.run()
    assert not app.exception, [error.message for error in app.exception]
    return app


def html_of(app: AppTest) -> str:
    """Everything that the page draws as HTML."""
    return "\n".join(str(element.proto.body) for element in app.get("html"))


@pytest.mark.parametrize("page", PAGES)
def test_page_renders_on_data_and_speaks_first(page: str, filled: tuple[Path, Any], app_over: Start) -> None:
    app = open_page(app_over(filled[0]), page)
    assert 'class="ut-lead"' in html_of(app)


@pytest.mark.parametrize("page", PAGES)
def test_page_on_an_empty_store_says_what_to_do_next(page: str, empty_folder: Path, app_over: Start) -> None:
    app = open_page(app_over(empty_folder), page)
    text = html_of(app)
    assert "The store holds no interactions" in text
    assert "undertow demo" in text


def test_empty_page_lets_the_collector_own_the_file(tmp_path: Path, app_over: Start) -> None:
    open_page(app_over(tmp_path), "overview")
    code = f"from undertow.store import open_store; open_store('duckdb://{tmp_path}/undertow.duckdb')"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_overview_names_the_new_topic_the_change_and_the_queue(filled: tuple[Path, Any], app_over: Start) -> None:
    text = html_of(open_page(app_over(filled[0]), "overview"))
    assert "cards frozen abroad" in text
    assert "v13 → v14 went live 20" in text
    assert "2 of 4" in text
    assert "What needs a person" in text


def test_link_restricts_the_page_and_stays_in_the_address(filled: tuple[Path, Any], app_over: Start) -> None:
    app = open_page(app_over(filled[0]), "overview", service="staff-handbook", window="30d")
    assert app.selectbox(key="filter_service").value == "staff-handbook"
    assert app.query_params["service"] == "staff-handbook"
    assert "Staff: parental leave" in html_of(app)
    assert "Card limits" not in html_of(app)


def test_choosing_a_filter_writes_the_address(filled: tuple[Path, Any], app_over: Start) -> None:
    app = open_page(app_over(filled[0]), "overview")
    app.selectbox(key="filter_window").set_value("24h").run()
    assert app.query_params["window"] == "24h"
    app.selectbox(key="filter_window").set_value("7d").run()
    assert "window" not in app.query_params


def test_window_without_data_is_an_empty_state_on_no_page_an_error(filled: tuple[Path, Any], app_over: Start) -> None:
    for page in PAGES:
        open_page(app_over(filled[0]), page, window="2020-01-01..2020-01-02")


def test_unknown_values_in_a_link_do_no_harm(filled: tuple[Path, Any], app_over: Start) -> None:
    app = open_page(app_over(filled[0]), "overview", service="no such", window="bogus", topic="x'; DROP TABLE spans")
    assert app.selectbox(key="filter_service").value == "no such"
    assert app.selectbox(key="filter_window").value == "7d"


def test_text_from_traffic_is_never_html(filled: tuple[Path, Any], app_over: Start) -> None:
    folder, made = filled
    hostile = sorted(made.invented)[0]
    for page, query in (("interaction", {"interaction": hostile}), ("review", {"item": hostile, "window": "all"})):
        text = html_of(open_page(app_over(folder), page, **query))
        assert "&lt;script&gt;window.pwned" in text
        assert "<script>" not in text
        assert "<img src=x" not in text


def test_interaction_marks_the_claim_that_no_source_supports(filled: tuple[Path, Any], app_over: Start) -> None:
    folder, made = filled
    key = sorted(made.invented)[1]
    text = html_of(open_page(app_over(folder), "interaction", interaction=key))
    assert '<span class="ut-claim unsupported">' in text
    assert "<mark>" in text
    assert "search knowledge base" in text


def test_cost_names_the_model_whose_price_is_unknown(filled: tuple[Path, Any], app_over: Start) -> None:
    text = html_of(open_page(app_over(filled[0]), "cost", window="all"))
    assert "Price unknown: house-llm-7b" in text


def test_health_names_the_analyzer_that_failed(filled: tuple[Path, Any], app_over: Start) -> None:
    text = html_of(open_page(app_over(filled[0]), "health"))
    assert "The analyzer feedback failed" in text
    assert "no column" in text


def test_verdict_on_the_page_reaches_the_store_and_can_be_undone(tmp_path: Path, app_over: Start) -> None:
    from dashboard import data
    from tests.dashboard import factory

    factory.filled_folder(tmp_path, days=9, per_day=12)
    app = open_page(app_over(tmp_path), "review", window="all")
    before = data.store().query("SELECT count(*) AS n FROM reviews WHERE state = 'open'")["n"][0].as_py()
    app.button(key="confirmed").click().run()
    assert not app.exception
    rows = data.store().query("SELECT target_id, label FROM feedback WHERE kind = 'verdict'").to_pylist()
    assert [row["label"] for row in rows] == ["confirmed"]
    app.button(key="undo").click().run()
    after = data.store().query("SELECT count(*) AS n FROM reviews WHERE state = 'open'")["n"][0].as_py()
    assert after == before


def test_calls_without_content_are_said_so_and_not_counted_as_zero(tmp_path: Path, app_over: Start) -> None:
    from tests.dashboard import factory
    from undertow.store.embedded import EmbeddedStore

    made = factory.Made()
    factory.conversations(made, days=3, per_day=8)
    calls = [{**row, "prompt": None, "response": None, "content_state": "none"} for row in made.tables["interactions"]]
    with EmbeddedStore(tmp_path / "undertow.duckdb") as store:
        store.commit({"interactions": factory.table_of(calls)}, key="hollow")
    text = html_of(open_page(app_over(tmp_path), "overview"))
    assert f"no content ({len(calls)} calls)" in text
    assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT" in text


def test_locked_store_shows_what_to_do(tmp_path: Path, app_over: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard import data
    from undertow.errors import StoreLockedError

    def locked(*_: object, **__: object) -> None:
        raise StoreLockedError("undertow.duckdb is owned by process 42; use grpc://127.0.0.1:4319")

    app = app_over(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(data, "open_store", locked)
        app.run()
    text = html_of(app)
    assert not app.exception
    assert "owned by process 42" in text
    assert "undertow up" in text


def test_dashboard_of_a_stopped_collector_leaves_the_file_to_its_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import streamlit as st

    from dashboard import data
    from undertow.errors import StoreUnavailableError

    class Gone:
        url = "grpc://127.0.0.1:4319"

        def query(self, *_: object) -> None:
            raise StoreUnavailableError("no answer")

    opened: list[Gone] = []
    monkeypatch.setenv("UNDERTOW_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(data, "open_store", lambda **_: opened.append(Gone()) or opened[-1])
    st.cache_resource.clear()
    with pytest.raises(StoreUnavailableError, match="has stopped; start it again"):
        data.version()
    with pytest.raises(StoreUnavailableError, match="has stopped; start it again"):
        data.version()
    st.cache_resource.clear()
    assert len(opened) == 1


def test_topics_page_marks_what_is_provisional_and_tells_its_history(filled: tuple[Path, Any], app_over: Start) -> None:
    app = open_page(app_over(filled[0]), "topics")
    (table,) = app.dataframe
    assert [name for name in table.value["topic"] if "provisional" in name] == ["Card frozen abroad (provisional)"]
    assert "belong to no topic" in html_of(app)
    app.pills(key="rest").set_value("outliers").run()
    assert not app.exception
    assert "Messages of no topic" in html_of(app)


def test_topics_page_says_when_no_name_matches_and_keeps_the_rest_of_the_page(
    filled: tuple[Path, Any], app_over: Start
) -> None:
    app = open_page(app_over(filled[0]), "topics")
    app.text_input(key="search").set_value("zebra").run()
    assert "No topics match “zebra”" in html_of(app)
    assert "Find messages" in html_of(app)


def test_topics_page_finds_messages_by_their_words_where_nothing_is_embedded(
    filled: tuple[Path, Any], app_over: Start
) -> None:
    text = html_of(open_page(app_over(filled[0]), "topics", find="ABOVE the limit"))
    assert "Found by words alone" in text
    assert "Why was my payment above the limit?" in text


def test_interaction_page_opens_on_its_answer(filled: tuple[Path, Any], app_over: Start) -> None:
    folder, made = filled
    text = html_of(open_page(app_over(folder), "interaction", interaction=min(made.invented)))
    assert "Sources" in text
    assert "Similar questions" not in text
