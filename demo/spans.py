"""What both instrumentations share: planned spans, ids, clock, tokens."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime

from opentelemetry.trace import SpanKind

Attribute = str | bool | int | float | list[str]

_CHARACTERS_PER_TOKEN = 4.2
_TOKENS_PER_MESSAGE = 4
_SPAN_STEP = 0x9E3779B97F4A7C15
OLD = 0
_MASK = 2**64 - 1


@dataclass
class PlannedSpan:
    """One span before the SDK makes it.

    Attributes
    ----------
    parent : index of the parent within its trace, or None.
    start_ns, end_ns : since the epoch.
    error : type of the failure, or an empty string.
    """

    name: str
    kind: SpanKind
    parent: int | None
    start_ns: int
    end_ns: int
    attributes: dict[str, Attribute]
    error: str = ""


@dataclass
class Clock:
    """Hands out the times of one trace, from its start on, one step after another."""

    now_ns: int
    rng: random.Random
    first_ns: int = field(init=False)

    def __post_init__(self) -> None:
        self.first_ns = self.now_ns

    def pause(self, low_ms: float, high_ms: float) -> int:
        """Advance by some milliseconds and return the new time."""
        self.now_ns += round(self.rng.uniform(low_ms, high_ms) * 1e6)
        return self.now_ns

    def model(self, input_tokens: int, output_tokens: int) -> tuple[int, float]:
        """Advance by one call of a model; return its end and its time to the first token in seconds."""
        ttft_ms = self.rng.lognormvariate(5.95, 0.32) + input_tokens * 0.02
        per_token_ms = self.rng.uniform(7, 12)
        self.now_ns += round((ttft_ms + output_tokens * per_token_ms) * 1e6)
        return self.now_ns, ttft_ms / 1e3


def span_id(trace_id: str, index: int) -> str:
    """Return the id of the span `index` of a trace; it can be known before the span is sent."""
    return f"{(int(trace_id, 16) + (index + 1) * _SPAN_STEP) & _MASK or 1:016x}"


def nanoseconds(moment: datetime) -> int:
    """Return a naive UTC time as nanoseconds since the epoch."""
    return round(moment.replace(tzinfo=UTC).timestamp() * 1e6) * 1000


def tokens(*texts: str) -> int:
    """Estimate the tokens of some messages from their length."""
    return sum(max(1, round(len(text) / _CHARACTERS_PER_TOKEN)) + _TOKENS_PER_MESSAGE for text in texts)
