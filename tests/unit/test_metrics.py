from __future__ import annotations

import numpy as np
import pytest

from analysis.metrics.refusal import find_refusal, is_refusal
from analysis.metrics.severity import Judgements, judge

START = np.datetime64("2026-03-02T00", "h")


def hourly_cost(rng: np.random.Generator, days: int, calls_a_day: float) -> tuple[np.ndarray, np.ndarray]:
    """Return hourly costs with a daily rhythm, Poisson volume and skewed costs per call."""
    hours = np.arange(24 * days)
    rhythm = np.clip(np.sin((hours % 24 - 7) / 12 * np.pi), 0.03, None)
    calls = rng.poisson(calls_a_day * rhythm / rhythm[:24].sum())
    return START + hours, np.array([rng.lognormal(-6, 0.6, n).sum() for n in calls])


# --- Intervals -----------------------------------------------------------------------------------


# --- Trend ---------------------------------------------------------------------------------------


# --- Spikes --------------------------------------------------------------------------------------


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


def test_a_repeated_tool_call_is_counted_wherever_it_stands_in_the_trace() -> None:
    assert judge(Judgements(repeated_tool_calls=4)).reasons == (
        "The agent made the same tool call 4 times; flagged from 3 on.",
    )


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
        ("I won't be able to help you with that.", "declined"),
        ("I'd rather not discuss that.", "declined"),
        ("That is outside what I can help with.", "declined"),
        ("I'm just an assistant and can't make that decision.", "declined"),
        ("The handbook says nothing about this.", "unknown"),
        ("No relevant information was found in the sources.", "unknown"),
        ("This question cannot be answered from the documents.", "unknown"),
        ("There's no mention of a Silver card.", "unknown"),
        ("The fee isn't mentioned in the documents.", "unknown"),
        ("I lack the information needed to answer this.", "unknown"),
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
        "A married person cannot be claimed as a dependent.",
        "The plant cannot be found in Europe.",
        "The counter is outside the branch, and change is not available there.",
        "Trim the fat from the outside; no data is sent to the shop.",
        "No information is given to your employer.",
        "There is no data limit on the Plus plan.",
        pytest.param("not " + "given " * 30_000, id="thousands of words that a phrase begins with"),
    ],
)
def test_answers_that_contain_negations_are_no_refusals(text: str) -> None:
    assert not is_refusal(text)


def test_a_long_answer_with_one_gap_is_no_refusal() -> None:
    text = "The documents do not mention Saturdays. " + "On weekdays every branch opens at nine. " * 15
    assert find_refusal(text) is not None
    assert not is_refusal(text)
