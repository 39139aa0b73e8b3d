"""Days held against comparable days, and p-values that stop drawing early."""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom

from analysis.analyzer import Context, Shared
from analysis.analyzers.drift import Drift
from analysis.drift import compare, compare_behaviour, compare_to_past, held_against
from analysis.drift.comparison import FIRST, permuted
from analysis.drift.permutation import FreeDraw
from analysis.drift.result import DriftResult
from analysis.turns import Part, read_turns
from tests.integration.traffic import call
from undertow.search import pack_vectors
from undertow.settings import Settings
from undertow.store import data_version
from undertow.store.embedded import EmbeddedStore

START = datetime(2026, 8, 1)
DAYS, SESSIONS, D = 47, 20, 12
CENTRES = 2.0 * np.random.default_rng(3).standard_normal((8, D))


def write(store: EmbeddedStore, *, fresh: float = 0.0) -> None:
    """Forty-seven days of sixty messages in sessions of three with a mix that wobbles; the last may bring a subject."""
    rng = np.random.default_rng(4)
    rows, vectors = [], []
    for day in range(DAYS):
        mix = np.exp(2.0 * rng.standard_normal(6))
        subject = rng.choice(6, SESSIONS, p=mix / mix.sum())
        if day == DAYS - 1:
            subject[: round(fresh * SESSIONS)] = 7
        for session in range(SESSIONS):
            for turn in range(3):
                number = len(rows)
                at = START + timedelta(days=day, minutes=60 * session + turn)
                more = {"session_id": f"{day}-{session}", "service_name": "bank", "trace_id": f"{number:032x}"}
                more |= {"prompt_text_hash": f"{number:064x}", "prompt": f"question {number}"}
                rows.append(call(number, at) | more)
                vectors.append(CENTRES[subject[session]] + 0.3 * rng.standard_normal(D))
    store.commit({"interactions": pa.Table.from_pylist(rows)}, key="calls")
    hashes = [row["prompt_text_hash"] for row in rows]
    packed = pack_vectors(hashes, "prompt", "fake", np.asarray(vectors, np.float32), dtype="float32")
    store.commit({"embeddings": packed}, key="vectors")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path / "undertow.duckdb") as opened:
        yield opened


def at_the_end(store: EmbeddedStore, folder: Path) -> Context:
    """Return the context of a run that judges the last day."""
    shared = Shared(None)
    shared.__dict__["embedder"] = SimpleNamespace(name="fake")
    now = START + timedelta(days=DAYS)
    settings = Settings(data_dir=folder)
    return Context(
        store, settings, uuid.uuid4().hex, now, 10**9, data_version(store), timedelta(hours=23), shared=shared
    )


def last_day(store: EmbeddedStore, folder: Path) -> dict[str, object]:
    """Return what the analyzer writes about the questions of the last day."""
    for batch in Drift().run(at_the_end(store, folder)):
        store.commit(batch.tables, delete=batch.delete, key=uuid.uuid4().hex)
    (row,) = store.query("SELECT * FROM drift WHERE field = 'prompt' AND parent_id IS NULL").to_pylist()
    return row


def test_a_day_no_more_unusual_than_other_days_is_stable_and_says_by_what_rank(store, tmp_path) -> None:
    write(store)
    row = last_day(store, tmp_path)
    assert row["verdict"] == "stable"
    assert row["p_value"] > 0.05
    assert "by rank among 46 past windows" in str(row["sentence"])


def test_a_new_subject_is_confirmed_by_its_rank_among_wobbling_days(store, tmp_path) -> None:
    write(store, fresh=0.5)
    row = last_day(store, tmp_path)
    assert row["verdict"] == "drifted"
    assert "confirmed by the rank among 46 past windows" in str(row["sentence"])


def test_however_long_the_past_no_more_of_it_is_read_than_the_rank_can_use(store, tmp_path, monkeypatch) -> None:
    write(store, fresh=0.5)
    early = call(10_000, START - timedelta(days=3_000)) | {"service_name": "bank", "prompt_text_hash": f"{0:064x}"}
    store.commit({"interactions": pa.Table.from_pylist([early])}, key="long ago")
    read: list[dict[str, object]] = []

    def watched(*args: object, **bounds: object) -> object:
        read.append(bounds)
        return read_turns(*args, **bounds)

    monkeypatch.setattr("analysis.analyzers.drift_past.read_turns", watched)
    monkeypatch.setattr("analysis.analyzers.drift_past.MOST_WINDOWS", 100)
    assert "confirmed by the rank among 46 past windows" in str(last_day(store, tmp_path)["sentence"])
    (bounds,) = read
    assert bounds["part"] == Part("bank", 50_000)
    assert bounds["end"] - bounds["start"] == timedelta(days=160)


def test_of_a_large_service_the_same_whole_sessions_are_read_every_time(store, tmp_path) -> None:
    write(store)
    other = [call(20_000 + i, START) | {"service_name": "shop", "prompt_text_hash": f"{i:064x}"} for i in range(9)]
    store.commit({"interactions": pa.Table.from_pylist(other)}, key="another service")
    context = at_the_end(store, tmp_path)
    whole = read_turns(context, ("prompt",), part=Part("bank", 10**6)).frame
    assert len(whole) == 60 * DAYS
    part = read_turns(context, ("prompt",), part=Part("bank", 1_000))
    assert 500 < len(part) < 1_500
    assert part.vectors["prompt"].shape == (len(part), D)
    assert part.frame.groupby("session_id").size().unique().tolist() == [3]
    later = read_turns(context, ("prompt",), start=START + timedelta(days=40), part=Part("bank", 150)).frame
    assert set(later["session_id"]) <= set(part.frame["session_id"])


def codes(store: EmbeddedStore) -> dict[str, str]:
    """Return the run that wrote each artifact."""
    return {row["artifact_id"]: row["run_id"] for row in store.query("SELECT * FROM artifacts").to_pylist()}


def test_a_large_window_costs_a_count_and_its_alarm_is_confirmed_on_vectors(store, tmp_path, monkeypatch) -> None:
    for module in ("analysis.study", "analysis.analyzers.drift_codes"):
        monkeypatch.setattr(f"{module}.MOST_REFERENCE_ROWS", 500)
    write(store, fresh=0.6)
    row = last_day(store, tmp_path)
    assert row["verdict"] == "drifted"
    assert "stored codes of codebook 1, confirmed by a pooled refit" in str(row["sentence"])
    first = codes(store)
    assert len(first) == 1 + 28 + 1
    session = next(name for name in map(str, range(99)) if zlib.crc32(name.encode()) % 2)
    late = call(9_999, START + timedelta(days=30)) | {"session_id": session, "service_name": "bank", "load_seq": 10**6}
    late |= {"prompt_text_hash": f"{0:064x}", "prompt": "late", "trace_id": f"{9_999:032x}"}
    store.commit({"interactions": pa.Table.from_pylist([late])}, key="late")
    assert last_day(store, tmp_path)["verdict"] == "drifted"
    second = codes(store)
    written = [name for name in second if second[name] != first[name]]
    assert written == ["codes:bank:prompt:2026-08-31"]


def test_codes_that_no_window_can_need_any_more_are_removed(store, tmp_path, monkeypatch) -> None:
    for module in ("analysis.study", "analysis.analyzers.drift_codes"):
        monkeypatch.setattr(f"{module}.MOST_REFERENCE_ROWS", 500)
    write(store)
    last_day(store, tmp_path)
    days = {name for name in codes(store) if name.startswith("codes:")}
    old = {"kind": "codes", "version": "1", "run_id": "r", "created_at": START, "body": b""}
    kept = [f"codes:bank:prompt:{START.date() - timedelta(days=8)}", "codes:bank:prompt:2025-02-03"]
    gone = ["codes:bank:prompt:2026-01-01", "codes:a:shop:prompt:2026-09-16", "codes:bank:response:2026-09-16"]
    stored = [{**old, "artifact_id": name} for name in kept + gone]
    stored.append({**old, "artifact_id": "codes:bank:prompt:2026-08-05", "version": "7"})
    pin = {"service": "bank", "start": "2025-02-03T00:00:00", "end": "2025-02-04T00:00:00"}
    asked = {"request_id": "p", "kind": "pin", "arguments": json.dumps(pin), "requested_at": START, "state": "done"}
    tables = {"artifacts": pa.Table.from_pylist(stored), "requests": pa.Table.from_pylist([asked])}
    store.commit(tables, key="old codes")
    last_day(store, tmp_path)
    assert {name for name in codes(store) if name.startswith("codes:")} == days | set(kept)


PERMUTED = DriftResult("mmd", 1.0, 0.1, 0.001, "drifted", 900, 60, p_floor=0.001)
RANKED = DriftResult("novelty", 2.0, 0.2, 0.02, "drifted", 900, 60, p_floor=0.02, method="rank among 49 past windows")


@pytest.mark.parametrize(
    ("ranked", "alpha", "p_value", "verdict"),
    [
        (RANKED, 0.05, 0.02, "drifted"),
        (RANKED, 0.005, 0.001, "drifted"),
        (replace(RANKED, p_value=0.3), 0.005, 0.3, "stable"),
        (replace(RANKED, verdict="insufficient"), 0.005, 0.001, "drifted"),
    ],
    ids=["the floor allows the level", "confirmed", "not confirmed", "too few windows"],
)
def test_the_rank_is_the_headline_or_has_to_confirm(ranked, alpha, p_value, verdict) -> None:
    told = held_against(ranked, PERMUTED, alpha)
    assert (told.p_value, told.verdict) == (p_value, verdict)


def test_drawing_stops_early_and_keeps_the_level_and_the_floor() -> None:
    found, nulls = 0, 200
    for seed in range(nulls):
        rng = np.random.default_rng([5, seed])
        is_current = np.arange(40) < 20
        scores = rng.standard_normal(40)
        bound = SimpleNamespace(values=lambda draw, scores=scores: draw.labels() @ scores)
        drawn = permuted(
            [bound],
            FreeDraw.observed(is_current),
            lambda n, rng=rng, now=is_current: FreeDraw.random(n, now, rng),
            999,
            0.05,
        )
        found += drawn.p_value <= 0.05
        assert drawn.p_floor <= 1 / 1000
        assert len(drawn.table) == FIRST + 1 or len(drawn.table) >= 1000
    assert found <= binom.ppf(0.9995, nulls, 0.05)


def test_effects_of_small_windows_stay_shares() -> None:
    for seed in range(8):
        rng = np.random.default_rng([6, seed])
        rows = np.concatenate([rng.standard_normal((30, 6)), rng.standard_normal((30, 6)) + 60.0])
        result = compare(rows[:30], rows[30:], permutations=99, rng=seed)
        assert 0.0 <= result.effect <= 1.0
        assert all(0.0 <= part.effect <= 1.0 for part in result.parts.values())
        assert 0.0 <= result.effect_interval[0] <= result.effect_interval[1] <= 1.0


def test_behaviour_without_a_single_message_is_insufficient() -> None:
    nothing = np.empty((0, 6), dtype=np.float32)
    assert compare_behaviour(nothing, nothing, nothing, nothing).verdict == "insufficient"


def test_windows_of_one_long_session_that_no_sample_holds_still_have_a_rank(monkeypatch) -> None:
    monkeypatch.setattr("analysis.drift.past.SEARCH_ROWS", 400)
    rng = np.random.default_rng(8)
    past = [rng.standard_normal((40, 6)) for _ in range(45)]
    sessions = [np.zeros(40) if day % 9 == 0 else np.arange(40) for day in range(45)]
    today = rng.standard_normal((40, 6))
    result = compare_to_past(past, today, past_groups=sessions, current_groups=np.zeros(40))
    assert result.p_value >= result.p_floor
    assert all(np.isfinite(part.value) and part.p_value >= result.p_floor for part in result.parts.values())
