"""Traffic that changes its wording but not its meaning, and the reverse."""

from __future__ import annotations

import numpy as np

SUBJECTS = ("Friday", "Monday", "the summer break", "two weeks in May", "tomorrow", "my birthday")
MEANINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "time off": (
        ("What is the PTO policy for {s}?", "Which rules of paid leave apply to {s}?", "State the leave policy: {s}."),
        ("Can I take {s} off?", "I want to be away on {s}, is that fine?", "Could I skip work {s}?"),
    ),
    "expenses": (
        ("What is the reimbursement policy for travel on {s}?", "Which travel expenses of {s} are covered?"),
        ("Do I get my train ticket back for {s}?", "Who pays for my hotel on {s}?"),
    ),
    "remote work": (
        ("What is the policy on remote work on {s}?", "Which rules of home office apply to {s}?"),
        ("Can I work from home {s}?", "Is it fine to stay at home with my laptop {s}?"),
    ),
    "sick leave": (
        ("What is the procedure for illness on {s}?", "Which certificate does sick leave on {s} require?"),
        ("I am ill {s}, what do I have to do?", "Do I need a doctor's note for {s}?"),
    ),
}
NEAR_TWINS: tuple[tuple[str, str], ...] = (
    ("The bank is running low on cash", "The river bank is running low on water"),
    ("The bank raised its rates again {s}", "The river bank rose again {s}"),
    ("How do I reach the bank by {s}?", "How do I reach the river bank by {s}?"),
    ("Is there a branch near the market open {s}?", "Is there a branch of the tree near the market cut {s}?"),
)


def wording(rng: np.random.Generator, n: int, casual: float) -> tuple[list[str], np.ndarray]:
    """Return ``n`` questions of four meanings, of which a share is worded casually, and their meanings."""
    meaning = rng.integers(0, len(MEANINGS), n)
    texts = []
    for m in meaning:
        forms = list(MEANINGS.values())[m][int(rng.random() < casual)]
        texts.append(forms[rng.integers(len(forms))].format(s=SUBJECTS[rng.integers(len(SUBJECTS))]))
    return texts, meaning


def polite(texts: list[str]) -> list[str]:
    """Return the same questions wrapped in the same courtesy."""
    return [f"Hello, I hope you are well. {text} Many thanks in advance." for text in texts]


def twins(rng: np.random.Generator, n: int, river: float) -> list[str]:
    """Return ``n`` sentences that keep their wording; a share of them means a river."""
    forms = [NEAR_TWINS[i][int(rng.random() < river)] for i in rng.integers(0, len(NEAR_TWINS), n)]
    return [form.format(s=SUBJECTS[rng.integers(len(SUBJECTS))]) for form in forms]
