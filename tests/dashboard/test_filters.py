"""URL ↔ filters ↔ predicate."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.filters import REFERENCES, WINDOWS, Filters, Window, resolve
from undertow.store.embedded import EmbeddedStore

names = st.none() | st.text(min_size=1, max_size=30)
days = st.dates(date(2000, 1, 1), date(2100, 1, 1))
spans = st.tuples(days, days).map(lambda pair: f"{min(pair)}..{max(pair)}")
filters = st.builds(
    Filters,
    service=names,
    environment=names,
    window=st.sampled_from(sorted(WINDOWS)) | spans,
    reference=st.sampled_from(sorted(REFERENCES)),
    model=names,
    prompt_version=names,
    topic=st.none() | st.integers(-1, 10**12),
)
queries = st.dictionaries(st.sampled_from([*Filters().__dict__, "other"]), st.text(max_size=40))


@given(filters)
def test_link_reproduces_the_filters(chosen: Filters) -> None:
    assert Filters.from_query(chosen.to_query()) == chosen


@given(queries)
def test_any_query_string_becomes_filters_that_survive_a_round_trip(query: dict[str, str]) -> None:
    parsed = Filters.from_query(query)
    assert Filters.from_query(parsed.to_query()) == parsed


@given(queries)
def test_any_query_string_resolves_to_a_window_after_its_reference(query: dict[str, str]) -> None:
    newest = datetime(2026, 3, 15, 14)
    window, reference = resolve(
        Filters.from_query(query), newest, newest - timedelta(days=42), ZoneInfo("Europe/Berlin")
    )
    assert reference.start < reference.end == window.start < window.end


@given(filters)
def test_values_are_bound_and_never_part_of_the_sql(chosen: Filters) -> None:
    predicate = chosen.predicate(Window(datetime(2026, 1, 1), datetime(2026, 2, 1)))
    columns = ("service", "environment", "model", "prompt_version", "topic")
    bound = {name for name in columns if getattr(chosen, name) is not None}
    assert set(predicate.params) == bound | {"start", "end"}
    assert set(predicate.sql) <= set(Filters(*"abcdefg").predicate(Window(datetime.min, datetime.max)).sql)  # type: ignore[arg-type]
    assert all(f"${name}" in predicate.sql for name in predicate.params)


def test_defaults_leave_the_address_clean() -> None:
    assert Filters().to_query() == {}
    assert "$" not in Filters().predicate().sql


def test_named_days_are_days_of_the_configured_zone() -> None:
    window, _ = resolve(
        Filters(window="2026-03-01..2026-03-02"),
        datetime(2026, 3, 15),
        datetime(2026, 1, 1),
        ZoneInfo("America/New_York"),
    )
    assert window == Window(datetime(2026, 3, 1, 5), datetime(2026, 3, 3, 5))


def test_newest_row_lies_inside_the_window() -> None:
    newest = datetime(2026, 3, 15, 14)
    window, _ = resolve(Filters(), newest, newest, ZoneInfo("UTC"))
    assert window.start < newest < window.end


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (Filters(), lambda row: True),
        (Filters(service="staff-handbook"), lambda row: row["service_name"] == "staff-handbook"),
        (
            Filters(model="gpt-4o", environment="staging"),
            lambda r: (r["request_model"], r["environment"]) == ("gpt-4o", "staging"),
        ),
        (Filters(prompt_version="v14"), lambda row: row["prompt_version"] == "v14"),
    ],
)
def test_predicate_selects_what_the_filters_say(chosen: Filters, expected: object, own_store: EmbeddedStore) -> None:
    predicate = chosen.predicate()
    rows = own_store.query(
        f"SELECT * FROM interactions i WHERE {predicate.sql}", dict(predicate.params) or None
    ).to_pylist()
    everything = own_store.query("SELECT * FROM interactions").to_pylist()
    wanted = {row["interaction_id"] for row in everything if expected(row)}  # type: ignore[operator]
    assert {row["interaction_id"] for row in rows} == wanted


def test_main_topic_selects_the_interactions_of_its_sub_topics() -> None:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE topics (topic_id BIGINT, parent_id BIGINT)")
    connection.execute("INSERT INTO topics VALUES (1, NULL), (2, 1), (3, NULL)")
    connection.execute("CREATE TABLE topic_assignments (interaction_id VARCHAR, field VARCHAR, topic_id BIGINT)")
    connection.execute(
        "INSERT INTO topic_assignments VALUES ('a', 'prompt', 1), ('b', 'prompt', 2), ('c', 'prompt', 3)"
    )
    connection.execute(
        "CREATE TABLE interactions AS SELECT * FROM (VALUES ('a'), ('b'), ('c')) t(interaction_id),"
        " (SELECT NULL::VARCHAR AS duplicate_of, 'chat' AS operation, NULL::VARCHAR AS flags)"
    )
    predicate = Filters(topic=1).predicate()
    found = connection.execute(
        f"SELECT interaction_id FROM interactions i WHERE {predicate.sql}", {"topic": 1}
    ).fetchall()
    assert sorted(row[0] for row in found) == ["a", "b"]
