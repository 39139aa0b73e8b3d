"""Properties of drift that hold for any input."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.drift import benjamini_hochberg, compare, session_groups
from analysis.drift.cells import lloyd
from analysis.drift.permutation import joint_p_value, own_p_values

seeds = st.integers(0, 10_000)
sizes = st.integers(0, 70)


def rows(seed: int, n: int, d: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


@settings(max_examples=25, deadline=None)
@given(seed=seeds, n=sizes, m=sizes, length=st.integers(1, 6))
def test_a_comparison_always_ends_in_a_verdict_with_its_sizes(seed, n, m, length):
    sessions = np.arange(m) // length
    result = compare(rows(seed, n), rows(seed + 1, m), current_groups=sessions, permutations=29, rng=seed)
    assert (result.n_reference, result.n_current) == (n, m)
    assert result.n_groups_current == math.ceil(m / length)
    if min(n, m) < 30 or min(n, result.n_groups_current) < 10:
        assert result.verdict == "insufficient"
        return
    assert result.verdict in {"stable", "drifted"}
    assert result.p_floor <= result.p_value <= 1.0
    assert 0.0 <= result.effect <= 2.0
    assert len(set(result.exemplars)) == len(result.exemplars)
    assert all(0 <= index < m for index in result.exemplars)
    assert sum(part.contribution for part in result.contributions) <= 1.0 + 1e-9


@settings(max_examples=10, deadline=None)
@given(seed=seeds, scale=st.floats(0.01, 100.0))
def test_the_unit_of_the_vectors_does_not_change_the_p_value(seed, scale):
    reference, current = rows(seed, 60), rows(seed + 1, 50)
    one = compare(reference, current, permutations=39, rng=1)
    other = compare(reference * scale, current * scale, permutations=39, rng=1)
    assert abs(one.p_value - other.p_value) <= 0.08


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_names_of_sessions_do_not_matter(seed):
    reference, current = rows(seed, 60), rows(seed + 1, 60)
    numbers = np.arange(60) // 2
    names = np.array([f"session {(n * 37) % 101}" for n in numbers])
    assert compare(reference, current, reference_groups=numbers, permutations=29) == compare(
        reference, current, reference_groups=names, permutations=29
    )


@given(seed=seeds, b=st.integers(2, 60), s=st.integers(1, 4))
def test_joint_p_values_lie_between_the_floor_and_one(seed, b, s):
    table = np.random.default_rng(seed).standard_normal((b, s))
    joint = joint_p_value(table)
    assert 1 / b <= joint <= 1.0
    assert joint_p_value(table * 3.0 - 1.0) == joint
    if s == 1 and b > 10:
        assert abs(joint - own_p_values(table)[0, 0]) < 1e-9


@given(st.lists(st.floats(0.0, 1.0), max_size=12))
def test_adjusted_p_values_are_never_smaller_and_keep_their_order(p_values):
    adjusted = benjamini_hochberg(p_values)
    given_values = np.asarray(p_values, dtype=float)
    assert (adjusted >= given_values - 1e-12).all()
    assert (adjusted <= 1.0).all()
    assert (np.diff(adjusted[np.argsort(given_values, kind="stable")]) >= -1e-12).all()


@given(st.lists(st.sampled_from(["a", "b", "", None]), max_size=30))
def test_rows_of_one_session_share_a_group_and_groups_are_dense(sessions):
    found = session_groups(sessions)
    assert found.n_groups == len({s for s in sessions if s}) + sum(not s for s in sessions)
    assert sorted(set(found.groups.tolist())) == list(range(found.n_groups))


@settings(max_examples=30, deadline=None)
@given(seed=seeds, n=st.integers(1, 60), k=st.integers(1, 80))
def test_there_are_never_more_cells_than_rows(seed, n, k):
    centres = lloyd(rows(seed, n).astype(np.float32), k, np.random.default_rng(seed))
    assert centres.shape == (min(n, k), 5)
    assert np.isfinite(centres).all()
