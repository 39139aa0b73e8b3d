"""The demo's verdict: what counts as found, and what as not planted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from demo.children import Ports, environment
from demo.events import planted_events
from demo.folder import MARKER, prepare
from demo.knowledge import CUSTOMER, STAFF
from demo.report import DemoReport, make_report
from undertow.errors import ConfigError
from undertow.store import Store, open_store

END = datetime(2026, 11, 22)
EVENTS = planted_events(END)
TRUTH = {f"{n:032x}": "new_topic" if n < 20 else "" for n in range(40)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"duckdb://{tmp_path}/demo.duckdb")
    yield opened
    opened.close()


def _commit(store: Store, table: str, *rows: dict[str, Any]) -> None:
    store.commit({table: pa.Table.from_pylist(list(rows))}, key=f"{table}-{rows}")


def _drift(field: str, service: str, day: datetime, verdict: str = "drifted") -> dict[str, Any]:
    return {
        "drift_id": f"{field}:{service}:{day}",
        "field": field,
        "segment": service,
        "current_start": day,
        "current_end": day + timedelta(days=1),
        "verdict": verdict,
        "sentence": f"{field} moved",
    }


def _alert(name: str, service: str | None, start: datetime, hours: float, **extra: Any) -> dict[str, Any]:
    end = start + timedelta(hours=hours)
    facts = {"start": start.isoformat(), "end": end.isoformat(), "service_name": service, **extra}
    return {
        "event_id": f"{name}:{start}",
        "alert_id": f"builtin:{name}",
        "kind": "fired",
        "happened_at": start,
        "sentence": f"{name} fired",
        "evidence": json.dumps(facts),
    }


def _new_topic(store: Store, born_at: datetime, members: range, origin: str = "emerging") -> None:
    rows = [{"interaction_id": f"{n:032x}:{n:016x}", "field": "prompt", "topic_id": 5} for n in members]
    born = {"event_id": "e", "topic_id": 5, "event": "born", "happened_at": born_at, "origin": origin}
    _commit(store, "topics", {"topic_id": 5, "label": "travel shield", "level": 0, "state": "provisional"})
    _commit(store, "topic_history", born)
    _commit(store, "topic_assignments", *rows)


def _report(store: Store) -> DemoReport:
    return make_report(store, EVENTS.values(), TRUTH)


def _found(report: DemoReport) -> dict[str, bool | None]:
    return {event.kind: event.found for event in report.events}


def test_nothing_is_found_in_an_empty_store(store: Store) -> None:
    report = _report(store)

    assert not report.complete
    assert not any(_found(report).values())
    assert report.unplanted == ()


def test_the_required_events_complete_the_demo(store: Store) -> None:
    day = EVENTS["prompt_edit"].start.replace(hour=0)
    _new_topic(store, EVENTS["new_topic"].start, range(22))
    _commit(store, "drift", _drift("behaviour", CUSTOMER, day))
    _commit(
        store,
        "alert_events",
        _alert("groundedness", STAFF, EVENTS["ungrounded"].start, 9),
        _alert("cost", CUSTOMER, EVENTS["cost_spike"].start, 3),
    )

    report = _report(store)

    assert report.complete
    assert report.unplanted == ()
    assert json.loads(json.dumps(report.to_json()))["complete"] is True


@pytest.mark.parametrize(
    ("field", "service", "verdict"),
    [("behaviour", STAFF, "drifted"), ("response", CUSTOMER, "drifted"), ("behaviour", CUSTOMER, "stable")],
)
def test_drift_of_another_service_or_field_does_not_find_the_prompt_edit(
    store: Store, field: str, service: str, verdict: str
) -> None:
    _commit(store, "drift", _drift(field, service, EVENTS["prompt_edit"].start.replace(hour=0), verdict))

    assert _found(_report(store))["prompt_edit"] is False


def test_drift_before_the_prompt_edit_does_not_find_it_and_was_not_planted(store: Store) -> None:
    _commit(store, "drift", _drift("behaviour", CUSTOMER, EVENTS["prompt_edit"].start - timedelta(days=3)))

    report = _report(store)

    assert _found(report)["prompt_edit"] is False
    assert [alarm.what for alarm in report.unplanted] == ["behaviour"]


def test_a_topic_of_other_questions_is_not_the_planted_one(store: Store) -> None:
    _new_topic(store, EVENTS["new_topic"].start, range(15, 40))

    assert _found(_report(store))["new_topic"] is False


def test_a_topic_met_in_the_first_look_at_the_past_did_not_emerge(store: Store) -> None:
    _new_topic(store, EVENTS["new_topic"].start, range(20), origin="fit")

    assert _found(_report(store))["new_topic"] is False


def test_drift_of_the_questions_alone_does_not_find_the_new_topic_but_is_told(store: Store) -> None:
    start = EVENTS["new_topic"].start
    _commit(store, "drift", _drift("prompt", CUSTOMER, start.replace(hour=0)))

    (event,) = (event for event in _report(store).events if event.kind == "new_topic")

    assert event.found is False
    assert event.found_at is None
    assert event.by == ("prompt drift",)

    _new_topic(store, start + timedelta(days=1), range(20))

    (event,) = (event for event in _report(store).events if event.kind == "new_topic")

    assert event.found is True
    assert event.found_at == (start + timedelta(days=2)).replace(hour=0, minute=0)
    assert event.by == ("prompt drift", "new topic: travel shield")


def test_an_alarm_about_a_topic_of_usual_questions_was_not_planted(store: Store) -> None:
    start = EVENTS["new_topic"].start
    _new_topic(store, start, range(20, 40))
    _commit(store, "alert_events", _alert("new_topic", None, start, 0, topic_id=5))

    assert [alarm.what for alarm in _report(store).unplanted] == ["new_topic"]


def test_an_alarm_about_the_planted_topic_may_name_an_earlier_hour_of_its_first_day(store: Store) -> None:
    earlier = EVENTS["new_topic"].start - timedelta(hours=4)
    _new_topic(store, earlier, range(22))
    _commit(store, "alert_events", _alert("new_topic", None, earlier, 0, topic_id=5))

    report = _report(store)

    assert _found(report)["new_topic"] is True
    assert report.unplanted == ()


def test_an_alert_in_a_quiet_week_was_not_planted(store: Store) -> None:
    _commit(store, "alert_events", _alert("cost", CUSTOMER, EVENTS["cost_spike"].start - timedelta(days=20), 2))

    assert [alarm.what for alarm in _report(store).unplanted] == ["cost"]


def test_a_folder_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("important")

    with pytest.raises(ConfigError, match="not a demo"):
        prepare(tmp_path)

    assert (tmp_path / "thesis.txt").read_text() == "important"


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    prepare(folder)
    (folder / "undertow.duckdb").write_text("old")
    (folder / "journal").mkdir()

    prepare(folder)

    assert [path.name for path in folder.iterdir()] == [MARKER]


def test_the_users_own_settings_do_not_reach_the_children(tmp_path: Path) -> None:
    mine = {
        "UNDERTOW_STORE__URL": "duckdb:mine",
        "UNDERTOW_DATA_DIR": "/mine",
        "UNDERTOW_MODELS_DIR": "/models",
        "PATH": "/bin",
    }

    env = environment(tmp_path, Ports(1, 2, 3, 4), mine)

    assert "UNDERTOW_STORE__URL" not in env
    assert env["UNDERTOW_DATA_DIR"] == str(tmp_path)
    assert (env["UNDERTOW_MODELS_DIR"], env["PATH"]) == ("/models", "/bin")
