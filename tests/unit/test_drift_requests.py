"""Windows and versions of any choice: selected, compared, asked for on the screen, gated on the command line."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

import analysis.drift_cli
from analysis.analyzer import NEVER, Context, Shared
from analysis.analyzers.drift import Drift
from analysis.analyzers.monitor import Monitors
from analysis.calibrate import Calibration, Rate, calibrate
from analysis.drift_cli import drift
from analysis.ondemand import compare_selections, parse_selection
from analysis.requests import Requests, serving
from analysis.study import Study, read_pins
from dashboard import actions
from tests.integration.traffic import call
from undertow.errors import ConfigError
from undertow.search import pack_vectors
from undertow.settings import Settings
from undertow.store import data_version
from undertow.store.embedded import EmbeddedStore

UTC = ZoneInfo("UTC")
START = datetime(2026, 10, 1)
DAYS, A_DAY, CHANGED = 16, 80, 12
D = 12


def write(store: EmbeddedStore) -> None:
    """Sixteen days of eighty calls, each its own session; from day twelve on a third is new, under another prompt."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((8, D)) * 2.0
    rows, hashes, prompts, responses = [], [], [], []
    for number in range(DAYS * A_DAY):
        day = number // A_DAY
        fresh = day >= CHANGED and number % 3 == 0
        at = START + timedelta(days=day, minutes=15 * (number % A_DAY))
        hashes.append(f"{number:064x}")
        prompts.append(np.full(D, 4.0) if fresh else centres[number % 8])
        responses.append(prompts[-1] + (3.0 if day >= CHANGED else 0.0))
        rows.append(
            call(number, at)
            | {
                "session_id": f"s{number}",
                "service_name": "bank",
                "prompt_name": "answer",
                "request_model": "mn"[number % 2],
            }
            | {"prompt_version": "2" if day >= CHANGED else "1", "prompt_text_hash": hashes[-1]}
            | {"response_text_hash": hashes[-1], "prompt": f"question {number}", "trace_id": f"{number:032x}"}
        )
    noise = rng.standard_normal((2, len(rows), D)) * 0.4
    vectors = [np.asarray(side + one, np.float32) for side, one in zip((prompts, responses), noise, strict=True)]
    store.commit({"interactions": pa.Table.from_pylist(rows)}, key="calls")
    for field, matrix in zip(("prompt", "response"), vectors, strict=True):
        store.commit({"embeddings": pack_vectors(hashes, field, "fake", matrix, dtype="float32")}, key=field)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path / "undertow.duckdb") as opened:
        write(opened)
        yield opened


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def shared() -> Shared:
    """As if the embedder had been loaded."""
    made = Shared(None)
    made.__dict__["embedder"] = SimpleNamespace(name="fake")
    return made


def context(store: EmbeddedStore, settings: Settings, watermark: int = 0) -> Context:
    now = START + timedelta(days=DAYS)
    return Context(store, settings, uuid.uuid4().hex, now, watermark, data_version(store), shared=shared())


def compared(store: EmbeddedStore, settings: Settings, a: str, b: str, **more: Any) -> dict[str, Any]:
    more.setdefault("field", "prompt")
    return compare_selections(context(store, settings), parse_selection(a, UTC), parse_selection(b, UTC), **more)


# --- Selections -----------------------------------------------------------------------------------


def test_a_window_of_days_holds_both_of_them_and_an_open_end_holds_the_rest() -> None:
    window = parse_selection("2026-11-01..2026-11-07", ZoneInfo("Europe/Berlin"))
    assert (window.start, window.end) == (datetime(2026, 10, 31, 23), datetime(2026, 11, 7, 23))
    assert parse_selection("2026-11-01T10:00..", UTC).end == NEVER
    day = parse_selection("2026-11-01", UTC)
    assert (day.start, day.end) == (datetime(2026, 11, 1), datetime(2026, 11, 2))


@pytest.mark.parametrize(
    "text", ["yesterday", "..", "2026-11-07..2026-11-01", "prompt:x", "color:blue", "2026-13-01.."]
)
def test_what_selects_nothing_is_refused_with_the_known_forms(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write|empty"):
        parse_selection(text, UTC)


def test_selections_that_share_messages_are_refused(store, settings) -> None:
    with pytest.raises(ConfigError, match="overlap"):
        compared(store, settings, "2026-10-01..2026-10-05", "2026-10-05..2026-10-08")


# --- Comparisons ----------------------------------------------------------------------------------


def test_windows_are_compared_and_the_onset_is_found(store, settings) -> None:
    report = compared(store, settings, "2026-10-01..2026-10-10", "2026-10-11..2026-10-16")
    assert report["verdict"] == "drifted"
    assert "13 Oct 00" in report["sentence"] or "Tue 00:00" in report["sentence"]
    assert report["exemplars"]
    assert report["effect_interval"][0] <= report["effect"] <= report["effect_interval"][1] + 0.05
    assert compared(store, settings, "2026-10-01..2026-10-05", "2026-10-06..2026-10-10")["verdict"] == "stable"
    json.dumps(report)


def test_lengths_count_back_from_the_newest_message(store, settings) -> None:
    report = compared(store, settings, "7d", "4d")
    assert report["verdict"] == "drifted"
    assert report["n_current"] + report["n_reference"] == 11 * A_DAY


def test_prompt_versions_are_compared_by_their_name(store, settings) -> None:
    report = compared(store, settings, "prompt:answer@1", "prompt:answer@2", field="behaviour")
    assert report["verdict"] == "drifted"
    assert report["sentence"].startswith("From prompt:answer@1 to prompt:answer@2, ")
    assert compared(store, settings, "version:1", "version:9")["verdict"] == "insufficient"


def test_segments_are_tested_only_inside_an_alarm_and_name_their_parent(store, settings) -> None:
    for batch in Drift().run(replace(context(store, settings, 10**9), since=timedelta(days=4))):
        store.commit(batch.tables, key=uuid.uuid4().hex)
    rows = store.query("SELECT * FROM drift WHERE field = 'prompt' ORDER BY current_start").to_pylist()
    parents = {row["drift_id"]: row for row in rows if row["parent_id"] is None}
    segments = [row for row in rows if row["parent_id"] is not None]
    assert {row["segment"] for row in segments} >= {"model=m", "model=n"}
    assert all(parents[row["parent_id"]]["verdict"] == "drifted" for row in segments)
    first = next(row for row in parents.values() if row["verdict"] == "drifted")
    assert first["current_start"] == START + timedelta(days=CHANGED)
    assert first["onset_low"] <= START + timedelta(days=CHANGED) <= first["onset_high"] + timedelta(hours=1)


# --- Requests of the screen -------------------------------------------------------------------------


def requests_of(store: EmbeddedStore) -> dict[str, dict[str, Any]]:
    return {row["request_id"]: row for row in store.query("SELECT * FROM requests").to_pylist()}


def test_what_the_screen_asks_for_is_done_within_a_second_or_so(store, settings) -> None:
    asked = actions.ask_compare(store, "2026-10-01..2026-10-10", "2026-10-13..", "prompt", "bank", author="ann")
    bad = actions.ask_compare(store, "never", "7d", "prompt", None, author="ann")
    with serving(store, settings, shared()):
        limit = time.monotonic() + 180
        while requests_of(store)[bad]["state"] == "asked" and time.monotonic() < limit:
            time.sleep(0.05)
    row = requests_of(store)[asked]
    assert row["state"] == "done"
    assert row["requested_by"] == "ann"
    assert json.loads(row["result"])["verdict"] == "drifted"
    assert requests_of(store)[bad]["state"] == "failed"
    assert "'never' selects nothing" in requests_of(store)[bad]["error"]


def test_a_request_that_a_dead_process_left_is_taken_again(store, settings) -> None:
    asked = actions.ask_compare(store, "7d", "4d", "prompt", None, author="ann")
    left = requests_of(store)[asked] | {"state": "running"}
    table = pa.Table.from_pylist([{name: value for name, value in left.items() if value is not None}])
    store.commit({"requests": table}, key="left")
    assert Requests(store, settings, shared()).take() == 1
    assert requests_of(store)[asked]["state"] == "done"


# --- Monitors ---------------------------------------------------------------------------------------


def watched(store: EmbeddedStore, settings: Settings, watermark: int = 0) -> list[dict[str, Any]]:
    for batch in Monitors().run(context(store, settings, watermark)):
        store.commit(batch.tables, key=uuid.uuid4().hex)
    sql = "SELECT * FROM drift WHERE statistic = 'monitor' AND field = 'prompt' ORDER BY current_start"
    return store.query(sql).to_pylist()


@pytest.fixture
def short(settings: Settings) -> Settings:
    """Ten days of reference."""
    return settings.model_copy(update={"analysis": settings.analysis.model_copy(update={"reference": "10d"})})


def test_a_monitor_watches_from_the_end_of_its_reference_and_alarms_at_the_new_topic(store, short) -> None:
    rows = watched(store, short)
    assert [row["verdict"] for row in rows][:1] == ["stable"]
    assert rows[-1]["verdict"] == "drifted"
    assert rows[-1]["evidence"] >= rows[-1]["threshold"]
    assert "have moved away from those of 01 Oct to 12 Oct" in rows[-1]["sentence"]


def test_a_monitor_fed_twice_bets_once_and_begins_anew_when_acknowledged(store, short) -> None:
    first = watched(store, short)
    head = data_version(store)
    assert watched(store, short, head)[-1]["n_current"] == first[-1]["n_current"]
    before = store.query("SELECT body FROM artifacts WHERE artifact_id = 'monitor:bank:prompt'").to_pylist()
    actions.acknowledge(store, "bank", "prompt", "x", author="ann")
    store.commit({"runs": pa.Table.from_pylist([_run(START)])}, key="run")
    watched(store, short, data_version(store))
    after = store.query("SELECT body FROM artifacts WHERE artifact_id = 'monitor:bank:prompt'").to_pylist()
    assert before != after


def _run(at: datetime) -> dict[str, Any]:
    return {"run_id": "r", "analyzer": "monitor", "version": "2", "status": "ok", "started_at": at, "watermark": 1}


def test_the_newest_pin_counts_and_an_empty_one_unpins(store) -> None:
    actions.pin_reference(store, "bank", START, START + timedelta(days=5), author="ann")
    assert read_pins(store)["bank"].end == START + timedelta(days=5)
    actions.pin_reference(store, "bank", None, None, author="ann")
    assert read_pins(store) == {}


# --- Calibration and the command line ----------------------------------------------------------------


def test_calibration_reports_rates_with_intervals_and_what_would_be_seen(store, settings) -> None:
    study = Study(context(store, settings), START, START + timedelta(days=CHANGED))
    steps: list[tuple[int, int]] = []

    def watch(done: int, total: int, what: str) -> None:
        steps.append((done, total))

    (found,) = calibrate(study, repeats=12, fields=("prompt",), report=watch)
    assert len(steps) > 12
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]
    assert found.exchanged["0.05"].n == 12
    assert found.exchanged["0.05"].alarms <= 3
    assert found.sessions_a_day == A_DAY
    assert set(found.days) == {"0.01", "0.05", "0.1"}
    json.dumps(found.to_json())


def test_calibration_says_whether_the_level_is_kept_and_what_to_do_where_it_is_not() -> None:
    kept = Calibration("bank", "prompt", exchanged={"0.05": Rate.of(2, 40)}, days={"0.05": Rate.of(1, 20)})
    assert kept.sentence == (
        "Prompts of bank: 2 of 40 alarms (1 to 17 %) where nothing changed, not above the level of 5 %;"
        " 1 of 20 alarms (1 to 24 %) between real days."
    )
    wobbling = replace(kept, days={"0.05": Rate.of(10, 20)})
    assert "10 of 20 alarms (30 to 70 %) between real days, above the level" in wobbling.sentence
    assert "pin a reference" in wobbling.sentence
    above = replace(kept, exchanged={"0.05": Rate.of(12, 40)}, without_session=0.6)
    assert above.sentence.endswith(
        "above the level of 5 %: 60 % of the messages carry no session id, so that messages which belong together were"
        " counted apart; send session.id."
    )
    assert replace(kept, needed="at least 8 days, got 2").sentence == (
        "Prompts of bank: not measured; needed: at least 8 days, got 2."
    )


def test_a_rate_of_none_still_has_an_interval() -> None:
    assert Rate.of(0, 0) == Rate(0, 0, 0.0, 1.0)
    assert Rate.of(0, 100).high == pytest.approx(0.037, abs=1e-3)


def invoke(store: EmbeddedStore, settings: Settings, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    store.close()
    monkeypatch.setenv("UNDERTOW_DATA_DIR", str(settings.data_dir))
    monkeypatch.setattr(analysis.drift_cli, "_ready", context)
    return CliRunner().invoke(drift, list(arguments), standalone_mode=True)


def test_the_gate_exits_with_three_only_when_asked_and_drifted(store, settings, monkeypatch) -> None:
    windows = ("2026-10-01..2026-10-10", "2026-10-13..")
    found = invoke(store, settings, monkeypatch, "compare", *windows, "--exit-code")
    assert found.exit_code == 3, found.output
    assert "verdict drifted" in found.output
    assert invoke(store, settings, monkeypatch, "compare", *windows).exit_code == 0
    quiet = invoke(
        store, settings, monkeypatch, "compare", "2026-10-01..2026-10-05", "2026-10-06..2026-10-10", "--exit-code"
    )
    assert quiet.exit_code == 0
    few = invoke(store, settings, monkeypatch, "compare", "version:1", "version:9", "--json", "--exit-code")
    assert few.exit_code == 0
    assert json.loads(few.output)["verdict"] == "insufficient"
