"""What drives a drift: contributions of topics, the most telling messages, style or meaning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from analysis.drift.arrays import Bools, Floats, Ints
from analysis.drift.pooled import Windows
from analysis.drift.result import Contribution, ContributionKind
from analysis.drift.statistics.jensen_shannon import divergence_terms
from analysis.drift.style import is_style
from analysis.drift.telling import tellingness

MOMENT_ROWS = 20_000
EXEMPLARS = 25
TOPIC_EXEMPLARS = 8
CONTRIBUTIONS = 12
LEAST_CONTRIBUTION = 0.01
LEAST_ROWS = 10


@dataclass(frozen=True, eq=False)
class Explanation:
    """Contributions in falling order, exemplars as rows of the current window, style or meaning."""

    contributions: tuple[Contribution, ...]
    exemplars: tuple[int, ...]
    style: bool


NOTHING = Explanation((), (), style=False)


def explain(
    given: Windows,
    reference_topics: Ints,
    current_topics: Ints,
    *,
    seed: int,
    kinds: tuple[Ints, Ints] | None = None,
    searched: Windows | None = None,
    changed: float = np.inf,
    novel: bool = False,
) -> Explanation:
    """Explain the difference of two windows by a partition (topics or cells) of their rows.

    ``kinds``: see ``style.is_style``. ``searched``: the same rows in fewer dimensions, in which neighbours
    are looked for; ``None``: as given. ``changed`` and ``novel``: see ``tellingness``. Exemplars are only those
    more telling than chance makes the most telling one; the first stands even where none is.
    """
    telling = tellingness(searched or given, seed, changed=changed, novel=novel)
    ranked = _one_per_group(np.argsort(-telling.values, kind="stable"), given.current_groups)
    ranked = ranked[np.isfinite(telling.values[ranked])]
    table = _topic_table(given, reference_topics, current_topics)
    contributions = _contributions(table, ranked, current_topics)
    passing = ranked[telling.values[ranked] >= telling.least]
    exemplars = tuple(int(i) for i in (passing if len(passing) else ranked[:1])[:EXEMPLARS])
    return Explanation(contributions, exemplars, is_style(given, seed, kinds))


@dataclass(frozen=True, eq=False)
class _TopicTable:
    """Per topic (t,): shares and the parts of the change."""

    topics: Ints
    before: Floats
    after: Floats
    share_part: Floats
    within_part: Floats


def _topic_table(given: Windows, reference_topics: Ints, current_topics: Ints) -> _TopicTable:
    topics, index = np.unique(np.concatenate([reference_topics, current_topics]), return_inverse=True)
    first, second = index[: len(reference_topics)], index[len(reference_topics) :]
    n0, mean0, noise0 = _moments(given.reference, first, given.reference_groups, len(topics))
    n1, mean1, noise1 = _moments(given.current, second, given.current_groups, len(topics))
    before, after = n0 / max(1.0, n0.sum()), n1 / max(1.0, n1.sum())
    usable = (n0 >= LEAST_ROWS) & (n1 >= LEAST_ROWS)
    moved = np.maximum(0.0, ((mean1 - mean0) ** 2).sum(axis=1) - noise0 - noise1)
    spread = max(1e-12, 2.0 * _variance(given.reference[:MOMENT_ROWS], given.current[:MOMENT_ROWS]))
    within = np.where(usable, np.minimum(before, after) * np.minimum(1.0, moved / spread), 0.0)
    return _TopicTable(topics, before, after, divergence_terms(before, after), within)


def _variance(first: Floats, second: Floats) -> float:
    """Return the mean squared distance of two sets of rows (n, d), (m, d) from their common mean."""
    n = len(first) + len(second)
    mean = (first.sum(axis=0) + second.sum(axis=0)) / n
    squares = [float(np.einsum("ij,ij->i", rows, rows).sum(dtype=np.float64)) for rows in (first, second)]
    return sum(squares) / n - float(mean @ mean)


def _moments(rows: Floats, topic: Ints, groups: Ints, k: int) -> tuple[Floats, Floats, Floats]:
    """Return rows, mean vector (k, d) and the expected squared error of the mean, per topic.

    The means of a very large window are taken over ``MOMENT_ROWS`` rows at equal steps.
    """
    total = np.bincount(topic, minlength=k).astype(np.float64)
    if len(rows) > MOMENT_ROWS:
        kept = np.linspace(0, len(rows) - 1, MOMENT_ROWS).astype(np.int64)
        rows, topic, groups = rows[kept], topic[kept], groups[kept]
    n = np.bincount(topic, minlength=k).astype(np.float64)
    mean = _sums(rows, topic, k) / np.maximum(n, 1.0)[:, None]
    residual: Floats = rows - mean[topic]
    pair, unit = np.unique(topic * (int(groups.max()) + 1) + groups, return_inverse=True)
    if len(pair) < len(rows):
        residual, topic = _sums(residual, unit, len(pair)), pair // (int(groups.max()) + 1)
    squared = np.bincount(topic, np.einsum("ij,ij->i", residual, residual), minlength=k)
    return total, mean, squared / np.maximum(n, 1.0) ** 2


def _sums(rows: Floats, index: Ints, k: int) -> Floats:
    member = sparse.csr_matrix(
        (np.ones(len(rows), dtype=rows.dtype), (index, np.arange(len(rows)))), shape=(k, len(rows))
    )
    return np.asarray(member @ rows)


def _contributions(table: _TopicTable, ranked: Ints, current_topics: Ints) -> tuple[Contribution, ...]:
    """Return the largest parts of the change, scaled so that all parts together are 1."""
    total = float(table.share_part.sum() + table.within_part.sum())
    if total <= 0.0:
        return ()
    parts: list[tuple[float, int, ContributionKind]] = []
    for t in range(len(table.topics)):
        # The last digits depend on the order of the sessions' names.
        parts.append((round(float(table.share_part[t]) / total, 9), t, "share"))
        parts.append((round(float(table.within_part[t]) / total, 9), t, "within"))
    parts = [part for part in sorted(parts, key=lambda p: -p[0]) if part[0] >= LEAST_CONTRIBUTION]
    return tuple(_contribution(table, part, ranked, current_topics) for part in parts[:CONTRIBUTIONS])


def _contribution(
    table: _TopicTable, part: tuple[float, int, ContributionKind], ranked: Ints, current_topics: Ints
) -> Contribution:
    size, t, kind = part
    topic = int(table.topics[t])
    members = ranked[current_topics[ranked] == topic][:TOPIC_EXEMPLARS]
    return Contribution(
        topic, float(table.before[t]), float(table.after[t]), size, kind, tuple(int(i) for i in members)
    )


def _one_per_group(ranked: Ints, groups: Ints) -> Ints:
    """Return the ranked rows with the best row of every group first, then the rest."""
    _groups, first = np.unique(groups[ranked], return_index=True)
    leads: Bools = np.zeros(len(ranked), dtype=bool)
    leads[first] = True
    return np.concatenate([ranked[leads], ranked[~leads]])
