"""Two windows compared: three families of statistics, one p-value, one verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from analysis.drift.arrays import Floats, Groups, Ints
from analysis.drift.explain import Explanation, explain
from analysis.drift.permutation import Draw, FreeDraw, deviations, joint_p_value, own_p_values
from analysis.drift.pooled import MIN_GROUPS, MIN_ROWS, Windows, pool, windows
from analysis.drift.result import DriftResult, Part, insufficient
from analysis.drift.statistics import VERDICT_FAMILIES, Bound, Statistic

MINIMUM_EFFECT = 0.002
MOST_PERMUTATIONS = 9_999
BATCH = 500
NEEDED = f"at least {MIN_ROWS} messages in {MIN_GROUPS} groups in each window"

Dealer = Callable[[int], Draw]


def compare(  # noqa: PLR0913 - a published signature
    reference: Floats,
    current: Floats,
    *,
    reference_groups: Groups = None,
    current_groups: Groups = None,
    permutations: int = 499,
    rng: int = 0,
    reference_topics: Ints | None = None,
    current_topics: Ints | None = None,
    alpha: float = 0.05,
) -> DriftResult:
    """Decide whether two windows of vectors differ, by how much, and what drives it.

    Three families (maximum mean discrepancy, strongest cell, novel rows) are joined by the minimum of
    their p-values over joint permutations of groups, never of rows. ``drifted`` needs ``p_value`` at
    most ``alpha`` and an effect of at least ``MINIMUM_EFFECT`` of the traffic.

    Parameters
    ----------
    reference, current
        (n, d) and (m, d) vectors of one embedding model.
    reference_groups, current_groups
        (n,) and (m,) session of every row; ``None``: every row is its own session. The same value in
        both windows counts as two sessions.
    permutations
        Number of labellings to begin with; near the level it grows up to ``MOST_PERMUTATIONS``.
    rng
        Seed. The result is a function of the arguments.
    reference_topics, current_topics
        (n,) and (m,) topic ids, by which the drift is then explained; ``None``: by cells.
    alpha
        Level of the verdict.

    Returns
    -------
    DriftResult
        With verdict ``insufficient`` when a window is too small.

    Raises
    ------
    ValueError
        If arrays are malformed or do not fit each other.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).standard_normal((400, 8))
    >>> compare(rows[:200], rows[200:] + 1.0).verdict
    'drifted'
    """
    given = windows(reference, current, reference_groups, current_groups)
    topics = _checked_topics(given, reference_topics, current_topics)
    if not given.enough:
        return insufficient(NEEDED, rows=given.n_rows, groups=given.n_groups)
    pooled = pool(given, rng)
    generator = pooled.rng(5)
    names = tuple(family.name for family in VERDICT_FAMILIES)
    bounds = tuple(family.bind(pooled) for family in VERDICT_FAMILIES)
    table = permuted(
        bounds,
        FreeDraw.observed(pooled.is_current),
        lambda n: FreeDraw.random(n, pooled.is_current, generator),
        permutations,
        alpha,
    )
    parts = parts_of(names, bounds, table, FreeDraw.observed(pooled.is_current))
    explanation = explain(given, *(topics or pooled.split(pooled.cells[-1])), seed=rng)
    return conclude(given, parts, table, explanation, alpha)


def measure(
    reference: Floats,
    current: Floats,
    statistics: Sequence[Statistic],
    *,
    reference_groups: Groups = None,
    current_groups: Groups = None,
    permutations: int = 499,
    rng: int = 0,
) -> dict[str, Part]:
    """Return each statistic by itself, for display; an empty mapping when a window is too small."""
    given = windows(reference, current, reference_groups, current_groups)
    if not given.enough:
        return {}
    pooled = pool(given, rng)
    bounds = tuple(statistic.bind(pooled) for statistic in statistics)
    observed = FreeDraw.observed(pooled.is_current)
    dealt = FreeDraw.random(permutations, pooled.is_current, pooled.rng(5))
    table = np.concatenate([_values(bounds, observed), _values(bounds, dealt)])
    return parts_of(tuple(statistic.name for statistic in statistics), bounds, table, observed)


def permuted(bounds: Sequence[Bound], observed: Draw, deal: Dealer, permutations: int, alpha: float) -> Floats:
    """Return the statistics under the observed labelling (row 0) and random ones, (b + 1, s).

    When the joint p-value is within a factor of three of the level, four times as many labellings are
    drawn, up to ``MOST_PERMUTATIONS``, until three standard errors separate the two.
    """
    table = np.concatenate([_values(bounds, observed), *_batches(bounds, deal, permutations)])
    while len(table) <= MOST_PERMUTATIONS and _near(joint_p_value(table), alpha, len(table)):
        more = min(3 * len(table), MOST_PERMUTATIONS + 1 - len(table))
        table = np.concatenate([table, *_batches(bounds, deal, more)])
    return table


def parts_of(names: Sequence[str], bounds: Sequence[Bound], table: Floats, observed: Draw) -> dict[str, Part]:
    """Return value, own p-value and effect of each statistic."""
    p_values = own_p_values(table)[0]
    return {
        name: Part(float(table[0, i]), float(p_values[i]), bounds[i].effect(observed)) for i, name in enumerate(names)
    }


def conclude(
    given: Windows,
    parts: dict[str, Part],
    table: Floats,
    explanation: Explanation,
    alpha: float,
) -> DriftResult:
    """Join the statistics into a verdict."""
    p_value, p_floor = joint_p_value(table), 1.0 / len(table)
    loudest = list(parts)[_loudest(table)]
    drifted = p_value <= alpha and parts[loudest].effect >= MINIMUM_EFFECT
    return DriftResult(
        statistic=loudest,
        value=parts[loudest].value,
        effect=parts[loudest].effect,
        p_value=p_value,
        verdict="insufficient" if p_floor > alpha else "drifted" if drifted else "stable",
        n_reference=given.n_rows[0],
        n_current=given.n_rows[1],
        parts=parts,
        contributions=explanation.contributions,
        exemplars=explanation.exemplars,
        style=drifted and explanation.style,
        p_floor=p_floor,
        n_groups_reference=given.n_groups[0],
        n_groups_current=given.n_groups[1],
        needed=f"at least {int(np.ceil(1.0 / alpha)) - 1} permutations" if p_floor > alpha else "",
    )


def _values(bounds: Sequence[Bound], draw: Draw) -> Floats:
    return np.column_stack([bound.values(draw) for bound in bounds]).astype(np.float64)


def _batches(bounds: Sequence[Bound], deal: Dealer, n: int) -> list[Floats]:
    return [_values(bounds, deal(min(BATCH, n - start))) for start in range(0, n, BATCH)]


def _near(p_value: float, alpha: float, n: int) -> bool:
    error = 3.0 * np.sqrt(alpha * (1.0 - alpha) / n)
    return alpha / 3.0 < p_value < alpha * 3.0 and abs(p_value - alpha) < error


def _loudest(table: Floats) -> int:
    """Return the column with the smallest own p-value, and of equal ones the most deviant."""
    return int(np.lexsort((-deviations(table)[0], own_p_values(table)[0]))[0])


def _checked_topics(
    given: Windows, reference_topics: Ints | None, current_topics: Ints | None
) -> tuple[Ints, Ints] | None:
    if reference_topics is None and current_topics is None:
        return None
    if reference_topics is None or current_topics is None:
        raise ValueError("expected topics of both windows or of neither, got those of one")
    topics = np.asarray(reference_topics, dtype=np.int64), np.asarray(current_topics, dtype=np.int64)
    if (len(topics[0]), len(topics[1])) != given.n_rows:
        raise ValueError(f"expected topics of {given.n_rows} rows, got {len(topics[0])} and {len(topics[1])}")
    return topics
