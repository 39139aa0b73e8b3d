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


KINDS = ["independent", "sessions", "sessions, reference ungrouped"]


@pytest.mark.parametrize("kind", KINDS)
def test_hardly_any_quiet_stream_alarms_at_any_look(kind: str) -> None:
    assert quiet_alarms(kind, 2) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_at_most_one_in_twenty_quiet_streams_alarms_at_any_look(kind: str) -> None:
    assert quiet_alarms(kind, 40) <= 5  # six or more of 40 at 5 % happen once in 70 suites


def quiet_alarms(kind: str, streams: int) -> int:
    alarms = 0
    for seed in range(streams):
        rng = np.random.default_rng([3, seed])
        if kind == "independent":
            reference, groups, stream, names = draw(rng, 600), None, draw(rng, 480), np.arange(480)
        else:
            (reference, groups), (stream, names) = sessions(rng, 200), sessions(rng, 240)
        monitor = DriftMonitor(reference, reference_groups=None if "ungrouped" in kind else groups, rng=seed)
        looks = [monitor.update(*part) for part in zip(np.split(stream, 120), np.split(names, 120), strict=True)]
        alarms += looks[-1].alarm
    return alarms


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
    rng = np.random.default_rng(4)
    assert alarmed(DriftMonitor(draw(rng, 2_000)), draw(rng, 1_650, 0.05), 1)


def test_a_new_topic_of_five_per_cent_is_found_in_600_sessions_of_five() -> None:
    rng = np.random.default_rng(14)
    reference, groups = sessions(rng, 600)
    stream = np.repeat(draw(rng, 600, 0.05), 5, axis=0)
    assert alarmed(DriftMonitor(reference, reference_groups=groups), stream, 5)


def test_what_begins_late_is_found_too() -> None:
    rng = np.random.default_rng(15)
    monitor = DriftMonitor(draw(rng, 600))
    assert not alarmed(monitor, draw(rng, 600), 1)
    assert alarmed(monitor, draw(rng, 400, 0.3), 1, first=600)


def alarmed(monitor: DriftMonitor, stream: np.ndarray, length: int, first: int = 0) -> bool:
    """Feed fifty messages at a time, in sessions of a length, until the monitor alarms."""
    for start in range(0, len(stream), 50):
        part = stream[start : start + 50]
        if monitor.update(part, (first + start + np.arange(len(part))) // length).alarm:
            return True
    return False


def rhythm(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Messages of two parts of the day, 100 in each, that ask about different topics; and the parts."""
    part = np.arange(n) // 100 % 2
    topic = 6 * part + rng.integers(6, size=n)
    return (CENTRES[topic] + 0.5 * rng.standard_normal((n, D))).astype(np.float32), part


def test_a_mix_that_follows_the_hour_is_no_change_when_the_hours_are_told() -> None:
    rng = np.random.default_rng(16)
    (reference, before), (stream, part) = rhythm(rng, 400), rhythm(rng, 200)
    knowing, ignorant = (DriftMonitor(reference, reference_strata=strata) for strata in (before, None))
    assert not knowing.update(stream, range(200), part).alarm
    assert ignorant.update(stream, range(200)).alarm


def test_a_change_within_the_hours_is_found_though_the_hours_are_told() -> None:
    rng = np.random.default_rng(17)
    (reference, before), (stream, part) = rhythm(rng, 400), rhythm(rng, 200)
    stream[::5] = NEW + 0.5 * rng.standard_normal((40, D)).astype(np.float32)
    monitor = DriftMonitor(reference, reference_strata=before)
    assert monitor.update(stream, range(200), part).alarm


def test_a_session_counts_once_however_many_messages_it_has() -> None:
    rng = np.random.default_rng(5)
    monitor = DriftMonitor(draw(rng, 600))
    storm = np.repeat(NEW[None].astype(np.float32), 500, axis=0)
    assert not monitor.update(storm, ["one session"] * 500).alarm
    assert monitor.state.sessions == 1
    assert monitor.update(storm, range(500)).alarm


def test_how_a_stream_is_cut_into_updates_changes_nothing() -> None:
    rng = np.random.default_rng(6)
    reference, stream = draw(rng, 400), draw(rng, 260, 0.1)
    whole = DriftMonitor(reference).update(stream, range(260))
    monitor = DriftMonitor(reference)
    for part in np.array_split(np.arange(260), 37):
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
    with pytest.raises(ValueError, match="strata"):
        monitor.update(draw(rng, 3), strata=[0, 1, 64])
    with pytest.raises(ValueError, match="alpha"):
        DriftMonitor(draw(rng, 300), alpha=1.0)


def test_sessions_of_an_hour_that_the_reference_does_not_know_raise_no_alarm_by_themselves() -> None:
    rng = np.random.default_rng(15)
    monitor = DriftMonitor(rng.standard_normal((300, 8)), reference_strata=np.zeros(300, dtype=int))
    assert monitor.update(rng.standard_normal((200, 8)), range(200), strata=np.full(200, 3)).evidence < 5.0
