"""The spans of one trace as a tree, of which any part may be missing.

Traces may be very large and very deep: every question is answered without walking a whole branch each time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, TypeVar

from collector.records import Record

_T = TypeVar("_T")


class _Node:
    """A span, or a parent that never arrived.

    ``jump`` leads to an ancestor so that any is reached in a logarithmic number of steps (Myers 1983, skew-binary
    jump pointers).
    """

    __slots__ = ("depth", "id", "jump", "span", "up")

    def __init__(self, span_id: str, span: Record | None, up: _Node | None) -> None:
        self.id = span_id
        self.span = span
        self.up = up
        self.depth = 0
        self.jump = self
        if up is not None:
            self.depth = up.depth + 1
            even = up.depth - up.jump.depth == up.jump.depth - up.jump.jump.depth
            self.jump = up.jump.jump if even else up

    def at_depth(self, depth: int) -> _Node:
        """Return the ancestor at a depth, or the node itself."""
        node = self
        while node.depth > depth and node.up is not None:
            node = node.jump if node.jump.depth >= depth else node.up
        return node


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
        self._nodes: dict[str, _Node] = {}
        self._memos: dict[Hashable, dict[str, Any]] = {}

    def _node(self, span_id: str) -> _Node:
        known = self._nodes.get(span_id)
        return self._grown(span_id) if known is None else known

    def _grown(self, span_id: str) -> _Node:
        steps: dict[str, Record | None] = {}
        here: str | None = span_id
        while here is not None and here not in steps and here not in self._nodes:
            span = steps[here] = self.spans.get(here)
            here = span.get("parent_span_id") if span else None
        node = None if here is None else self._nodes.get(here)
        for step in reversed(steps):
            node = self._nodes[step] = _Node(step, steps[step], node)
        return self._nodes[span_id]

    def depth(self, span_id: str) -> int:
        """Return how many ancestors a span has, the topmost of which may never have arrived."""
        return self._node(span_id).depth

    def common_depth(self, one: str, other: str) -> int:
        """Return how many ancestors two spans share; 0 where only the trace joins them."""
        mine, its = self._node(one), self._node(other)
        depth = min(mine.depth, its.depth)
        mine, its = mine.at_depth(depth), its.at_depth(depth)
        while mine is not its:
            if mine.up is None or its.up is None:
                return 0
            apart = mine.jump is not its.jump
            mine, its = (mine.jump, its.jump) if apart else (mine.up, its.up)
        return mine.depth + 1

    def ancestors(self, span_id: str) -> Iterator[Record]:
        """Yield the known ancestors of a span, the nearest first."""
        node = self._node(span_id).up
        while node is not None:
            if node.span is not None:
                yield node.span
            node = node.up

    def ancestor_ids(self, span_id: str) -> Iterator[str]:
        """Yield the ids of the ancestors of a span, the nearest first; the last may never have arrived."""
        node = self._node(span_id).up
        while node is not None:
            yield node.id
            node = node.up

    def is_below(self, span_id: str, ancestor_id: str) -> bool:
        """Tell whether a span stands somewhere below another."""
        if span_id == ancestor_id:
            return False
        node, above = self._node(span_id), self._node(ancestor_id)
        return node.at_depth(above.depth) is above

    def nearest(self, span_id: str, what: Hashable, pick: Callable[[Record], _T | None]) -> _T | None:
        """Return what is picked of the nearest ancestor of which anything is.

        Parameters
        ----------
        what : names the question: what was found is remembered by it.
        pick : gives the answer of one ancestor, or None.
        """
        memo = self._memos.setdefault(what, {})
        passed: list[str] = []
        found: _T | None = None
        node = self._node(span_id)
        while node.up is not None:
            if node.id in memo:
                found = memo[node.id]
                break
            passed.append(node.id)
            node = node.up
            found = None if node.span is None else pick(node.span)
            if found is not None:
                break
        memo.update(dict.fromkeys(passed, found))
        return found

    def inherited(self, span_id: str, field: str) -> str | None:
        """Return a fact of the nearest ancestor that states it."""
        value = self.nearest(span_id, field, lambda span: span.get("facts", {}).get(field))
        return None if value is None else str(value)
