"""Two windows compared, today ranked among the past, and answers compared given the question."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from analysis.drift import compare, compare_behaviour, compare_to_past
from analysis.drift.arrays import as_groups
from analysis.drift.comparison import permuted
from analysis.drift.past import leave_one_out_z
from analysis.drift.permutation import FreeDraw, joint_p_value
from analysis.drift.style import mean_cosine

D = 32
CENTRES = np.random.default_rng(77).standard_normal((12, D)).astype(np.float32)


def around(rng: np.random.Generator, topic: np.ndarray, spread: float = 0.6) -> np.ndarray:
    """Return unit vectors around the centres of the given topics."""
    rows = CENTRES[topic] + spread * rng.standard_normal((len(topic), D)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def traffic(rng: np.random.Generator, n: int, *, new: int = 0, length: int = 1) -> tuple[np.ndarray, ...]:
    """Return rows, sessions and topics: topics 0..9, the last ``new`` sessions about topic 11."""
    topic = rng.integers(0, 10, n)
    topic[n - new :] = 11 if new else topic[n - new :]
    rows = np.repeat(around(rng, topic), length, axis=0)
    rows = rows + 0.01 * rng.standard_normal(rows.shape).astype(np.float32)
    return rows, np.repeat(np.arange(n), length), np.repeat(topic, length)


def test_a_new_topic_is_found_named_and_illustrated():
    rng = np.random.default_rng(0)
    before, _, old = traffic(rng, 500)
    after, _, now = traffic(rng, 500, new=25)
    result = compare(before, after, reference_topics=old, current_topics=now)
    assert result.verdict == "drifted"
    assert result.p_value <= 0.01
    lead = result.contributions[0]
    assert (lead.topic_id, lead.kind) == (11, "share")
    assert (lead.share_reference, lead.share_current) == (0.0, pytest.approx(0.05))
    assert set(lead.exemplars) <= set(range(475, 500))
    assert set(result.exemplars[:15]) <= set(range(475, 500))
    assert not result.style
    assert set(result.parts) == {"mmd", "cell_excess", "neighbourhood_excess", "novelty"}
    assert 0.0 < result.effect_interval[0] <= result.effect <= result.effect_interval[1]
    assert result.statistic in result.parts
    assert result.effect == result.parts[result.statistic].effect
    assert 0.02 < result.parts["cell_excess"].effect < 0.08


def test_a_shift_of_all_topics_alike_is_style():
    rng = np.random.default_rng(1)
    before, _, old = traffic(rng, 600)
    after, _, now = traffic(rng, 600)
    push = np.zeros(D, dtype=np.float32)
    push[3] = 0.3
    result = compare(before, after + push, reference_topics=old, current_topics=now)
    assert result.verdict == "drifted"
    assert result.style
    assert result.contributions[0].kind == "within"


def test_style_is_recognised_without_topics_even_when_every_row_left_its_cell():
    rng = np.random.default_rng(23)
    before, after = traffic(rng, 400)[0], traffic(rng, 400)[0]
    push = np.zeros(D, dtype=np.float32)
    push[5] = 1.5
    assert compare(before, after + push).style
    assert not compare(before, traffic(rng, 400, new=40)[0]).style


def test_contributions_never_exceed_the_whole():
    rng = np.random.default_rng(2)
    result = compare(traffic(rng, 300)[0], traffic(rng, 300, new=60)[0])
    sizes = [part.contribution for part in result.contributions]
    assert sizes == sorted(sizes, reverse=True)
    assert 0.5 < sum(sizes) <= 1.0 + 1e-9


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_row_without_a_session_is_its_own(missing):
    named = [missing, "a", missing, "b", "a"]
    assert as_groups(named, 5, "current").tolist() == [0, 1, 2, 3, 1]


def test_one_long_session_is_not_a_drift():
    rng = np.random.default_rng(3)
    before, sessions, _ = traffic(rng, 300)
    after, _, _ = traffic(rng, 300)
    after[:60] = around(rng, np.full(60, 11), 0.05)
    ours = np.concatenate([np.zeros(60, dtype=int), np.arange(1, 241)])
    assert compare(before, after, reference_groups=sessions, current_groups=ours).verdict == "stable"
    assert compare(before, after).verdict == "drifted"


@pytest.mark.parametrize("length", [1, 5], ids=["independent", "sessions of near-duplicates"])
def test_false_alarms_are_rare(length):
    nulls, found = 40, 0
    for i in range(nulls):
        rng = np.random.default_rng([4, i])
        (a, of_a, _), (b, of_b, _) = (traffic(rng, 200 // length, length=length) for _ in range(2))
        found += compare(a, b, reference_groups=of_a, current_groups=of_b, permutations=99, rng=i).verdict == "drifted"
    assert found <= binom.ppf(0.9995, nulls, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 5], ids=["independent", "sessions of near-duplicates"])
def test_false_alarms_keep_the_level_over_many_nulls(length):
    nulls, found = 400, 0
    for i in range(nulls):
        rng = np.random.default_rng([5, i])
        (a, of_a, _), (b, of_b, _) = (traffic(rng, 400 // length, length=length) for _ in range(2))
        result = compare(a, b, reference_groups=of_a, current_groups=of_b, permutations=199, rng=i)
        found += result.p_value <= 0.05
    low, high = binom.ppf([0.0005, 0.9995], nulls, 0.05)
    assert low <= found <= high


@pytest.mark.parametrize(("n", "groups"), [(0, 0), (10, 10), (200, 5)])
def test_too_little_data_is_a_result_that_says_what_is_needed(n, groups):
    rng = np.random.default_rng(6)
    current = traffic(rng, n)[0]
    sessions = np.arange(n) % max(1, groups)
    result = compare(traffic(rng, 200)[0], current, current_groups=sessions)
    assert result.verdict == "insufficient"
    assert (result.n_reference, result.n_current, result.n_groups_current) == (200, n, groups)
    assert "30 messages in 10 groups" in result.needed
    assert np.isnan(result.p_value)


def test_a_floor_above_the_level_is_never_called_stable():
    rng = np.random.default_rng(7)
    result = compare(traffic(rng, 60)[0], traffic(rng, 60)[0], permutations=9)
    assert result.p_floor == pytest.approx(0.1)
    assert result.verdict == "insufficient"


class Fixed:
    """A statistic that is ``observed`` for one labelling and standard normal for others."""

    def __init__(self, observed: float) -> None:
        self.observed = observed
        self.rng = np.random.default_rng(8)

    def values(self, draw):
        n = len(draw.labels())
        return np.array([self.observed]) if n == 1 else self.rng.standard_normal(n)

    def effect(self, before, after):
        return np.ones(len(after))


@pytest.mark.parametrize(
    ("observed", "least", "most"),
    [(0.0, 100, 100), (9.0, 100, 100), (1.645, 401, 10_000)],
    ids=["far above", "far below", "at the level"],
)
def test_more_permutations_are_drawn_only_near_the_level(observed, least, most):
    is_current = np.arange(40) < 20
    rng = np.random.default_rng(9)
    drawn = permuted(
        [Fixed(observed)],
        FreeDraw.observed(is_current),
        lambda n: FreeDraw.random(n, is_current, rng),
        99,
        0.05,
    )
    assert least <= len(drawn.table) <= most


def test_very_many_groups_are_blocked_and_still_compared():
    rng = np.random.default_rng(9)
    before, after = traffic(rng, 2_600)[0], traffic(rng, 2_600, new=60)[0]
    result = compare(before, after, permutations=199)
    assert result.verdict == "drifted"
    assert (result.n_groups_reference, result.n_groups_current) == (2_600, 2_600)


@pytest.mark.parametrize(
    ("reference", "current", "complaint"),
    [
        (np.zeros((40, 3)), np.full((40, 3), np.nan), "NaN"),
        (np.zeros((40, 3)), np.zeros((40, 4)), "same model"),
        (np.zeros(40), np.zeros((40, 4)), "shape"),
    ],
)
def test_malformed_arrays_are_refused_with_a_reason(reference, current, complaint):
    with pytest.raises(ValueError, match=complaint):
        compare(reference, current)


def test_groups_and_topics_must_match_the_rows():
    rows = np.zeros((40, 3))
    with pytest.raises(ValueError, match="expected 40 groups"):
        compare(rows, rows, reference_groups=np.arange(39))
    with pytest.raises(ValueError, match="both windows or of neither"):
        compare(rows, rows, current_topics=np.arange(40))
    with pytest.raises(ValueError, match="expected topics of"):
        compare(rows, rows, reference_topics=np.arange(39), current_topics=np.arange(40))


def test_labellings_keep_the_number_of_current_groups():
    rng = np.random.default_rng(10)
    is_current = np.arange(30) < 12
    eligible = np.arange(30) != 20
    draw = FreeDraw.random(50, is_current, rng)
    assert (draw.labels().sum(axis=1) == 12).all()
    assert (draw.labels(eligible).sum(axis=1) == 12).all()
    assert draw.labels(eligible)[:, 20].max() == 0.0
    assert (FreeDraw.observed(is_current).labels()[0] == is_current).all()


def test_the_joint_p_value_is_uniform_under_exchangeability():
    rng = np.random.default_rng(12)
    p_values = [joint_p_value(rng.standard_normal((100, 3))) for _ in range(400)]
    assert np.mean(np.asarray(p_values) <= 0.05) == pytest.approx(0.05, abs=0.045)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.08)


def test_what_stands_out_in_one_statistic_only_reaches_the_floor():
    table = np.random.default_rng(22).standard_normal((500, 3))
    table[0] = [9.0, 0.0, 0.0]
    assert joint_p_value(table) == 1 / 500


def test_shifts_in_one_direction_have_a_high_mean_cosine():
    assert mean_cosine(np.ones((5, 8))) == pytest.approx(1.0)
    assert abs(mean_cosine(np.random.default_rng(13).standard_normal((40, 200)))) < 0.02
    assert mean_cosine(np.ones((2, 8))) == 0.0


def wobbling(rng: np.random.Generator, share: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return one day of 40 sessions whose mix of topics differs from that of other days."""
    mix = np.exp(0.6 * rng.standard_normal(10))
    topic = rng.choice(10, 40, p=mix / mix.sum())
    topic[: int(40 * share)] = 11
    rows = np.repeat(around(rng, topic), 3, axis=0)
    return rows + 0.01 * rng.standard_normal(rows.shape).astype(np.float32), np.repeat(np.arange(40), 3)


def against_past(seed: int, share: float = 0.0, days: int = 40):
    rng = np.random.default_rng([14, seed])
    past = [wobbling(rng) for _ in range(days)]
    today = wobbling(rng, share)
    return compare_to_past(
        [rows for rows, _ in past],
        today[0],
        past_groups=[groups for _, groups in past],
        current_groups=today[1],
        rng=seed,
    )


def test_a_new_topic_stands_out_from_forty_wobbling_days():
    result = against_past(0, share=0.25)
    assert result.verdict == "drifted"
    assert result.p_value == result.p_floor == pytest.approx(1 / 41)
    assert set(result.exemplars[:8]) <= set(range(30))
    assert (result.n_reference, result.n_current) == (4_800, 120)
    assert (result.n_groups_reference, result.n_groups_current) == (1_600, 40)


def test_a_new_topic_of_few_sessions_has_the_effect_that_a_verdict_needs():
    results = [against_past(seed, share=0.125) for seed in range(6)]
    found = [result for result in results if result.p_value <= 0.05]
    assert len(found) >= 3
    for result in found:
        assert result.verdict == "drifted"
        assert 0.02 <= result.effect <= 0.5


def test_wobbling_days_are_no_drift_against_a_wobbling_past():
    found = sum(against_past(seed).verdict == "drifted" for seed in range(1, 21))
    assert found <= binom.ppf(0.9995, 20, 0.05)


def test_fewer_than_forty_past_windows_are_not_enough():
    result = against_past(0, days=39)
    assert result.verdict == "insufficient"
    assert "40 comparable past windows" in result.needed
    assert result.p_floor == pytest.approx(1 / 40)


def test_an_empty_past_or_today_is_not_enough():
    assert compare_to_past([], np.zeros((50, 3))).verdict == "insufficient"
    assert compare_to_past([np.ones((50, 3))] * 45, np.zeros((0, 3))).verdict == "insufficient"


def test_spread_is_measured_on_the_other_windows_only():
    scores = np.array([[0.0], [1.0], [2.0], [100.0]])
    assert leave_one_out_z(scores)[3, 0] == pytest.approx((100 - 1) / np.std([0, 1, 2]))


QUESTIONS = around(np.random.default_rng(15), np.arange(40) % 10, 1.0)
ANSWER = np.random.default_rng(16).standard_normal((D, D)).astype(np.float32) / np.sqrt(D)


def calls(rng, n, *, popular=None, refused=0.02, pushed=0.0, length=1):
    """Return prompts, responses and sessions; answers depend on the question."""
    asked = np.repeat(rng.choice(40, n // length, p=popular), length)
    prompts = QUESTIONS[asked] + 0.005 * rng.standard_normal((n, D)).astype(np.float32)
    noise = np.repeat(rng.standard_normal((n // length, D)), length, axis=0) + 0.1 * rng.standard_normal((n, D))
    responses = QUESTIONS[asked] @ ANSWER + 0.1 * noise
    responses[:, 0] += pushed
    refusing = np.repeat(rng.random(n // length) < refused, length)
    responses[refusing] = CENTRES[0] / 5.0 + 0.05 * rng.standard_normal((int(refusing.sum()), D))
    return prompts.astype(np.float32), responses.astype(np.float32), np.repeat(np.arange(n // length), length)


def behaviour(before, after, seed=0):
    return compare_behaviour(
        before[0],
        before[1],
        after[0],
        after[1],
        reference_groups=before[2],
        current_groups=after[2],
        permutations=199,
        rng=seed,
    )


def test_refusals_of_fifteen_percent_are_found():
    rng = np.random.default_rng(17)
    result = behaviour(calls(rng, 400), calls(rng, 400, refused=0.17))
    assert result.verdict == "drifted"
    assert set(result.parts) == {"mmd", "cell_excess", "axes"}
    assert result.parts["cell_excess"].effect == pytest.approx(0.15, abs=0.07)
    assert result.contributions[0].share_current > result.contributions[0].share_reference


def test_another_tone_in_all_answers_is_found_and_called_style():
    rng = np.random.default_rng(18)
    result = behaviour(calls(rng, 300), calls(rng, 300, pushed=0.15))
    assert result.verdict == "drifted"
    assert result.style


def test_exemplars_of_behaviour_point_into_the_current_window():
    rng = np.random.default_rng(19)
    before, after = calls(rng, 400), calls(rng, 400)
    changed = np.arange(0, 400, 5)
    after[1][changed] = CENTRES[3] / 5.0 + 0.02 * rng.standard_normal((len(changed), D))
    result = behaviour(before, after)
    assert result.verdict == "drifted"
    assert np.isin(result.exemplars[:10], changed).mean() >= 0.9


@pytest.mark.parametrize("length", [1, 4], ids=["independent", "sessions"])
def test_a_mere_change_of_questions_is_no_change_of_behaviour(length):
    found, nulls = 0, 25
    for i in range(nulls):
        rng = np.random.default_rng([20, i])
        mixes = [rng.dirichlet(np.full(40, 0.5)) for _ in range(2)]
        before, after = (calls(rng, 400, popular=mix, length=length) for mix in mixes)
        found += behaviour(before, after, i).verdict == "drifted"
    assert found <= binom.ppf(0.9995, nulls, 0.05)


def test_one_model_a_session_whose_share_grows_is_found():
    def window(rng, share):
        prompts, responses, sessions = calls(rng, 480, length=4, refused=0.0)
        other = (rng.random(120) < share)[sessions]
        responses[other, 1] += 0.25
        return prompts, responses, sessions

    rng = np.random.default_rng(24)
    result = behaviour(window(rng, 0.2), window(rng, 0.7))
    assert result.verdict == "drifted"
    assert result.statistic in {"mmd", "axes", "cell_excess"}
    assert behaviour(window(rng, 0.2), window(rng, 0.2)).verdict == "stable"


def test_questions_that_differ_between_windows_within_the_radius_are_not_compared():
    rng = np.random.default_rng(25)
    before, after = calls(rng, 400), calls(rng, 400)
    shifted = after[0].copy()
    shifted[:, 0] += 0.12
    assert behaviour(before, after).matched_within == 0.9
    assert behaviour(before, (shifted, after[1], after[2])).verdict == "insufficient"


def test_no_common_question_is_not_enough():
    rng = np.random.default_rng(21)
    before, after = calls(rng, 200), calls(rng, 200)
    result = behaviour((before[0], before[1], before[2]), (-after[0], after[1], after[2]))
    assert result.verdict == "insufficient"
    assert "asked in both windows" in result.needed
    empty = np.zeros((0, D), dtype=np.float32)
    assert compare_behaviour(before[0], before[1], empty, empty).verdict == "insufficient"


def test_every_prompt_needs_its_response():
    rows = np.zeros((40, 3))
    with pytest.raises(ValueError, match="40 prompts but 39 responses"):
        compare_behaviour(rows, rows[:39], rows, rows)
