"""New subjects are found, and nothing is found where nothing is new."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.topics import find_emerging
from analysis.topics.scan import Scan

D, SUBJECTS = 32, 30


def centres() -> np.ndarray:
    rows = np.random.default_rng(3).normal(size=(SUBJECTS + 1, D))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def messages(rng: np.random.Generator, subjects: np.ndarray, spread: float = 0.1) -> np.ndarray:
    return (centres()[subjects] + spread * rng.normal(size=(len(subjects), D))).astype(np.float32)


def sessions(rng: np.random.Generator, subjects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each entry becomes a session of one to nine near-duplicates."""
    length = rng.integers(1, 10, len(subjects))
    first = messages(rng, subjects)
    X = np.repeat(first, length, axis=0)
    return X + 0.01 * rng.normal(size=X.shape), np.repeat(np.arange(len(subjects)), length)


def test_a_new_subject_is_found_with_its_members():
    rng = np.random.default_rng(0)
    reference = messages(rng, rng.integers(0, SUBJECTS, 2000))
    subjects = np.r_[rng.integers(0, SUBJECTS, 570), np.full(30, SUBJECTS)]
    found = find_emerging(reference, messages(rng, subjects))
    assert len(found) == 1
    assert (subjects[list(found[0].members)] == SUBJECTS).mean() > 0.9
    assert len(found[0].members) >= 20
    assert found[0].lift >= 3
    assert found[0].p_value <= 0.01
    assert 0.03 < found[0].share < 0.07


def test_a_known_subject_that_multiplies_is_found():
    rng = np.random.default_rng(1)
    reference = messages(rng, np.r_[rng.integers(0, SUBJECTS, 2000), np.full(10, SUBJECTS)])
    current = messages(rng, np.r_[rng.integers(0, SUBJECTS, 570), np.full(40, SUBJECTS)])
    found = find_emerging(reference, current)
    assert len(found) == 1
    assert len(found[0].members) >= 36


def test_two_new_subjects_are_two_findings():
    rng = np.random.default_rng(2)
    reference = messages(rng, rng.integers(0, SUBJECTS - 1, 2000))
    subjects = np.r_[rng.integers(0, SUBJECTS - 1, 520), np.full(40, SUBJECTS), np.full(40, SUBJECTS - 1)]
    assert len(find_emerging(reference, messages(rng, subjects))) == 2


def test_what_is_found_where_nothing_is_new_keeps_to_the_level():
    """At a level of 3 % eighteen looks find something three times or more in one of sixty repetitions."""
    alarms = 0
    for seed in range(9):
        rng = np.random.default_rng(seed)
        reference, current = (messages(rng, rng.integers(0, SUBJECTS, n)) for n in (1500, 500))
        alarms += bool(find_emerging(reference, current, rng=seed))
        reference, old = sessions(rng, rng.integers(0, SUBJECTS, 300))
        current, new = sessions(rng, rng.integers(0, SUBJECTS, 100))
        alarms += bool(find_emerging(reference, current, reference_groups=old, current_groups=new, rng=seed))
    assert alarms <= 2


def test_a_new_subject_is_found_among_sessions_of_near_duplicates():
    rng = np.random.default_rng(8)
    reference, old = sessions(rng, rng.integers(0, SUBJECTS, 400))
    subjects = np.r_[rng.integers(0, SUBJECTS, 180), np.full(14, SUBJECTS)]
    current, new = sessions(rng, subjects)
    found = find_emerging(reference, current, reference_groups=old, current_groups=new)
    assert len(found) == 1
    assert (subjects[new[list(found[0].members)]] == SUBJECTS).mean() > 0.9
    assert found[0].share == pytest.approx(14 / 194, abs=0.02)


def test_a_new_subject_and_a_rare_known_one_beside_it_that_grew_are_found_apart():
    """Both are so close that coarse cells hold both; the known one has a few questions of old, and grew."""
    rng = np.random.default_rng(10)
    beside = centres()[SUBJECTS] + 0.8 * centres()[0]
    pairs = np.stack([centres()[SUBJECTS], beside / np.linalg.norm(beside)])

    def about(which: np.ndarray) -> np.ndarray:
        return (pairs[which] + 0.05 * rng.normal(size=(len(which), D))).astype(np.float32)

    reference = np.concatenate([messages(rng, rng.integers(1, SUBJECTS, 1000)), about(np.ones(3, dtype=int))])
    usual = messages(rng, rng.integers(1, SUBJECTS, 1000))
    current = np.concatenate([usual, about(np.repeat([0, 1], [20, 25]))])
    found = [np.array(one.members) for one in find_emerging(reference, current)]
    new, grown = sorted(found, key=np.median)
    assert ((new >= 1000) & (new < 1020)).sum() >= 18
    assert (new >= 1020).sum() <= 5
    assert (grown >= 1020).sum() >= 20
    assert (grown < 1020).sum() <= 2


def test_one_long_session_about_something_new_is_no_subject():
    rng = np.random.default_rng(4)
    reference = messages(rng, rng.integers(0, SUBJECTS, 1500))
    current = messages(rng, np.r_[rng.integers(0, SUBJECTS, 400), np.full(60, SUBJECTS)])
    groups = np.r_[np.arange(400), np.full(60, 400)]
    assert find_emerging(reference, current, current_groups=groups) == []


def test_a_giant_session_neither_is_a_subject_nor_hides_one():
    rng = np.random.default_rng(9)
    reference = messages(rng, rng.integers(0, SUBJECTS, 1500))
    giant = rng.integers(0, SUBJECTS, 3000)
    usual = np.r_[rng.integers(0, SUBJECTS, 400), np.full(25, SUBJECTS)]
    groups = np.r_[np.full(3000, -1), np.arange(425)]
    found = find_emerging(reference, messages(rng, np.r_[giant, usual]), current_groups=groups)
    assert len(found) == 1
    assert (np.r_[giant, usual][list(found[0].members)] == SUBJECTS).mean() > 0.9
    quiet = messages(rng, np.r_[giant, usual[:400]])
    assert find_emerging(reference, quiet, current_groups=groups[:3400]) == []


def test_longer_sessions_alone_are_no_subject():
    rng = np.random.default_rng(5)
    reference = messages(rng, rng.integers(0, SUBJECTS, 1500))
    current = messages(rng, rng.integers(0, SUBJECTS, 1500))
    found = find_emerging(reference, current, current_groups=np.repeat(np.arange(100), 15))
    assert found == []


@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 50), (50, 0), (19, 50), (50, 3), (20, 4), (25, 25)])
def test_too_little_traffic_is_no_finding(n, m):
    rng = np.random.default_rng(6)
    assert find_emerging(messages(rng, np.zeros(n, dtype=int)), messages(rng, np.zeros(m, dtype=int))) == []


def test_the_same_seed_gives_the_same_findings():
    rng = np.random.default_rng(7)
    reference = messages(rng, rng.integers(0, SUBJECTS, 800))
    current = messages(rng, np.r_[rng.integers(0, SUBJECTS, 280), np.full(20, SUBJECTS)])
    assert find_emerging(reference, current, rng=1) == find_emerging(reference, current, rng=1) != []


def test_groups_must_fit_their_rows():
    with pytest.raises(ValueError, match="current: expected 5 groups"):
        find_emerging(np.ones((30, 4)), np.ones((5, 4)), current_groups=["a", "b"])
    with pytest.raises(ValueError, match="reference has 4 columns, current has 3"):
        find_emerging(np.ones((30, 4)), np.ones((5, 3)))


def scanned(chance: list[float], pieces: int = 100, ways: float = 1e30) -> Scan:
    return Scan(np.zeros((1, pieces), dtype=np.int64), np.zeros(pieces), np.sort(chance), ways)


def test_a_strength_that_many_deals_reach_is_no_rarer_than_they_are():
    p = scanned([0.0] * 480 + [1.2] * 19).corrected(np.array([0.0, 1.2]))
    assert p[0] == 1.0
    assert p[1] >= 19 / 499


@pytest.mark.parametrize("strong", [0, 1, 9])
def test_where_hardly_any_deal_is_strong_the_cells_themselves_bound_the_p_value(strong):
    some = scanned([0.0] * (499 - strong) + [0.1] * strong)
    weak, clear = some.corrected(np.array([0.2, 12.0]))
    assert weak == pytest.approx(1 / 500)
    assert clear == pytest.approx(np.e * 100 * 1e-12)


def test_corrected_p_values_fall_with_strength_and_are_no_smaller_than_one_way_to_deal():
    chance = np.random.default_rng(0).exponential(size=499).tolist()
    p = scanned(chance, ways=5e4).corrected(np.linspace(0.0, 40.0, 400))
    assert np.all(np.diff(p) <= 0)
    assert p[-1] == 1 / 5e4


def test_few_sessions_that_can_be_dealt_in_few_ways_are_no_finding():
    """Of fifteen ways to deal one long and fourteen short sessions the true one is as likely as the others."""
    rng = np.random.default_rng(11)
    reference = messages(rng, rng.integers(0, SUBJECTS, 2000))
    current = messages(rng, np.full(14, SUBJECTS))
    assert find_emerging(reference, current, reference_groups=np.zeros(2000)) == []


def test_what_sessions_are_called_decides_nothing():
    rng = np.random.default_rng(0)
    reference = messages(rng, rng.integers(0, SUBJECTS, 600))
    current = messages(rng, np.r_[rng.integers(0, SUBJECTS, 170), np.full(30, SUBJECTS)])
    old, new = np.arange(600) // 2, 300 + np.arange(200) // 2
    found = [
        find_emerging(reference, current, reference_groups=old + offset, current_groups=new + offset)
        for offset in (0, 7, 9_900)
    ]
    assert found[0]
    assert found[0] == found[1] == found[2]
