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

NEIGHBOURS = np.array([6, 12, 25, 50])
LEAST_WIDEST = 25
WITNESSES = 8
FARNESS = 2.0
SEARCH_ROWS = 4_000
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
    are looked for; ``None``: as given. ``changed`` and ``novel``: see ``tellingness``.
    """
    telling = tellingness(searched or given, seed, changed=changed, novel=novel)
    ranked = _one_per_group(np.argsort(-telling, kind="stable"), given.current_groups)
    ranked = ranked[np.isfinite(telling[ranked])]
    table = _topic_table(given, reference_topics, current_topics)
    contributions = _contributions(table, ranked, current_topics)
    exemplars = tuple(int(i) for i in ranked[:EXEMPLARS])
    return Explanation(contributions, exemplars, is_style(given, seed, kinds))


def tellingness(given: Windows, seed: int, *, changed: float = np.inf, novel: bool = False) -> Floats:
    """Return how telling each current row is, (n,): the standardised share of current rows around it.

    Of the nearest pooled rows from *other* groups (a session of near-duplicates would otherwise vouch for
    itself), at the size of neighbourhood that shows most, averaged over the row and its eight nearest current
    rows: one row that stands well by chance has no witnesses. Large windows are sampled to ``SEARCH_ROWS``
    rows each; a row that was not drawn gets minus infinity.

    ``changed``: about how many rows changed; much wider neighbourhoods than that would only hold others.
    ``novel``: whether it is their distance from the reference that makes them stand out; then that counts too.
    """
    rng = np.random.default_rng([seed, 21])
    mine = _sample(len(given.current), rng)
    other = _sample(len(given.reference), rng)
    rows = np.concatenate([given.reference[other], given.current[mine]])
    groups = np.concatenate([given.reference_groups[other], given.current_groups[mine] + len(given.reference)])
    sizes = np.minimum(NEIGHBOURS[max(LEAST_WIDEST, changed) >= NEIGHBOURS], len(rows) - 1)
    blocks = [
        _neighbour_share(slice(start, min(start + 1024, len(rows))), rows, groups, len(other), sizes)
        for start in range(len(other), len(rows), 1024)
    ]
    share, farness, witnesses = (np.concatenate(part) for part in zip(*blocks, strict=True))
    found = (share + share[witnesses].sum(axis=1)) / (1 + witnesses.shape[1])
    rank = np.argsort(np.argsort(farness)) / len(farness)
    telling = np.full(len(given.current), -np.inf)
    # Without novelty the distance only breaks ties.
    telling[mine] = found + (FARNESS if novel else 1e-6) * rank
    return telling


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
    some = np.concatenate([window[:MOMENT_ROWS] for window in (given.reference, given.current)])
    spread = max(1e-12, 2.0 * float(some.var(axis=0).sum()))
    within = np.where(usable, np.minimum(before, after) * np.minimum(1.0, moved / spread), 0.0)
    return _TopicTable(topics, before, after, divergence_terms(before, after), within)


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
    pair, unit = np.unique(topic * (int(groups.max()) + 1) + groups, return_inverse=True)
    residual = _sums(rows - mean[topic], unit, len(pair))
    squared = np.bincount(pair // (int(groups.max()) + 1), (residual**2).sum(axis=1), minlength=k)
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


def _sample(n: int, rng: np.random.Generator) -> Ints:
    return np.arange(n) if n <= SEARCH_ROWS else np.sort(rng.choice(n, SEARCH_ROWS, replace=False))


def _neighbour_share(
    block: slice, rows: Floats, groups: Ints, n_reference: int, sizes: Ints
) -> tuple[Floats, Floats, Ints]:
    """Return what rows of ``block`` have around them: share, distance, witnesses.

    The largest standardised share of current rows over sizes (b,), the squared distance to the nearest
    reference row (b,), and the positions in the current window of the nearest current rows of other
    groups (b, ``WITNESSES``).
    """
    squared = np.einsum("ij,ij->i", rows, rows) - 2.0 * (rows[block] @ rows.T)
    farness = squared[:, :n_reference].min(axis=1) + np.einsum("ij,ij->i", rows[block], rows[block])
    squared[_same_group(groups, block)] = np.inf
    found = np.argpartition(squared, sizes[-1] - 1, axis=1)[:, : sizes[-1]]
    order = np.argsort(np.take_along_axis(squared, found, axis=1), axis=1)
    is_current = np.take_along_axis(found, order, axis=1) >= n_reference
    usual = 1.0 - n_reference / len(rows)
    shares = np.cumsum(is_current, axis=1)[:, sizes - 1] / sizes
    standardised = (shares - usual) * np.sqrt(sizes / max(1e-9, usual * (1.0 - usual)))
    n_witnesses = min(WITNESSES, len(rows) - n_reference - 1)
    witnesses = np.argpartition(squared[:, n_reference:], n_witnesses - 1, axis=1)[:, :n_witnesses]
    return standardised.max(axis=1), farness, witnesses


def _same_group(groups: Ints, block: slice) -> tuple[Ints, Ints]:
    """Return row of the block and position of every member of the row's group."""
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups)
    starts = np.cumsum(sizes) - sizes
    own = groups[block]
    row = np.repeat(np.arange(len(own)), sizes[own])
    within = np.arange(len(row)) - np.repeat(np.cumsum(sizes[own]) - sizes[own], sizes[own])
    return row, order[np.repeat(starts[own], sizes[own]) + within]


def _one_per_group(ranked: Ints, groups: Ints) -> Ints:
    """Return the ranked rows with the best row of every group first, then the rest."""
    _groups, first = np.unique(groups[ranked], return_index=True)
    leads: Bools = np.zeros(len(ranked), dtype=bool)
    leads[first] = True
    return np.concatenate([ranked[leads], ranked[~leads]])
