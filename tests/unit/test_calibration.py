"""Recalibration by verdicts: what is learned, chosen and promised."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.groundedness.calibrated import Applied, Recalibration
from analysis.metrics.calibration import (
    Mapped,
    auroc,
    best_threshold,
    fit_isotonic,
    fit_platt,
    missing,
    study,
)


def overconfident(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Verdicts whose log odds are half of what the scorer says."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 3, n)
    labels = rng.random(n) < 1 / (1 + np.exp(-odds / 2))
    return 1 / (1 + np.exp(-odds)), labels


def test_an_overconfident_scorer_is_brought_closer_to_the_verdicts() -> None:
    risk, labels = overconfident(600)
    found = study(risk, labels, np.arange(600))
    assert found.helps
    assert found.after.ece.value < found.before.ece.value / 2
    assert found.before.auroc.low < found.before.auroc.value < found.before.auroc.high
    fresh, truth = overconfident(4000, seed=1)
    mapped = found.mapped(fresh)
    assert np.mean((mapped - truth) ** 2) < np.mean((fresh - truth) ** 2)


def test_a_calibrated_scorer_is_not_said_to_gain() -> None:
    rng = np.random.default_rng(3)
    risk = rng.random(400)
    assert not study(risk, rng.random(400) < risk, np.arange(400)).helps


def test_steps_are_chosen_where_no_logistic_curve_fits() -> None:
    rng = np.random.default_rng(0)
    risk = rng.random(2000)
    labels = rng.random(2000) < np.where(risk < 0.3, 0.02, np.where(risk < 0.9, 0.5, 0.55))
    assert study(risk, labels, np.arange(2000)).method == "isotonic"


def test_equal_answers_cannot_vouch_for_one_another() -> None:
    rng = np.random.default_rng(0)
    answers = np.repeat(np.arange(20), 20)
    risk, labels = rng.random(20)[answers], (rng.random(20) < 0.5)[answers]
    found = study(risk, labels, answers)
    assert found.groups == 20
    assert not found.helps


@pytest.mark.parametrize(("n", "positive"), [(0, 0), (99, 50), (150, 5), (150, 145)])
def test_too_few_verdicts_of_either_kind_are_counted_and_refused(n, positive) -> None:
    labels = np.arange(n) < positive
    assert any(missing(labels).values())
    with pytest.raises(ValueError, match="missing"):
        study(np.full(n, 0.5), labels, np.arange(n))


@pytest.mark.parametrize("fit", [fit_platt, fit_isotonic])
def test_a_map_keeps_the_order_stays_inside_and_survives_storage(fit) -> None:
    mapped = fit(*overconfident(200))
    values = mapped(np.linspace(0, 1, 101))
    assert (np.diff(values) >= 0).all()
    assert 0 < values.min() <= values.max() < 1
    again = Mapped.from_json(mapped.to_json())
    np.testing.assert_array_equal(again(np.linspace(0, 1, 101)), values)


def test_verdicts_against_the_scorer_flatten_it_but_never_turn_it_round() -> None:
    risk, labels = overconfident(300)
    values = fit_platt(risk, ~labels)(np.array([0.1, 0.9]))
    assert values[0] == values[1] == pytest.approx((~labels).mean(), abs=0.01)


def test_the_threshold_flags_rightly_at_least_half_of_the_time() -> None:
    blurred = np.full(1000, 0.2)
    assert best_threshold(blurred) == 0.5
    clear = np.concatenate([np.full(900, 0.02), np.full(100, 0.9)])
    assert 0.02 < best_threshold(clear) <= 0.9
    mixed = np.linspace(0, 1, 1001)
    assert mixed[mixed >= best_threshold(mixed)].mean() >= 0.5
    assert best_threshold(np.zeros(0)) == 0.5


def test_auroc_counts_ties_as_half() -> None:
    assert auroc(np.array([0.1, 0.5, 0.5, 0.9]), np.array([False, False, True, True])) == 0.875
    assert np.isnan(auroc(np.array([0.1]), np.array([True])))


def test_the_history_of_recalibrations_survives_storage() -> None:
    recalibration = Recalibration("lexical", "1-a", Mapped("platt", (), (0.5, 0.1)), 0.3, 120, "2026-03-02")
    assert Applied.from_bytes(Applied(recalibration, "before").to_bytes()) == Applied(recalibration, "before")
    assert Applied.from_bytes(Applied(None, None).to_bytes()) == Applied(None, None)
