"""Since when: the change point of a drift, with an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.drift.arrays import Floats, Groups, Ints, as_groups
from analysis.drift.result import DriftResult

COMPONENTS = 16
LEAST = 5
STANDS_OUT = 4.0
WITHIN = 3.7  # both sides stay within c with probability (1 - exp(-c))^2, 95 %


@dataclass(frozen=True)
class Onset:
    """When a change began and the 95 % interval of it, ``datetime64[us]``."""

    at: np.datetime64
    low: np.datetime64
    high: np.datetime64


def find_onset(times: npt.ArrayLike, scores: npt.ArrayLike, groups: Groups = None) -> Onset | None:
    """Return since when the mean of a score is another one, or ``None`` where no moment stands out.

    One change of a share (of indicators) or of the mean of normal values with a common variance, by maximum
    likelihood (Hinkley, 1970, doi:10.1093/biomet/57.1.1); the interval holds the moments whose log-likelihood is
    within 3.7 of the best (Siegmund, 1988, doi:10.2307/1403360, to first order). Groups count once, by their mean,
    at their first message.

    Parameters
    ----------
    times
        (n,) times.
    scores
        (n,) indicators or numbers that the drift moved.
    groups
        (n,) sessions.
    """
    when = np.asarray(times, dtype="datetime64[us]")
    values = np.asarray(scores, dtype=np.float64)
    member = as_groups(groups, len(values), "groups")
    first, mean = _by_group(when, values, member)
    n = len(mean)
    if n < 4 * LEAST or np.ptp(mean) == 0.0:
        return None
    k = np.arange(LEAST, n - LEAST)
    likelihood = _of_shares(mean, k) if np.isin(values, (0.0, 1.0)).all() else _of_means(mean, k)
    best = int(likelihood.argmax())
    if likelihood[best] < STANDS_OUT:
        return None
    near = k[likelihood >= likelihood[best] - WITHIN]
    return Onset(first[k[best]], first[near[0] - 1], first[near[-1]])


def _of_shares(mean: Floats, k: Ints) -> Floats:
    """Return the gain in log-likelihood of a change of share before each of the positions k."""
    n, total = len(mean), np.cumsum(mean)

    def likelihood(hits: Floats | np.floating[Any], tries: Ints | int) -> Floats:
        share = np.clip(hits / tries, 1e-9, 1.0 - 1e-9)
        return np.asarray(tries * (share * np.log(share) + (1.0 - share) * np.log1p(-share)))

    before = total[k - 1]
    return likelihood(before, k) + likelihood(total[-1] - before, n - k) - likelihood(total[-1], n)


def _of_means(mean: Floats, k: Ints) -> Floats:
    """Return the gain in log-likelihood of a change of mean before each of the positions k."""
    n, centred = len(mean), mean - mean.mean()
    between = np.cumsum(centred)[k - 1] ** 2 * (1.0 / k + 1.0 / (n - k))
    return np.asarray(-0.5 * n * np.log(np.maximum(1.0 - between / float((centred**2).sum()), 1e-12)))


def _by_group(
    when: npt.NDArray[np.datetime64], values: Floats, member: Ints
) -> tuple[npt.NDArray[np.datetime64], Floats]:
    """Return the first time and the mean of each group, in the order of time."""
    n = int(member.max()) + 1 if len(member) else 0
    first = np.full(n, np.datetime64("9999-01-01", "us"))
    np.minimum.at(first, member, when)
    mean = np.bincount(member, values, minlength=n) / np.maximum(np.bincount(member, minlength=n), 1)
    order = np.argsort(first, kind="stable")
    return first[order], mean[order]


def moved_score(result: DriftResult, rows: Floats, topics: Ints, is_current: npt.NDArray[np.bool_]) -> Floats:
    """Return for each row (n, d) how much it looks like what is new, (n,).

    Where a topic's share changed most: whether the row is of that topic. Else its place on the line between the mean of
    the reference and that of the current rows, among the leading principal components.
    """
    lead = result.contributions[0] if result.contributions else None
    if lead is not None and lead.kind == "share" and not result.style and (topics == lead.topic_id).any():
        return np.asarray(topics == lead.topic_id, dtype=np.float64)
    centred = rows - rows.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, -COMPONENTS:]
    scores = centred @ axes
    return np.asarray(scores @ (scores[is_current].mean(axis=0) - scores[~is_current].mean(axis=0)), dtype=np.float64)
