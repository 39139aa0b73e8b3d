"""Since when something drifted, and which change it is blamed on."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from analysis.drift import Contribution, DriftResult
from analysis.drift.onset import Onset, find_onset
from analysis.drift.sentence import Change, verdict_sentence
from analysis.metrics.document_sets import find_new_documents
from analysis.scenes import Journal

START = datetime(2026, 11, 17)
TRUE = np.datetime64("2026-11-17T12:00", "us")


def stream(rng: np.random.Generator, share: float) -> tuple[np.ndarray, np.ndarray]:
    times = np.datetime64("2026-11-16", "us") + np.sort(rng.integers(0, 2 * 86_400, 600)).astype("timedelta64[s]")
    return times, rng.random(600) < np.where(times < TRUE, 0.01, share)


def test_the_interval_holds_the_true_onset_nineteen_times_in_twenty() -> None:
    held = 0
    for seed in range(60):
        onset = find_onset(*stream(np.random.default_rng(seed), 0.3))
        assert onset is not None
        assert abs(onset.at - TRUE) < np.timedelta64(8, "h")
        held += bool(onset.low <= TRUE <= onset.high)
    assert held >= 53


def test_where_nothing_stands_out_there_is_no_onset() -> None:
    found = [find_onset(*stream(np.random.default_rng(seed), 0.01)) for seed in range(20)]
    assert sum(onset is not None for onset in found) <= 4
    assert find_onset([], []) is None


JOURNAL = Journal(
    (
        Change(START + timedelta(hours=9), "deployment", "bank", "2.5", "bank"),
        Change(START + timedelta(hours=10), "knowledge_base", "staff-notes", "new"),
        Change(START + timedelta(hours=11, minutes=40), "prompt", "answer", "v4"),
    ),
    ("bank", "staff"),
    {"answer": {"bank"}},
    {7: "card freezes abroad"},
    ZoneInfo("UTC"),
)
ONSET = Onset(TRUE, TRUE - np.timedelta64(1, "h"), TRUE + np.timedelta64(1, "h"))
WINDOW = (START, START + timedelta(days=1))
DRIFTED = DriftResult(
    "cell_excess", 6.0, 0.07, 0.002, "drifted", 4_100, 980,
    contributions=(Contribution(7, 0.004, 0.07, 0.8, "share", (1,)),),
    p_floor=0.002, n_groups_reference=1_630, n_groups_current=412,
)  # fmt: skip


def test_only_changes_of_the_same_service_are_named_the_nearest_first() -> None:
    names = [change.name for change in JOURNAL.scene("prompt", "bank", WINDOW, onset=ONSET).changes]
    assert names == ["answer", "bank"]
    assert [change.name for change in JOURNAL.scene("prompt", "staff", WINDOW, onset=ONSET).changes] == ["staff-notes"]


def test_a_sentence_says_since_when_what_else_moved_and_what_was_deployed() -> None:
    others = {"context": "drifted", "behaviour": "stable"}
    told = verdict_sentence(DRIFTED, JOURNAL.scene("prompt", "bank", WINDOW, onset=ONSET, other_fields=others))
    assert told.startswith("Since Tue 17 Nov 12:00 (between 11:00 and 13:00), 7 % of prompts of bank (was 0.4 %)")
    assert "retrieved documents changed too, answers to the same questions did not change" in told
    assert "prompt answer v4 went live 20 min before" in told


def test_no_change_before_the_onset_is_said() -> None:
    late = Onset(*(at + np.timedelta64(20, "h") for at in (ONSET.at, ONSET.low, ONSET.high)))
    assert "no recorded change in the 6 h before" in verdict_sentence(
        DRIFTED, JOURNAL.scene("prompt", "bank", WINDOW, onset=late)
    )


def test_a_changed_set_of_documents_is_found_once_and_usual_growth_is_not() -> None:
    day = np.timedelta64(1, "D")
    begin = np.datetime64("2026-11-01", "us")
    usual = [(f"d{i}", begin + i * day / 10) for i in range(60)] + [
        (f"e{i}", begin + (10 + i) * day) for i in range(10)
    ]
    swapped = [(f"d{i}", begin + 15 * day) for i in range(30)]
    (burst,) = find_new_documents(*zip(*(usual + swapped), strict=True))
    assert burst.at == begin + 15 * day
    assert burst.replaced == 30
    assert find_new_documents(*zip(*usual, strict=True)) == []
    assert find_new_documents([], []) == []
