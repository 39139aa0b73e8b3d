"""Topics that ended and topics that are new are told as merges and splits only where their places say so."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.topics.geometry import unit_rows
from analysis.topics.kinship import find_kin
from analysis.topics.partition import Partition

A, B, C, D = np.eye(4, 16, dtype=np.float32)


def partition(**places: np.ndarray) -> Partition:
    ids = np.array([int(name.removeprefix("t")) for name in places])
    return Partition(ids, unit_rows(np.array(list(places.values()))), np.full(len(ids), 0.2, np.float32))


@pytest.mark.parametrize(
    ("old", "new", "merged", "split"),
    [
        ({"t0": A, "t1": B, "t2": C}, {"t2": C, "t3": A + B}, {0: 3, 1: 3}, {}),
        ({"t0": A, "t1": B, "t2": C}, {"t1": B, "t2": C, "t3": A + B}, {0: 3}, {}),
        ({"t0": A + B, "t2": C}, {"t2": C, "t3": A, "t4": B}, {}, {0: (3, 4)}),
        ({"t0": A, "t2": C}, {"t2": C, "t3": D}, {}, {}),
        ({"t0": A, "t2": C}, {"t0": A, "t2": C}, {}, {}),
        ({"t0": A, "t2": C}, {"t2": C}, {}, {}),
        ({"t0": A + B, "t2": C}, {"t0": A + 0.2 * B, "t2": C, "t3": B}, {}, {0: (0, 3)}),
        ({"t0": A + B, "t2": C}, {"t0": A + B, "t2": C, "t3": B}, {}, {}),
        ({"t0": A, "t1": B, "t2": C}, {"t0": A + B, "t2": C}, {1: 0}, {}),
        ({"t0": A, "t1": B, "t2": C}, {"t0": A, "t2": C}, {}, {}),
    ],
    ids=[
        "two merge",
        "one joins another",
        "one parts",
        "one dies and another is born",
        "nothing",
        "one dies",
        "a part leaves",
        "a neighbour is born",
        "one moves to meet another",
        "a neighbour dies",
    ],
)
def test_what_became_of_a_topic_is_told_by_where_the_new_ones_lie(old, new, merged, split):
    kin = find_kin(partition(**old), partition(**new))
    assert (dict(kin.merged), dict(kin.split)) == (merged, split)


def test_a_topic_that_followed_one_part_for_weeks_was_split_where_it_was_first_found():
    before, after = partition(t0=A + 0.2 * B, t2=C), partition(t0=A, t2=C, t3=B)
    assert find_kin(before, after).split == {}
    assert find_kin(before, after, {0: unit_rows((A + B)[None])[0]}).split == {0: (0, 3)}
