"""The head of a reason, for a narrow column and the first line of the page."""

from __future__ import annotations

import pytest

from dashboard.components.review import brief


@pytest.mark.parametrize(
    ("reason", "head"),
    [
        (
            "System prompt given away in the answer (repeats the system prompt), characters 2 to 9: value 1.00.",
            "System prompt given away in the answer",
        ),
        ("Possibly ungrounded: 3 of 3 claims are in no document; risk 0.82, threshold 0.26.", "Possibly ungrounded"),
        ("The answer was cut off by the token limit.", "The answer was cut off by the token limit"),
        ("flagged", "flagged"),
    ],
)
def test_a_reason_is_shortened_to_what_was_found(reason: str, head: str) -> None:
    assert brief(reason) == head
