"""Whatever no other dialect claims: stored as a span without meaning, but its session and user count."""

from __future__ import annotations

from collector.dialects.base import Bag, Reading
from collector.dialects.genai_fields import read_identity
from collector.raw import RawLog, RawSpan
from collector.records import Facts


class Plain:
    """Every span that is left over."""

    name = "plain"

    def claims(self, span: RawSpan) -> bool:
        """Claim anything."""
        return True

    def read_span(self, span: RawSpan) -> Reading:
        """Read who is talking, which the calls below this span inherit; all attributes stay with the span."""
        facts: Facts = {}
        read_identity(Bag(span.attributes), facts)
        return Reading(None, facts, set())

    def read_log(self, log: RawLog, event_name: str) -> Reading | None:
        """Ordinary log lines are not stored."""
        return None
