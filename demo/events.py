"""What happens in the eventful week, and what each happening may rightly move."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from demo.knowledge import CUSTOMER, STAFF

QUIET_DAYS = 42
EVENTFUL_DAYS = 7

Kind = Literal[
    "traffic",
    "new_topic",
    "prompt_edit",
    "article",
    "ungrounded",
    "bad_feedback",
    "cost_spike",
    "old_edition",
    "injection",
]


@dataclass(frozen=True)
class Event:
    """One planted event.

    Attributes
    ----------
    required : the demo fails when it is not found.
    start, end : naive UTC; the event holds from `start` until before `end`.
    moves : what it rightly changes: drift fields (prompt, context, response, behaviour) and the names of built-in
        monitors (cost, groundedness, feedback, errors, refusals, new_topic).
    """

    kind: Kind
    title: str
    required: bool
    service: str
    start: datetime
    end: datetime
    moves: tuple[str, ...]

    def covers(self, moment: datetime) -> bool:
        """Whether the event holds at a moment."""
        return self.start <= moment < self.end

    def to_json(self) -> dict[str, Any]:
        """Return plain values, times as ISO 8601."""
        return asdict(self) | {"start": self.start.isoformat(), "end": self.end.isoformat(), "moves": list(self.moves)}


def first_eventful_day(end: datetime) -> datetime:
    """Return the midnight at which the eventful week begins."""
    return end - timedelta(days=EVENTFUL_DAYS)


def planted_events(end: datetime) -> dict[Kind, Event]:
    """Return the events of the week that ends at the midnight `end` (naive UTC)."""
    first = first_eventful_day(end)

    def at(day: int, hour: int) -> datetime:
        return first + timedelta(days=day, hours=hour)

    events = (
        Event("traffic", "A campaign brings seven times the traffic", False, "", at(0, 0), end, ()),
        Event(
            "new_topic", "New topic: cards frozen by Travel Shield",
            True, CUSTOMER, at(1, 9), end,
            ("prompt", "context", "response", "new_topic", "feedback"),
        ),
        Event(
            "prompt_edit", "Prompt v4: stiff answers, one in four refuses",
            True, CUSTOMER, at(2, 12), end, ("behaviour", "response", "refusals", "feedback"),
        ),
        Event(
            "article", "The knowledge base gains an article on Travel Shield",
            False, CUSTOMER, at(3, 18), end, ("context", "response", "behaviour"),
        ),
        Event(
            "ungrounded", "Half of the handbook answers invent fees and dates",
            True, STAFF, at(4, 8), at(4, 17), ("groundedness", "behaviour", "response"),
        ),
        Event(
            "bad_feedback", "Staff give the inventions a thumb down",
            False, STAFF, at(4, 8), at(4, 18), ("feedback",),
        ),
        Event(
            "cost_spike", "Agent loops repeat one tool call with growing contexts",
            True, CUSTOMER, at(5, 13), at(5, 16), ("cost",),
        ),
        Event(
            "old_edition", "An index swap brings the 2019 handbook back",
            False, STAFF, at(6, 6), end, ("context", "response", "behaviour"),
        ),
        Event(
            "injection", "Attempts to talk the assistant out of its rules",
            False, CUSTOMER, at(6, 10), at(6, 13),
            ("prompt", "context", "response", "behaviour", "refusals", "groundedness", "new_topic"),
        ),
    )  # fmt: skip
    return {event.kind: event for event in events}
