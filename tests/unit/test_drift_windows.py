"""Which windows are comparable, which families alarm, and what judges a day when the rank cannot."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from analysis.drift import comparable_windows, hierarchical_fdr, judge_by_past
from analysis.drift.neighbours import ball_sizes, fit_balls

MONDAY = datetime(2026, 3, 2, 14)


def test_windows_of_the_same_weekday_are_preferred_where_there_are_enough():
    found = comparable_windows(MONDAY, MONDAY + timedelta(hours=3), MONDAY - timedelta(weeks=50))
    assert found.basis == "same weekday and hours"
    assert len(found.windows) == 50
    assert all(start.weekday() == 0 and start.hour == 14 for start, _ in found.windows)


@pytest.mark.parametrize(
    ("days", "basis", "count"),
    [(70, "same hours of working days", 50), (45, "same hours", 45), (0, "same hours", 0)],
)
def test_shorter_histories_compare_with_more_kinds_of_days(days, basis, count):
    found = comparable_windows(MONDAY, MONDAY + timedelta(hours=3), MONDAY - timedelta(days=days))
    assert (found.basis, len(found.windows)) == (basis, count)


def test_windows_of_several_days_do_not_overlap():
    found = comparable_windows(MONDAY, MONDAY + timedelta(days=2), MONDAY - timedelta(days=100))
    ends = [end for _, end in found.windows]
    assert ends[0] <= MONDAY
    assert all(end <= start for end, (start, _) in zip(ends[1:], found.windows, strict=False))
    with pytest.raises(ValueError, match="ends after it starts"):
        comparable_windows(MONDAY, MONDAY, MONDAY)


def test_segments_are_looked_at_only_inside_an_alarmed_family():
    asked = []

    def segments(family):
        asked.append(family)
        return {"de": 0.001, "en": 0.4}

    families = {("support", "prompt"): 0.001, ("support", "response"): 0.3, ("sales", "prompt"): float("nan")}
    assert hierarchical_fdr(families, segments) == {("support", "prompt"): {"de": 0.002}}
    assert asked == [("support", "prompt")]


def test_where_the_rank_has_too_few_windows_sessions_are_permuted():
    rng = np.random.default_rng(0)
    past = [rng.standard_normal((60, 8)) for _ in range(10)]
    result = judge_by_past(past, rng.standard_normal((60, 8)) + 1.0)
    assert result.verdict == "drifted"
    assert result.method == "session permutation"
    many = [rng.standard_normal((60, 8)) for _ in range(45)]
    assert judge_by_past(many, rng.standard_normal((60, 8))).method == "rank among 45 past windows"


@pytest.mark.parametrize("n", [40, 2_000, 30_000])
def test_neighbourhoods_hold_about_as_many_rows_as_they_should(n):
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((n, 3)).astype(np.float32)
    balls = fit_balls(rows, np.arange(n) % 100, 100, rng)
    inside = np.cumsum([np.asarray(ring.sum(axis=1)).ravel().mean() for ring in balls.rings])
    assert inside == pytest.approx(np.minimum(ball_sizes(n), n), rel=0.15)
