"""Groups of messages, correction for many tests, and the sentence of a verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from analysis.drift import Contribution, DriftResult, Part, benjamini_hochberg, session_groups
from analysis.drift.sentence import Change, Scene, segment_sentence, smallest_detectable, verdict_sentence

START = datetime(2026, 3, 10, 14, 0)  # noqa: DTZ001 - the sentence prints whatever zone it is given
MINUTE = np.timedelta64(1, "m")


def times(*minutes: int) -> np.ndarray:
    return np.datetime64("2026-03-10T09:00", "us") + np.array(minutes) * MINUTE


def together(groups: np.ndarray, first: int, second: int) -> bool:
    return bool(groups[first] == groups[second])


def test_the_session_comes_first_then_user_and_day_then_trace_then_the_message():
    found = session_groups(
        ["s1", "s1", None, None, "", None, None],
        ["u1", "u2", "u1", "u1", "u1", None, None],
        ["t1", "t2", "t3", "t4", "t5", "t6", None],
        times(0, 30, 60, 120, 60 * 24, 90, 100),
    )
    assert together(found.groups, 0, 1)
    assert together(found.groups, 2, 3)
    assert not together(found.groups, 2, 4)
    assert found.n_groups == 5
    assert found.share_without_session == pytest.approx(5 / 7)
    assert found.description == "2 by session, 3 by user and day, 1 by trace, 1 by message"


def test_equal_prompts_of_one_service_within_ten_minutes_are_joined():
    found = session_groups(
        ["a", "b", "c", "d", "e"],
        times=times(0, 9, 18, 40, 5),
        services=["x", "x", "x", "x", "y"],
        prompt_keys=["k"] * 5,
    )
    assert together(found.groups, 0, 1)
    assert together(found.groups, 1, 2)
    assert not together(found.groups, 2, 3)
    assert not together(found.groups, 0, 4)
    assert found.description.endswith("2 groups joined as near-identical within ten minutes")


def test_near_vectors_are_joined_and_distant_ones_are_not():
    vectors = np.array([[1.0, 0.0], [0.99, 0.05], [0.0, 1.0]])
    found = session_groups(["a", "b", "c"], times=times(0, 1, 2), vectors=vectors)
    assert together(found.groups, 0, 1)
    assert not together(found.groups, 0, 2)


def test_unknown_times_join_nothing():
    when = np.array(["NaT", "NaT"], dtype="datetime64[us]")
    assert session_groups([None, None], ["u", "u"], times=when, prompt_keys=["k", "k"]).n_groups == 2


def test_no_messages_have_no_groups():
    found = session_groups([], times=times())
    assert (found.n_groups, found.share_without_session, found.description) == (0, 0.0, "no messages")


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="must all have 2 rows"):
        session_groups(["a", "b"], ["u"])


def test_adjusted_p_values_keep_the_order_given():
    adjusted = benjamini_hochberg([0.03, 0.001, 0.5, np.nan])
    assert adjusted[:3] == pytest.approx([0.045, 0.003, 0.5])
    assert np.isnan(adjusted[3])
    assert benjamini_hochberg([]).shape == (0,)


def test_what_is_no_p_value_is_refused():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        benjamini_hochberg([1.2])


DRIFTED = DriftResult(
    statistic="cell_excess",
    value=6.1,
    effect=0.066,
    p_value=0.002,
    verdict="drifted",
    n_reference=4_100,
    n_current=980,
    parts={"cell_excess": Part(6.1, 0.002, 0.066)},
    contributions=(Contribution(7, 0.004, 0.07, 0.8, "share", (1, 2)),),
    p_floor=0.002,
    n_groups_reference=1_630,
    n_groups_current=412,
)
SCENE = Scene(
    "prompt",
    START,
    START + timedelta(hours=10),
    changes=(Change(START - timedelta(minutes=20), "prompt", "support", "v14"),),
    topic_labels={7: "frozen cards abroad"},
)


def test_a_drift_is_told_with_sizes_p_and_the_nearest_change():
    assert verdict_sentence(DRIFTED, SCENE) == (
        "Since Tue 10 Mar 14:00, 7 % of prompts (was 0.4 %) are about frozen cards abroad; style unchanged; "
        "prompt support v14 went live 20 min before (p ≤ .002; effect 7 %; 980 messages in 412 sessions "
        "compared with 4,100 in 1,630 before)."
    )


def test_where_no_moment_stands_out_the_day_is_named_instead_of_its_midnight():
    midnight = START.replace(hour=0)
    day = replace(SCENE, current_start=midnight, current_end=midnight + timedelta(days=1))
    assert verdict_sentence(DRIFTED, day).startswith("On Tue 10 Mar, 7 % of prompts")
    week = replace(day, current_end=midnight + timedelta(days=7))
    assert verdict_sentence(DRIFTED, week).startswith("From Tue 10 Mar to Mon 16 Mar, 7 % of prompts")


def test_a_change_that_one_topic_does_not_account_for_is_told_with_its_whole_size():
    within = (Contribution(7, 0.07, 0.07, 0.3, "within", (1, 2)),)
    told = verdict_sentence(replace(DRIFTED, contributions=within, effect=0.82), SCENE)
    assert "prompts changed, about 82 % of them, most clearly about frozen cards abroad (7 % of them)" in told
    told = verdict_sentence(replace(DRIFTED, contributions=within, effect=0.06), SCENE)
    assert "prompts about frozen cards abroad changed, 7 % of the traffic" in told


def test_a_part_of_the_traffic_is_told_by_its_name():
    assert segment_sentence(DRIFTED, "response", "about frozen cards") == (
        "Responses about frozen cards changed, about 7 % of them (p ≤ .002; 980 messages compared with 4,100 before)."
    )
    told = segment_sentence(replace(DRIFTED, verdict="stable", p_value=0.41), "response", "of model gpt-5")
    assert told.startswith("No change in responses of model gpt-5 (p = .41;")


def test_no_recorded_change_is_said_too():
    told = verdict_sentence(DRIFTED, replace(SCENE, changes=(), looked_back=timedelta(hours=6)))
    assert "no recorded change in the 6 h before" in told
    assert "recorded" not in verdict_sentence(DRIFTED, replace(SCENE, changes=()))


def test_style_is_told_as_style():
    told = verdict_sentence(replace(DRIFTED, style=True), SCENE)
    assert "another style" in told
    assert "style unchanged" not in told


def test_stability_is_told_with_what_could_have_been_seen():
    stable = replace(DRIFTED, verdict="stable", p_value=0.41, effect=0.01)
    told = verdict_sentence(stable, SCENE)
    assert told.startswith("No change in prompts: 980 messages in 412 sessions compared with 4,100")
    assert "p = .41" in told
    assert "smallest new topic that would be seen: about 5 % of sessions" in told
    assert smallest_detectable(1_000, 4_000) == pytest.approx(0.0316, abs=1e-4)


def test_a_significant_change_below_the_minimum_effect_is_told_as_small():
    told = verdict_sentence(replace(DRIFTED, verdict="stable", effect=0.001), SCENE)
    assert "effect 0.1 %, too small to report" in told


def test_a_change_that_correction_leaves_uncertain_is_not_called_small():
    told = verdict_sentence(replace(DRIFTED, verdict="stable", p_value=0.02, effect=0.2), SCENE)
    assert "effect 20 %, not certain enough to report" in told


def test_insufficient_data_is_told_with_what_is_needed():
    short = replace(DRIFTED, verdict="insufficient", needed="at least 30 messages", n_current=4)
    told = verdict_sentence(short, SCENE)
    assert told.startswith("Not enough data to judge prompts: 4 messages")
    assert told.endswith("needed: at least 30 messages.")
