"""Levels of topics are ordered by who is whose parent, not by their numbers."""

from __future__ import annotations

import pytest

from dashboard.hierarchy import Hierarchy, build


def made(theme_level: int) -> Hierarchy:
    rows = [(100, None, theme_level), (1, 100, 0), (2, 100, 0), (3, None, 0), (10, 1, 1), (11, 1, 1)]
    return build({"topic_id": t, "parent_id": p, "level": level, "label": f"t{t}"} for t, p, level in rows)


@pytest.mark.parametrize("theme_level", [-1, 2])
def test_levels_are_ordered_from_coarse_to_fine_whatever_their_numbers(theme_level: int) -> None:
    known = made(theme_level)
    assert known.levels == (theme_level, 0, 1)
    assert [known.title(level) for level in known.levels] == ["Themes", "Topics", "Sub-topics"]
    assert known.finer(theme_level) == 0
    assert known.finer(1) is None


def test_a_topic_counts_for_all_above_it() -> None:
    known = made(2)
    assert known.lineage(10) == (10, 1, 100)
    assert known.lineage(None) == known.lineage(-1) == ()
    assert known.children(1) == (10, 11)


def test_topics_of_one_field_come_with_what_is_above_and_below_them() -> None:
    assert set(made(2).among([1]).rows) == {100, 1, 10, 11}


def test_a_cycle_in_the_store_does_not_hang_a_page() -> None:
    rows = [(1, 2, 0), (2, 1, 1)]
    known = build({"topic_id": t, "parent_id": p, "level": level, "label": ""} for t, p, level in rows)
    assert set(known.lineage(1)) == {1, 2}
    assert len(known.levels) == 2
