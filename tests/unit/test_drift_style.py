"""A change of wording told from a change of meaning, and the messages that show a change."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.drift.pooled import Windows, windows
from analysis.drift.style import is_style
from analysis.drift.telling import tellingness
from analysis.embed import load_embedder

THINGS = ("the garden hose", "our tax return", "a train to Vienna", "my piano lesson", "the oven", "her passport")
ASKED = ("Which rules apply to {x}?", "What is the price of {x}?", "Who is responsible for {x}?", "Describe {x}.")
QUESTIONS = [form.format(x=thing) for thing in THINGS for form in ASKED] * 3
BANK = [f"The bank {what} {when}" for what in ("is low on cash", "has new rates") for when in ("now", "today")] * 18


def told(before: list[str], after: list[str]) -> Windows:
    embed = load_embedder().encode
    return windows(np.asarray(embed(before)), np.asarray(embed(after)))


@pytest.mark.parametrize("way", ["Hi all, {x} Best wishes and thank you!", "{x} quick pls thx!!!"])
def test_the_same_questions_in_another_tone_are_a_change_of_style(way: str):
    assert is_style(told(QUESTIONS, [way.format(x=question) for question in QUESTIONS]), 0)


def test_the_same_wording_with_another_meaning_is_no_change_of_style():
    assert not is_style(told(BANK, [text.replace("The bank", "The river bank") for text in BANK]), 0)


def test_questions_about_something_else_are_no_change_of_style():
    half = len(QUESTIONS) // 2
    assert not is_style(told(QUESTIONS[:half], [text.replace("the", "a stolen") for text in BANK[:half]]), 0)


def test_a_common_shift_of_vectors_of_an_unknown_model_is_called_style():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((2, 400, 384))
    assert is_style(windows(rows[0], rows[1] + 0.5), 0)
    assert not is_style(windows(rows[0], rng.standard_normal((400, 384))), 0)


def test_the_most_telling_rows_are_those_of_a_new_cluster():
    rng = np.random.default_rng(1)
    current = rng.standard_normal((400, 16))
    current[:20] = 3.0 + 0.3 * rng.standard_normal((20, 16))
    telling = tellingness(windows(rng.standard_normal((400, 16)), current), 0, changed=20.0).values
    assert set(np.argsort(-telling)[:5]) <= set(range(20))


def test_one_session_cannot_vouch_for_itself():
    rng = np.random.default_rng(2)
    current = rng.standard_normal((400, 16))
    current[:30] = current[0] + 0.01 * rng.standard_normal((30, 16))
    groups = np.concatenate([np.zeros(30, dtype=int), np.arange(1, 371)])
    telling = tellingness(windows(rng.standard_normal((400, 16)), current, None, groups), 0).values
    assert telling[:30].mean() < np.quantile(telling, 0.99)
