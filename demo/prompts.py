"""The prompts of the two assistants and their versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from demo.events import Event, Kind
from demo.knowledge import CUSTOMER, STAFF


@dataclass(frozen=True)
class Prompt:
    """One version of a prompt.

    Attributes
    ----------
    instructions : the system message without passages.
    """

    name: str
    version: str
    instructions: str

    @property
    def system_template(self) -> str:
        """System message that holds the passages as well, with the slot `{context}`."""
        return f"{self.instructions}\n\nPassages:\n{{context}}"

    @property
    def user_template(self) -> str:
        """User message that holds the passages as well, with the slots `{context}` and `{question}`."""
        return "Passages:\n{context}\n\nQuestion: {question}"


CUSTOMER_V3 = Prompt(
    "customer-answer",
    "3",
    "You are the assistant of Fenmarrow Bank. Answer the customer's question in one to three plain sentences, "
    "only from the passages. Answer in the customer's language.",
)
CUSTOMER_V4 = Prompt(
    "customer-answer",
    "4",
    "You are the official correspondence assistant of Fenmarrow Bank. Answer formally and politely, only from the "
    "passages. Do not give advice that could be binding; refer to an adviser when in doubt.",
)
STAFF_V2 = Prompt(
    "handbook-answer",
    "2",
    "You answer questions of Fenmarrow Bank's staff from the handbook. Use only the passages below and keep it short.",
)


def prompt_at(service: str, moment: datetime, events: dict[Kind, Event]) -> Prompt:
    """Return the prompt that a service used at a moment."""
    if service == STAFF:
        return STAFF_V2
    edited = service == CUSTOMER and events["prompt_edit"].covers(moment)
    return CUSTOMER_V4 if edited else CUSTOMER_V3
