from __future__ import annotations

import numpy as np
import pytest

from analysis.metrics.anomaly import find_spikes
from analysis.metrics.intervals import bootstrap_mean, rate, wilson
from analysis.metrics.refusal import find_refusal, is_refusal
from analysis.metrics.severity import Judgements, judge
from analysis.metrics.trend import rate_trend

START = np.datetime64("2026-03-02T00", "h")


def hourly_cost(rng: np.random.Generator, days: int, calls_a_day: float) -> tuple[np.ndarray, np.ndarray]:
    """Return hourly costs with a daily rhythm, Poisson volume and skewed costs per call."""
    hours = np.arange(24 * days)
    rhythm = np.clip(np.sin((hours % 24 - 7) / 12 * np.pi), 0.03, None)
    calls = rng.poisson(calls_a_day * rhythm / rhythm[:24].sum())
    return START + hours, np.array([rng.lognormal(-6, 0.6, n).sum() for n in calls])


# --- Intervals -----------------------------------------------------------------------------------


def test_wilson_agrees_with_the_published_example() -> None:
    # Newcombe 1998, table I: 81 of 263.
    low, high = wilson(81, 263)
    assert (round(float(low), 4), round(float(high), 4)) == (0.2553, 0.3662)


def test_a_rate_without_trials_has_no_value() -> None:
    assert rate(0, 0).value is None
    assert rate(0, 0).n == 0


def test_a_rate_of_nothing_or_everything_keeps_an_open_side() -> None:
    none, every = rate(0, 10), rate(10, 10)
    assert (none.low, every.high) == (0.0, 1.0)
    assert none.high == pytest.approx(0.2775, abs=1e-4)
    assert every.low == pytest.approx(1 - 0.2775, abs=1e-4)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="successes"):
        rate(3, 2)


def test_wilson_covers_at_about_its_confidence() -> None:
    rng = np.random.default_rng(5)
    k = rng.binomial(40, 0.1, 4000)
    low, high = wilson(k, 40)
    assert 0.93 <= np.mean((low <= 0.1) & (0.1 <= high)) <= 0.985


def test_the_bootstrap_interval_of_a_mean_covers_it() -> None:
    rng = np.random.default_rng(6)
    covered = 0
    for i in range(200):
        mean = bootstrap_mean(rng.exponential(2.0, 60), resamples=400, rng=i)
        covered += mean.low <= 2.0 <= mean.high
    assert covered >= 175


def test_the_bootstrap_leaves_missing_values_out_and_repeats_by_seed() -> None:
    mean = bootstrap_mean([1.0, float("nan"), 3.0], rng=3)
    assert (mean.value, mean.n) == (2.0, 2)
    assert mean == bootstrap_mean([1.0, 3.0], rng=3)
    assert bootstrap_mean([]).value is None


# --- Trend ---------------------------------------------------------------------------------------


def test_a_rising_rate_is_found_with_its_slope() -> None:
    days, trials = np.arange(28), np.full(28, 120)
    hits = np.random.default_rng(1).binomial(trials, 0.05 + 0.004 * days)
    trend = rate_trend(days, hits, trials)
    assert trend.verdict == "rising"
    assert trend.low <= 0.004 <= trend.high
    assert trend.n == 28 * 120
    assert rate_trend(days, hits[::-1], trials).verdict == "falling"


@pytest.mark.parametrize("spread", [0.0, 0.04])
def test_a_steady_rate_raises_no_more_false_alarms_than_the_level(spread: float) -> None:
    rng = np.random.default_rng(2)
    days, trials = np.arange(21), np.full(21, 150)
    alarms = 0
    for _ in range(400):
        daily = np.clip(0.15 + spread * rng.normal(size=21), 0.01, 0.99)
        alarms += rate_trend(days, rng.binomial(trials, daily), trials).verdict != "no_trend"
    assert alarms <= 36  # 5 % of 400 and three standard errors


def test_too_little_data_is_a_result_that_says_what_is_missing() -> None:
    few_periods, few_trials = rate_trend([0, 1], [1, 2], [50, 50]), rate_trend([0, 1, 2], [0, 1, 0], [2, 2, 2])
    assert (few_periods.verdict, few_trials.verdict) == ("insufficient", "insufficient")
    assert "3 periods" in few_periods.needed
    assert "20" in few_trials.needed
    assert few_periods.p_value is None


def test_a_rate_of_zero_throughout_has_no_trend() -> None:
    assert rate_trend(np.arange(10), np.zeros(10), np.full(10, 30)).verdict == "no_trend"


# --- Spikes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("calls_a_day", [100, 1000, 20_000])
def test_a_daily_rhythm_alone_is_no_spike(calls_a_day: int) -> None:
    found = [
        spike
        for seed in range(12)
        for spike in find_spikes(*hourly_cost(np.random.default_rng(seed), 28, calls_a_day), least=0.05)
    ]
    assert len(found) <= 1


@pytest.mark.parametrize("hour", [10, 14, 3])
def test_a_burst_of_several_times_the_usual_is_found(hour: int) -> None:
    for seed in range(8):
        times, values = hourly_cost(np.random.default_rng(seed), 28, 1000)
        at = 24 * 20 + hour
        usual = np.median(values.reshape(-1, 24), axis=0)
        values[at : at + 4] += 4 * usual[hour : hour + 4] + 2 * np.median(usual)
        spikes = find_spikes(times, values)
        hit = [spike for spike in spikes if spike.start <= times[at] + 1 and spike.end >= times[at] + 3]
        assert hit, (seed, spikes)
        assert max(spike.value for spike in hit) > 2 * min(spike.expected for spike in hit)
        assert len(spikes) <= 2


def test_a_step_to_a_busier_week_is_no_spike_and_a_burst_within_it_is() -> None:
    rng = np.random.default_rng(4)
    times, quiet = hourly_cost(rng, 42, 100)
    _, busy = hourly_cost(rng, 7, 800)
    values = np.concatenate([quiet, busy])
    times = START + np.arange(len(values))
    assert find_spikes(times, values, least=0.1) == []
    values[24 * 46 + 11 : 24 * 46 + 14] *= 6
    (spike,) = find_spikes(times, values, least=0.1)
    assert spike.start >= times[24 * 46 + 11]
    assert spike.end <= times[24 * 46 + 14]


def test_a_daily_series_works_too_and_missing_days_count_as_zero() -> None:
    rng = np.random.default_rng(8)
    days = np.datetime64("2026-01-01", "D") + np.arange(40)
    values = rng.normal(10, 1, 40)
    kept = np.arange(40) != 5
    assert find_spikes(days[kept], values[kept]) == []
    values[30] = 45
    (spike,) = find_spikes(days[kept], values[kept])
    assert spike.start == np.datetime64("2026-01-31T00")
    assert spike.value == pytest.approx(45)
    assert spike.expected == pytest.approx(10, abs=2)


def test_a_short_series_has_no_spikes() -> None:
    assert find_spikes([], []) == []
    assert find_spikes(START + np.arange(20), [1.0] * 19 + [100.0]) == []
    assert find_spikes(START + np.arange(100), np.zeros(100)) == []


# --- Severity ------------------------------------------------------------------------------------


def test_nothing_known_is_no_reason() -> None:
    assert judge(Judgements()).value == 0
    assert judge(Judgements()).reasons == ()


def test_an_ungrounded_answer_opens_and_says_why() -> None:
    severity = judge(Judgements(risk=0.8, risk_threshold=0.3, unsupported_claims=2, claims=3))
    assert severity.opens
    assert severity.reasons == ("Possibly ungrounded: 2 of 3 claims are in no document; risk 0.80, threshold 0.30.",)


def test_severity_rises_with_risk_and_with_every_further_reason() -> None:
    risks = [judge(Judgements(risk=r, risk_threshold=0.3)).value for r in (0.2, 0.3, 0.6, 1.0)]
    assert risks == sorted(set(risks))
    alone = judge(Judgements(risk=0.5, risk_threshold=0.3))
    both = judge(Judgements(risk=0.5, risk_threshold=0.3, feedback_value=-1, feedback_n=1))
    assert both.value > alone.value
    assert len(both.reasons) == 2


def test_hints_alone_do_not_open_and_two_loud_ones_do() -> None:
    assert not judge(Judgements(refused=True)).opens
    assert not judge(Judgements(truncated=True)).opens
    assert not judge(Judgements(risk=0.1, risk_threshold=0.3, unsupported_claims=1, claims=4)).opens
    assert judge(Judgements(feedback_value=-1, feedback_n=1)).opens
    assert judge(Judgements(error="timeout")).opens
    assert judge(Judgements(repeated_tool_calls=5)).opens


def test_positive_feedback_is_no_reason() -> None:
    assert judge(Judgements(feedback_value=1, feedback_n=3)).value == 0


# --- Refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("I'm sorry, but I can't help with that request.", "declined"),
        ("I cannot provide legal advice.", "declined"),
        ("As an AI language model, I am not able to give medical advice.", "declined"),
        ("That is against our policy.", "declined"),
        ("I don’t know the answer to that.", "unknown"),
        ("I could not find this in the handbook.", "unknown"),
        ("The provided documents do not mention a fee for this.", "unknown"),
        ("There is no information about mortgages.", "unknown"),
        ("Unable to answer based on given passages.", "unknown"),
        ("I'm not sure about that.", "unknown"),
    ],
)
def test_refusals_are_found(text: str, kind: str) -> None:
    found = find_refusal(text)
    assert found is not None
    assert found.kind == kind
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The card costs EUR 2.50 per month.",
        "You cannot withdraw more than EUR 500 a day.",
        "If you do not know your PIN, visit a branch.",
        "Customers who are not able to attend can send a proxy.",
        "I can help with that: open the app and choose Cards.",
        "We do not charge a fee for this.",
    ],
)
def test_answers_that_contain_negations_are_no_refusals(text: str) -> None:
    assert not is_refusal(text)


def test_a_long_answer_with_one_gap_is_no_refusal() -> None:
    text = "The documents do not mention Saturdays. " + "On weekdays every branch opens at nine. " * 15
    assert find_refusal(text) is not None
    assert not is_refusal(text)
