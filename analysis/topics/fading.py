"""Topics whose share of the conversations changed: fading, gone, or growing, counted in sessions.

Two windows are compared topic by topic with the conditional binomial test (Przyborowski and Wilenski, 1940), two-sided,
under one Holm correction, and a change must at least double or halve the share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.drift.arrays import Groups, as_groups
from analysis.topics.geometry import DoubleArray, IntArray

LEVEL = 0.001
LEAST_FACTOR = 2.0
# Fewer sessions in both windows together cannot show that a share halved.
LEAST_TOUCHED = 20


@dataclass(frozen=True)
class Shift:
    """A topic whose share of the sessions changed.

    Attributes
    ----------
    topic_id
        The topic.
    share_before, share_now
        Share of the sessions that touch it, in [0, 1].
    sessions_before, sessions_now
        How many sessions that is.
    p_value
        Two-sided, Holm-corrected over all topics.
    """

    topic_id: int
    share_before: float
    share_now: float
    sessions_before: int
    sessions_now: int
    p_value: float


def find_shifts(
    reference_ids: IntArray, current_ids: IntArray, *, reference_groups: Groups, current_groups: Groups
) -> list[Shift]:
    """Find topics whose share of the sessions at least doubled or halved.

    Parameters
    ----------
    reference_ids, current_ids
        Topic id of every row (n,) and (m,), -1 for none.
    reference_groups, current_groups
        Session of every row.

    Returns
    -------
    list of Shift
        By corrected p-value; empty where there is too little to tell.
    """
    from scipy.stats import binomtest

    topics = np.unique(np.concatenate([reference_ids, current_ids]))
    topics = topics[topics >= 0]
    before, all_before = _touched(reference_ids, reference_groups, topics)
    now, all_now = _touched(current_ids, current_groups, topics)
    # A session touches several topics: pairs, not sessions, so that longer sessions are no growth of everything.
    pairs_before, pairs_now = max(int(before.sum()), 1), max(int(now.sum()), 1)
    tested = np.flatnonzero(before + now >= LEAST_TOUCHED)
    chance = pairs_now / (pairs_before + pairs_now)
    raw = [float(binomtest(int(now[t]), int(before[t] + now[t]), chance).pvalue) for t in tested]
    shifts = [
        Shift(int(topics[t]), before[t] / all_before, now[t] / all_now, int(before[t]), int(now[t]), float(p))
        for t, p in zip(tested.tolist(), holm(np.array(raw)), strict=True)
        if p <= LEVEL and _factor(now[t] / pairs_now, before[t] / pairs_before) >= LEAST_FACTOR
    ]
    return sorted(shifts, key=lambda shift: (shift.p_value, shift.topic_id))


def holm(p_values: DoubleArray) -> DoubleArray:
    """Return p-values (n,) corrected by the step-down method of Holm (1979)."""
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * (len(p_values) - np.arange(len(p_values))))
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def _touched(ids: IntArray, groups: Groups, topics: IntArray) -> tuple[IntArray, int]:
    """Return how many sessions touch each topic (k,), and how many sessions there are."""
    session = as_groups(groups, len(ids), "groups")
    sessions = int(session.max(initial=0)) + 1
    inside = ids >= 0
    place = np.searchsorted(topics, ids[inside])
    pairs = np.unique(place * sessions + session[inside])
    return np.bincount(pairs // sessions, minlength=len(topics)), sessions


def _factor(a: float, b: float) -> float:
    """By what factor the larger exceeds the smaller."""
    return max(a, b) / max(min(a, b), np.finfo(float).tiny)
