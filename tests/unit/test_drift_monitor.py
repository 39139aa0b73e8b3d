"""The monitor keeps its level however often one looks, finds what is new, and survives being stored."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.drift import DriftMonitor

D = 12
CENTRES = np.random.default_rng(1).standard_normal((12, D)) * 2.0
NEW = np.random.default_rng(2).standard_normal(D) * 2.0


def draw(rng: np.random.Generator, n: int, share: float = 0.0) -> np.ndarray:
    """Messages of twelve topics, a share of them of a thirteenth."""
    rows = CENTRES[rng.integers(len(CENTRES), size=n)] + 0.5 * rng.standard_normal((n, D))
    planted = rng.random(n) < share
    rows[planted] = NEW + 0.5 * rng.standard_normal((int(planted.sum()), D))
    return rows.astype(np.float32)


def sessions(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Sessions of five near-duplicates."""
    first = draw(rng, n)
    return np.repeat(first, 5, axis=0) + 0.001 * rng.standard_normal((5 * n, D)).astype(np.float32), np.repeat(
        np.arange(n), 5
    )


@pytest.mark.parametrize("kind", ["independent", "sessions", "sessions, reference ungrouped"])
def test_at_most_one_in_twenty_quiet_streams_alarms_at_any_look(kind: str) -> None:
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng([3, seed])
        if kind == "independent":
            reference, groups, stream, names = draw(rng, 600), None, draw(rng, 480), np.arange(480)
        else:
            (reference, groups), (stream, names) = sessions(rng, 200), sessions(rng, 240)
        monitor = DriftMonitor(reference, reference_groups=None if "ungrouped" in kind else groups, rng=seed)
        looks = [monitor.update(*part) for part in zip(np.split(stream, 120), np.split(names, 120), strict=True)]
        alarms += looks[-1].alarm
    assert alarms <= 5  # binomial: 6 or more of 40 at 5 % happen once in 70 suites


def test_a_handful_of_texts_repeated_for_ever_is_no_change() -> None:
    texts = np.random.default_rng(11).standard_normal((5, 64)).astype(np.float32)
    for seed in range(5):
        rng = np.random.default_rng([12, seed])
        monitor = DriftMonitor(texts[rng.integers(5, size=600)], rng=seed)
        stream = texts[rng.integers(5, size=500)]
        for start in range(0, 500, 9):
            state = monitor.update(stream[start : start + 9], range(start, min(500, start + 9)))
        assert not state.alarm


def test_a_new_topic_of_five_per_cent_is_found_within_1650_messages() -> None:
    found = 0
    for seed in range(6):
        rng = np.random.default_rng([4, seed])
        found += DriftMonitor(draw(rng, 2_000), rng=seed).update(draw(rng, 1_650, 0.05), range(1_650)).alarm
    assert found >= 5


def test_a_session_counts_once_however_many_messages_it_has() -> None:
    rng = np.random.default_rng(5)
    monitor = DriftMonitor(draw(rng, 600))
    storm = np.repeat(NEW[None].astype(np.float32), 500, axis=0)
    assert not monitor.update(storm, ["one session"] * 500).alarm
    assert monitor.state.sessions == 1
    assert monitor.update(storm, range(500)).alarm


def test_how_a_stream_is_cut_into_updates_changes_nothing() -> None:
    rng = np.random.default_rng(6)
    reference, stream = draw(rng, 500), draw(rng, 450, 0.1)
    whole = DriftMonitor(reference).update(stream, range(450))
    monitor = DriftMonitor(reference)
    for part in np.array_split(np.arange(450), 37):
        state = monitor.update(stream[part], part)
    assert state == whole


def test_a_restored_monitor_continues_as_if_nothing_had_happened() -> None:
    rng = np.random.default_rng(7)
    reference, stream = draw(rng, 500), draw(rng, 700, 0.05)
    monitor = DriftMonitor(reference)
    monitor.update(stream[:333], range(333))
    restored = DriftMonitor.from_bytes(monitor.to_bytes())
    assert restored.state == monitor.state
    rest = monitor.update(stream[300:], range(300, 700))
    assert restored.update(stream[300:], range(300, 700)) == rest
    assert rest.sessions == 700


def test_an_alarm_stays_and_evidence_never_falls() -> None:
    rng = np.random.default_rng(8)
    monitor = DriftMonitor(draw(rng, 600))
    assert monitor.update(draw(rng, 300, 0.5), range(300)).alarm
    before = monitor.state.evidence
    after = monitor.update(draw(rng, 300), range(300, 600))
    assert after.alarm
    assert after.evidence >= before >= after.threshold == pytest.approx(20.0)


def test_too_small_a_reference_says_what_is_needed_instead_of_alarming() -> None:
    rng = np.random.default_rng(9)
    state = DriftMonitor(draw(rng, 20)).update(draw(rng, 300, 0.5), range(300))
    assert (state.alarm, state.evidence) == (False, 1.0)
    assert "60 sessions" in state.needed
    restored = DriftMonitor.from_bytes(DriftMonitor(draw(rng, 20)).to_bytes())
    assert restored.state.needed


def test_wrong_input_is_refused_with_what_was_got() -> None:
    rng = np.random.default_rng(10)
    monitor = DriftMonitor(draw(rng, 300))
    with pytest.raises(ValueError, match="expected 3"):
        monitor.update(draw(rng, 3), ["a"])
    with pytest.raises(ValueError, match="dimensions"):
        monitor.update(np.zeros((2, D + 1), np.float32))
    with pytest.raises(ValueError, match="alpha"):
        DriftMonitor(draw(rng, 300), alpha=1.0)
