"""The spans of one trace as a tree, of which any part may be missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from collector.records import Record


class Tree:
    """Who is above whom in one trace.

    Parents that never arrived still count as common ancestors of their children, and a loop of parents
    ends where it began.

    Parameters
    ----------
    trace_id : the trace.
    spans : its span records, unique by ``span_id``.
    """

    def __init__(self, trace_id: str, spans: Sequence[Record]) -> None:
        self.trace_id = trace_id
        self.spans: dict[str, Record] = {str(span["span_id"]): span for span in spans}
        self._paths: dict[str, tuple[str, ...]] = {}

    def path(self, span_id: str) -> tuple[str, ...]:
        """Return the ids from the topmost known ancestor down to the span itself."""
        known = self._paths.get(span_id)
        if known is not None:
            return known
        steps: list[str] = []
        seen: set[str] = set()
        here: str | None = span_id
        while here is not None and here not in seen:
            seen.add(here)
            steps.append(here)
            span = self.spans.get(here)
            here = span.get("parent_span_id") if span else None
        found = self._paths[span_id] = tuple(reversed(steps))
        return found

    def common_depth(self, one: str, other: str) -> int:
        """Return how many ancestors two spans share; 0 where only the trace joins them."""
        depth = 0
        for mine, its in zip(self.path(one), self.path(other), strict=False):
            if mine != its:
                break
            depth += 1
        return depth

    def ancestors(self, span_id: str) -> Iterator[Record]:
        """Yield the known ancestors of a span, the nearest first."""
        for step in reversed(self.path(span_id)[:-1]):
            span = self.spans.get(step)
            if span is not None:
                yield span

    def is_below(self, span_id: str, ancestor_id: str) -> bool:
        """Tell whether a span stands somewhere below another."""
        return span_id != ancestor_id and ancestor_id in self.path(span_id)

    def inherited(self, span_id: str, field: str) -> str | None:
        """Return a fact of the nearest ancestor that states it."""
        for span in self.ancestors(span_id):
            value = span.get("facts", {}).get(field)
            if value is not None:
                return str(value)
        return None
