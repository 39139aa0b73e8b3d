import numpy as np
import pytest

from analysis.metrics.burst import find_bursts

DAYS = 40


def traffic(seed: int, scale: float = 6.0) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    hours = np.datetime64("2026-01-05T00", "h") + np.arange(24 * DAYS)
    rhythm = 1 + np.sin(2 * np.pi * (np.arange(24 * DAYS) % 24) / 24)
    return hours, rng.poisson(scale * rhythm), rng


def test_a_burst_of_a_rate_is_found_with_its_hours() -> None:
    hours, n, rng = traffic(1, 20)
    k = rng.binomial(n, 0.05)
    hit = slice(24 * 35 + 8, 24 * 35 + 14)
    k[hit] = rng.binomial(n[hit], 0.5)
    (burst,) = find_bursts(hours, n, k, counts=True, least=5)
    assert abs((burst.start - hours[hit.start]) / np.timedelta64(1, "h")) <= 1
    assert abs((burst.end - hours[hit.stop]) / np.timedelta64(1, "h")) <= 1
    assert burst.value > 5 * burst.expected


def test_more_traffic_at_the_usual_rate_is_no_burst() -> None:
    hours, n, rng = traffic(2)
    n[24 * 33 :] *= 8
    assert find_bursts(hours, n, rng.binomial(n, 0.05), counts=True, least=5) == []


@pytest.mark.parametrize("kind", ["rate", "cost"])
def test_quiet_weeks_raise_almost_no_alarm(kind: str) -> None:
    alarms = 0
    for seed in range(60):
        hours, n, rng = traffic(100 + seed)
        if kind == "rate":
            alarms += len(find_bursts(hours, n, rng.binomial(n, 0.06), counts=True, least=5))
        else:
            cost = np.array([rng.lognormal(-6, 0.8, size).sum() for size in n])
            alarms += len(find_bursts(hours, n, cost, counts=False, z=8.0, ratio=3.0))
    assert alarms <= 2  # of 60 series of 35 days


def test_a_loop_that_costs_several_times_the_usual_is_found() -> None:
    hours, n, rng = traffic(3)
    cost = np.array([rng.lognormal(-6, 0.8, size).sum() for size in n])
    cost[24 * 37 + 10 : 24 * 37 + 13] += 0.25
    (burst,) = find_bursts(hours, n, cost, counts=False, z=8.0, ratio=3.0)
    assert burst.value > 3 * burst.expected


def test_without_a_past_there_is_nothing_to_compare_with() -> None:
    assert find_bursts([], [], [], counts=True) == []
    hours, n, _ = traffic(4)
    assert find_bursts(hours[:72], n[:72], n[:72] * 100.0, counts=True) == []
