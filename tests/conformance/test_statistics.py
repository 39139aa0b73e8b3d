"""Every statistic of drift keeps the same promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from analysis.drift import STATISTICS
from analysis.drift.comparison import measure
from analysis.drift.permutation import FreeDraw
from analysis.drift.pooled import pool, windows
from analysis.drift.statistics import Statistic

by_name = pytest.mark.parametrize("statistic", STATISTICS, ids=lambda statistic: statistic.name)


def topics(rng: np.random.Generator, n: int, *, k: int = 6, d: int = 24) -> np.ndarray:
    """Return unit vectors around ``k`` fixed centres."""
    centres = np.random.default_rng(99).standard_normal((k, d))
    rows = centres[rng.integers(0, k, n)] + 0.7 * rng.standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def elsewhere(rng: np.random.Generator, n: int, *, d: int = 24) -> np.ndarray:
    """Return unit vectors around one centre that ``topics`` never visits."""
    rows = 6.0 * np.eye(d)[0] + 0.5 * rng.standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def p_value(statistic: Statistic, reference: np.ndarray, current: np.ndarray, **given: object) -> float:
    return measure(reference, current, [statistic], permutations=99, **given)[statistic.name].p_value


@by_name
def test_a_statistic_describes_itself(statistic):
    assert statistic.name.isidentifier()
    assert statistic.title
    assert statistic.higher_is_more_drift
    doc = type(statistic).__doc__
    assert ".. math::" in doc
    assert "Source" in doc or "(Rabanser" in doc
    assert "misses" in doc or "Sees" in doc


def test_names_are_unique():
    names = [statistic.name for statistic in STATISTICS]
    assert len(set(names)) == len(names)


@by_name
def test_the_same_seed_gives_the_same_result(statistic):
    rng = np.random.default_rng(1)
    reference, current = topics(rng, 80), topics(rng, 60)
    first, second = (measure(reference, current, [statistic], permutations=49, rng=7) for _ in range(2))
    assert first == second


@by_name
def test_the_order_of_rows_does_not_matter(statistic):
    rng = np.random.default_rng(2)
    reference, current = topics(rng, 80), topics(rng, 60)
    sessions, later = np.arange(80) // 2, np.arange(60) // 2
    shuffled, moved = rng.permutation(80), rng.permutation(60)
    straight = measure(
        reference, current, [statistic], reference_groups=sessions, current_groups=later, permutations=49
    )
    mixed = measure(
        reference[shuffled],
        current[moved],
        [statistic],
        reference_groups=sessions[shuffled],
        current_groups=later[moved],
        permutations=49,
    )
    name = statistic.name
    assert mixed[name].value == pytest.approx(straight[name].value, rel=1e-3, abs=1e-6)
    assert mixed[name].effect == pytest.approx(straight[name].effect, rel=1e-3, abs=1e-4)
    assert mixed[name].p_value == pytest.approx(straight[name].p_value, abs=0.03)


@by_name
def test_a_symmetric_statistic_is_the_same_both_ways(statistic):
    if not statistic.symmetric:
        pytest.skip("declared asymmetric")
    rng = np.random.default_rng(3)
    reference, current = topics(rng, 70), topics(rng, 70)
    forth = measure(reference, current, [statistic], permutations=9)[statistic.name]
    back = measure(current, reference, [statistic], permutations=9)[statistic.name]
    assert back.value == pytest.approx(forth.value, rel=1e-2, abs=1e-5)


@by_name
@pytest.mark.parametrize("n", [0, 1, 29])
def test_too_little_input_gives_no_number(statistic, n):
    rng = np.random.default_rng(4)
    assert measure(topics(rng, 100), topics(rng, n), [statistic]) == {}
    assert measure(topics(rng, n), topics(rng, 100), [statistic]) == {}


@by_name
def test_identical_rows_everywhere_are_no_drift(statistic):
    rows = np.ones((60, 24), dtype=np.float32)
    part = measure(rows, rows, [statistic], permutations=49)[statistic.name]
    assert np.isfinite(part.value)
    assert part.p_value > 0.05


@by_name
def test_a_fixed_shift_is_found(statistic):
    rng = np.random.default_rng(5)
    current = np.concatenate([topics(rng, 90), elsewhere(rng, 60)])
    assert p_value(statistic, topics(rng, 150), current) <= 0.02


@by_name
def test_values_of_a_batch_are_those_of_single_labellings(statistic):
    rng = np.random.default_rng(6)
    pooled = pool(windows(topics(rng, 50), topics(rng, 50)), 0)
    bound = statistic.bind(pooled)
    batch = FreeDraw.random(5, pooled.is_current, rng)
    single = [bound.values(FreeDraw(batch.keys[i : i + 1], batch.n_current))[0] for i in range(5)]
    assert np.allclose(bound.values(batch), single, rtol=1e-3, atol=1e-5)


def null_p_values(nulls: int, length: int, n: int, permutations: int) -> dict[str, np.ndarray]:
    """Return p-values of every statistic where both windows hold sessions of the same traffic."""
    found: dict[str, list[float]] = {statistic.name: [] for statistic in STATISTICS}
    for i in range(nulls):
        rng = np.random.default_rng([11, length, i])
        rows = np.repeat(topics(rng, 2 * n // length), length, axis=0)
        rows = rows + 0.01 * rng.standard_normal(rows.shape).astype(np.float32)
        sessions = np.repeat(np.arange(n // length), length)
        parts = measure(
            rows[:n],
            rows[n:],
            STATISTICS,
            reference_groups=sessions,
            current_groups=sessions,
            permutations=permutations,
            rng=i,
        )
        for name, part in parts.items():
            found[name].append(part.p_value)
    return {name: np.array(values) for name, values in found.items()}


@pytest.fixture(scope="module", params=[1, 4], ids=["independent", "sessions"])
def quick_nulls(request):
    return null_p_values(200, request.param, 80, 59)


@by_name
def test_false_alarms_are_as_rare_as_promised(statistic, quick_nulls):
    found = int((quick_nulls[statistic.name] <= 0.05).sum())
    assert found <= binom.ppf(0.9995, 200, 0.05)


@pytest.fixture(scope="module", params=[1, 4], ids=["independent", "sessions"])
def many_nulls(request):
    return null_p_values(400, request.param, 120, 99)


@pytest.mark.slow
@by_name
def test_false_alarms_are_as_rare_as_promised_over_many_nulls(statistic, many_nulls):
    low, high = binom.ppf([0.0005, 0.9995], 400, 0.05)
    found = int((many_nulls[statistic.name] <= 0.05).sum())
    assert found <= high
    # Counts are discrete, so that some tests may only be too careful; none may be silent.
    assert found >= low / 4
