"""The levels of topics: which is coarse, which is fine, and what belongs to what. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ASSIGNED_LEVEL = 0
"""The level that calls are assigned to; others are counted through it."""

_DEEPEST = 8  # a cycle in the store must not hang a page


@dataclass(frozen=True)
class Hierarchy:
    """Topics of all levels.

    Attributes
    ----------
    rows : by topic id; each with ``topic_id``, ``parent_id``, ``level`` and ``label``.
    levels : the values of ``level`` that exist, the coarsest first.
    """

    rows: Mapping[int, Mapping[str, Any]]
    levels: tuple[int, ...]

    def lineage(self, topic: Any) -> tuple[int, ...]:
        """The topic, its parent, and so on up; nothing for what is no known topic."""
        found: list[int] = []
        while topic is not None and int(topic) in self.rows and len(found) < _DEEPEST:
            found.append(int(topic))
            topic = self.rows[int(topic)]["parent_id"]
        return tuple(found)

    def children(self, topic: int) -> tuple[int, ...]:
        """Topics whose parent this is."""
        return tuple(key for key, row in self.rows.items() if row["parent_id"] == topic)

    def finer(self, level: int) -> int | None:
        """The level below."""
        place = self.levels.index(level) + 1
        return self.levels[place] if place < len(self.levels) else None

    def title(self, level: int) -> str:
        """What the topics of a level are called on the screen."""
        if level == ASSIGNED_LEVEL:
            return "Topics"
        above = self.levels.index(level) < self.levels.index(ASSIGNED_LEVEL) if ASSIGNED_LEVEL in self.levels else False
        return "Themes" if above else "Sub-topics"

    def among(self, assigned: Iterable[int]) -> Hierarchy:
        """What is related to these topics: their ancestors and descendants, and themselves."""
        own = set(assigned)
        above = {key for topic in own for key in self.lineage(topic)}
        return build(row for key, row in self.rows.items() if key in above or own.intersection(self.lineage(key)))


def build(rows: Iterable[Mapping[str, Any]]) -> Hierarchy:
    """Order the levels by who is whose parent: the number of a level does not say which one is coarse."""
    known = {int(row["topic_id"]): row for row in rows}
    above: dict[int, set[int]] = defaultdict(set)
    for row in known.values():
        parent = known.get(row["parent_id"]) if row["parent_id"] is not None else None
        if parent is not None and parent["level"] != row["level"]:
            above[int(row["level"])].add(int(parent["level"]))
    levels = {int(row["level"]) for row in known.values()}
    return Hierarchy(known, tuple(sorted(levels, key=lambda level: (_depth(level, above), level))))


def _depth(level: int, above: Mapping[int, set[int]], steps: int = 0) -> int:
    if steps >= _DEEPEST:
        return steps
    return max((1 + _depth(parent, above, steps + 1) for parent in above.get(level, ())), default=0)
