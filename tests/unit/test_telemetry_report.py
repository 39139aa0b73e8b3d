"""What the report on telemetry makes of stored rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from undertow.clock import utc_now
from undertow.commands.telemetry import lines_of
from undertow.store.embedded import EmbeddedStore
from undertow.telemetry_report import TelemetryReport, build, without_content

AT = datetime(2026, 3, 1, 12, 0)
GENAI, OPENINFERENCE = "opentelemetry.instrumentation.genai.openai", "openinference.instrumentation.openai"


class Traffic:
    """Spans and calls written straight into a store."""

    def __init__(self, store: EmbeddedStore) -> None:
        self.store = store
        self.commits = self.made = 0

    def send(self, *spans: dict[str, Any], calls: list[dict[str, Any]] | None = None) -> None:
        """Commit spans, and for each the call that is given in its place."""
        rows: dict[str, list[dict[str, Any]]] = {"spans": [], "interactions": []}
        for number, span in enumerate(spans):
            self.made += 1
            place = {"trace_id": f"{self.made:032x}", "span_id": f"{self.made:016x}", "start_time": AT}
            usual = {"service_name": "shop", "scope_name": GENAI, "dialect": "otel_genai", "operation": "chat"}
            own = {key: json.dumps(value) if isinstance(value, dict | list) else value for key, value in span.items()}
            rows["spans"].append({"parent_span_id": None, "flags": None, **place, **usual, **own})
            if calls:
                known = {"input_tokens": 1, "request_model": "m", "session_id": "s", "status": "OK"}
                row = {
                    **place,
                    "interaction_id": f"i{self.made}",
                    "operation": "chat",
                    "content_state": "full",
                    **known,
                }
                row["service_name"] = rows["spans"][-1]["service_name"]
                rows["interactions"].append({**row, **calls[number]})
        self.commits += 1
        tables = {name: pa.Table.from_pylist(found) for name, found in rows.items() if found}
        kept = {
            name: table.select([c for c in table.column_names if not pa.types.is_null(table.schema.field(c).type)])
            for name, table in tables.items()
        }
        self.store.commit(kept, key=f"c{self.commits}")

    def calls(self, number: int, state: str, **span: Any) -> None:
        self.send(*[span] * number, calls=[{"content_state": state}] * number)


@pytest.fixture
def traffic(tmp_path: Path) -> Iterator[Traffic]:
    with EmbeddedStore(tmp_path / "undertow.duckdb") as store:
        yield Traffic(store)


def text_of(report: TelemetryReport) -> str:
    return "\n".join(lines_of(report, None))


def test_an_attribute_is_told_by_name_count_share_type_and_length_but_never_by_value(traffic: Traffic) -> None:
    secret = "the customer's words"
    traffic.send(
        {"attributes": {"llm.tools.0.name": secret, "llm.tools.12.name": secret, "x.y": 7}},
        {"attributes": {"llm.tools.3.name": secret, "server.address": "db-1"}},
    )
    report = build(traffic.store)
    found = {a.attribute: a for a in report.attributes}
    named = found["llm.tools.N.name"]
    assert (named.spans, named.share, named.type, named.length) == (2, 1.0, "VARCHAR", len(secret))
    assert (found["x.y"].share, found["x.y"].standing) == (0.5, "unmapped")
    assert found["server.address"].standing == "not_needed"
    assert report.attributes[0] is named, "names of model conventions come first"
    assert secret not in text_of(report)
    assert secret not in json.dumps(asdict(report), default=str)


def test_ids_inside_names_do_not_make_a_thousand_attributes(traffic: Traffic) -> None:
    traffic.send(*({"attributes": {f"run.{number:032x}.state": 1}} for number in range(10**15, 10**15 + 20)))
    assert [(a.attribute, a.spans) for a in build(traffic.store).attributes] == [("run.*.state", 20)]


def test_what_is_harmless_is_one_line_and_names_cannot_steer_the_terminal(traffic: Traffic) -> None:
    traffic.send({"attributes": {"thread.id": 1, "code.function": "f", "http.method": "GET", "evil\x1b[31m": 1}})
    text = text_of(build(traffic.store))
    assert "known and not needed: code.function, http.method, thread.id" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("attributes", "suspected"),
    [
        ({"llm.vendor": "x"}, True),
        ({"my.usage.inputTokens": 5}, True),
        ({"model_name": "m", "app.prompt": "hi"}, True),
        ({"model": "Beetle"}, False),
        ({"csrf_token": "x", "airline.model": "A320"}, False),
        ({"app.prompt": "Sure?"}, False),
    ],
)
def test_plain_scopes_that_look_like_model_calls_are_named(
    traffic: Traffic, attributes: dict[str, Any], suspected: bool
) -> None:
    traffic.send({"attributes": attributes, "dialect": "plain", "operation": None, "scope_name": "homemade"})
    report = build(traffic.store)
    assert [s.scope for s in report.suspects] == (["homemade"] if suspected else [])
    assert ("FIX  scope: homemade" in text_of(report)) is suspected


def test_an_event_that_no_dialect_read_is_counted(traffic: Traffic) -> None:
    traffic.send({"events": [{"name": "exception"}, {"name": "my.event"}, {"name": "my.event"}]})
    assert [(e.event, e.events) for e in build(traffic.store).events] == [("my.event", 2)]


def test_each_instrumentation_without_text_is_named_with_its_switch(traffic: Traffic) -> None:
    traffic.calls(3, "none")
    traffic.calls(3, "partial", scope_name=OPENINFERENCE, dialect="openinference")
    traffic.calls(3, "full", service_name="other")
    first, second = without_content(traffic.store)
    assert (first.instrumentation, first.without_text) == ("opentelemetry-instrumentation-genai-openai", 3)
    assert first.switch == "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only"
    assert (second.instrumentation, second.without_text, second.partly) == ("OpenInference", 0, 3)


def test_the_notice_is_gone_after_fifty_calls_with_text(traffic: Traffic) -> None:
    traffic.calls(200, "none")
    traffic.calls(40, "full")
    assert [item.without_text for item in without_content(traffic.store)] == [10]
    traffic.calls(10, "full")
    assert without_content(traffic.store) == ()


def test_a_few_calls_without_text_among_many_are_no_notice(traffic: Traffic) -> None:
    traffic.calls(46, "full")
    traffic.calls(4, "none")
    assert without_content(traffic.store) == ()


@pytest.mark.parametrize("reason", [{"status": "ERROR"}, {"duplicate_of": "i9"}, {"operation": "embeddings"}])
def test_failed_calls_duplicates_and_embeddings_owe_no_text(traffic: Traffic, reason: dict[str, Any]) -> None:
    traffic.send({}, calls=[{"content_state": "none", **reason}])
    assert without_content(traffic.store) == ()


def test_a_problem_says_what_it_costs_and_what_to_do(traffic: Traffic) -> None:
    traffic.send(
        {"flags": "time_in_future"},
        {"parent_span_id": "f" * 16},
        calls=[{"input_tokens": None, "request_model": None, "session_id": None}, {"session_id": None}],
    )
    report = build(traffic.store)
    wrong = {problem.name: problem for problem in report.problems if not problem.ok}
    assert set(wrong) == {"tokens", "model", "session", "impossible times", "orphans"}
    assert all(problem.costs and problem.advice for problem in wrong.values())
    assert wrong["tokens"].found.startswith("1 of 2 ")
    assert not report.well


def test_a_retrieval_apart_from_any_call_is_told_from_one_whose_documents_were_lost(traffic: Traffic) -> None:
    traffic.send({"operation": "retrieval"})
    traffic.send({"operation": "retrieval"}, calls=[{}])
    wrong = {problem.name: problem.found for problem in build(traffic.store).problems if not problem.ok}
    assert {name: found.split()[0] for name, found in wrong.items()} == {
        "retrievals apart": "1",
        "documents not joined": "1",
    }


def test_since_goes_by_arrival_and_large_stores_are_sampled(traffic: Traffic) -> None:
    for name in ("first", "second", "third"):
        traffic.send({"attributes": {f"x.{name}": 1}}, {})
    store = traffic.store
    sampled = build(store, sample_spans=2)
    assert (sampled.spans, sampled.sampled) == (6, 2)
    assert [a.attribute for a in sampled.attributes] == ["x.third"]
    assert "attributes are those of the newest 2" in text_of(sampled)
    assert build(store, since=utc_now() - timedelta(hours=1)).spans == 6
    assert text_of(build(store, since=utc_now() + timedelta(hours=1))).startswith("0 spans\nNothing arrived")


def test_an_empty_store_reports_nothing_and_is_well(traffic: Traffic) -> None:
    report = build(traffic.store)
    assert (report.spans, report.sources, report.well) == (0, (), True)
