"""Two windows compared: four families of statistics, one p-value, one verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from analysis.drift.arrays import Bools, Floats, Groups, Ints
from analysis.drift.explain import NOTHING, Explanation, explain
from analysis.drift.permutation import Draw, FreeDraw, Permuted, own_p_values
from analysis.drift.pooled import MIN_GROUPS, MIN_ROWS, Windows, pool, windows
from analysis.drift.result import MINIMUM_EFFECT, DriftResult, Part, as_share, insufficient
from analysis.drift.statistics import VERDICT_FAMILIES, VERDICT_WEIGHTS, Bound, Statistic

MOST_PERMUTATIONS = 9_999
BATCH = 200
FIRST = 99
RESAMPLES = 200
FEWEST_EXEMPLARS = 5
NEEDED = f"at least {MIN_ROWS} messages in {MIN_GROUPS} groups in each window"

Dealer = Callable[[int], Draw]
AnyDraw = TypeVar("AnyDraw")
Sizes = tuple[tuple[int, int], tuple[int, int]]


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

    Four families (maximum mean discrepancy, strongest cell, fullest neighbourhoods, novel rows) are joined
    by weighted Fisher's combination over joint permutations of groups, never of rows. ``drifted`` needs
    ``p_value`` at most ``alpha`` and an effect of at least ``MINIMUM_EFFECT`` of the traffic.

    Parameters
    ----------
    reference, current
        (n, d) and (m, d) vectors of one embedding model.
    reference_groups, current_groups
        (n,) and (m,) session of every row; ``None``: every row is its own session. The same value in
        both windows counts as two sessions.
    permutations
        Number of labellings; near the level it grows up to ``MOST_PERMUTATIONS``, and it stops at 99 where these
        say that nothing is unusual. Then the result has no exemplars, contributions or interval.
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
    observed = FreeDraw.observed(pooled.is_current)
    drawn = permuted(
        bounds,
        observed,
        lambda n: FreeDraw.random(n, pooled.is_current, generator),
        permutations,
        alpha,
        weights=VERDICT_WEIGHTS,
    )
    parts = parts_of(names, bounds, drawn.table, observed)
    if not drawn.unusual(alpha):
        return conclude(given, parts, drawn, NOTHING, alpha)
    found = pooled.split(pooled.scores)
    explanation = explain(
        given,
        *(topics or pooled.split(pooled.cells[1])),
        seed=rng,
        searched=Windows(found[0], found[1], given.reference_groups, given.current_groups),
        changed=parts[names[drawn.loudest]].effect * given.n_rows[1],
        novel=names[drawn.loudest] == "novelty",
    )
    interval = effect_interval(bounds[drawn.loudest], pooled.is_current, pooled.rng(12))
    return conclude(given, parts, drawn, explanation, alpha, interval)


def effect_interval(bound: Bound, is_current: Bools, rng: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % percentile interval of the effect over groups drawn again within each window.

    Source: the cluster bootstrap, Field & Welsh, 2007, doi:10.1111/j.1467-9868.2007.00593.x.
    """
    observed = is_current.astype(np.float64)
    before, after = (_drawn_again(side, rng) for side in (1.0 - observed, observed))
    low, high = np.quantile(bound.effect(before, after)[1:], [0.025, 0.975])
    return as_share(low), as_share(high)


def _drawn_again(side: Floats, rng: np.random.Generator) -> Floats:
    """Return a window (g,), and how often each group of it is drawn, with replacement, (b + 1, g)."""
    mine = np.flatnonzero(side)
    drawn = rng.choice(mine, (RESAMPLES, len(mine)))
    drawn += len(side) * np.arange(RESAMPLES)[:, None]
    weights = np.empty((RESAMPLES + 1, len(side)))
    weights[0] = side
    weights[1:] = np.bincount(drawn.ravel(), minlength=RESAMPLES * len(side)).reshape(RESAMPLES, -1)
    return weights


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


def permuted(  # noqa: PLR0913 - what is drawn, how often, and how it is joined
    bounds: Sequence[Bound],
    observed: Draw,
    deal: Dealer,
    permutations: int,
    alpha: float,
    *,
    weights: tuple[float, ...] | None = None,
) -> Permuted:
    """Return the statistics under the observed labelling and random ones; see ``grown``."""
    return grown(lambda draw: _values(bounds, draw), observed, deal, permutations, alpha, weights=weights)


def grown(  # noqa: PLR0913 - what is drawn, how often, and how it is joined
    values: Callable[[AnyDraw], Floats],
    observed: AnyDraw,
    deal: Callable[[int], AnyDraw],
    permutations: int,
    alpha: float,
    *,
    weights: tuple[float, ...] | None = None,
) -> Permuted:
    """Return ``values`` of the observed draw and of random ones.

    Drawing stops after ``FIRST`` where the p-value is far above the level: sequential Monte Carlo p-values stay
    valid (Besag & Clifford, 1991, doi:10.1093/biomet/78.2.301), since the two stages give a p-value below a level
    only where one of them does. When the joint p-value is within a factor of three of the level, four times as
    many are drawn, up to ``MOST_PERMUTATIONS``, until three standard errors separate the two. ``weights``: see
    ``joint_p_value``.
    """
    drawn = Permuted(values(observed), 1.0 / (permutations + 1), weights)
    drawn = _more(drawn, values, deal, min(FIRST, permutations))
    if not drawn.unusual(alpha):
        return drawn
    drawn = _more(drawn, values, deal, permutations + 1 - len(drawn.table))
    while len(drawn.table) <= MOST_PERMUTATIONS and _near(drawn.p_value, alpha, len(drawn.table)):
        drawn = _more(drawn, values, deal, min(3 * len(drawn.table), MOST_PERMUTATIONS + 1 - len(drawn.table)))
    return drawn


def _more(drawn: Permuted, values: Callable[[AnyDraw], Floats], deal: Callable[[int], AnyDraw], n: int) -> Permuted:
    """Return what ``n`` random draws more make of it."""
    batches = [values(deal(min(BATCH, n - start))) for start in range(0, n, BATCH)]
    table = np.concatenate([drawn.table, *batches])
    return Permuted(table, min(drawn.p_floor, 1.0 / len(table)), drawn.weights)


def parts_of(names: Sequence[str], bounds: Sequence[Bound], table: Floats, observed: Draw) -> dict[str, Part]:
    """Return value, own p-value and effect of each statistic."""
    p_values = own_p_values(table)[0]
    labels = observed.labels()
    return {
        name: Part(float(table[0, i]), float(p_values[i]), as_share(bounds[i].effect(1.0 - labels, labels)[0]))
        for i, name in enumerate(names)
    }


def conclude(
    given: Windows | Sizes,
    parts: dict[str, Part],
    drawn: Permuted,
    explanation: Explanation,
    alpha: float,
    interval: tuple[float, float] = (float("nan"), float("nan")),
) -> DriftResult:
    """Join the statistics into a verdict on windows, or on their rows and groups."""
    rows, groups = (given.n_rows, given.n_groups) if isinstance(given, Windows) else given
    p_value, p_floor = drawn.p_value, drawn.p_floor
    loudest = list(parts)[drawn.loudest]
    drifted = p_value <= alpha and parts[loudest].effect >= MINIMUM_EFFECT
    return DriftResult(
        statistic=loudest,
        value=parts[loudest].value,
        effect=parts[loudest].effect,
        p_value=p_value,
        verdict="insufficient" if p_floor > alpha else "drifted" if drifted else "stable",
        n_reference=rows[0],
        n_current=rows[1],
        parts=parts,
        contributions=explanation.contributions,
        exemplars=explanation.exemplars[: _worth_showing(parts[loudest].effect, rows[1])],
        style=drifted and explanation.style,
        p_floor=p_floor,
        n_groups_reference=groups[0],
        n_groups_current=groups[1],
        needed=f"at least {int(np.ceil(1.0 / alpha)) - 1} permutations" if p_floor > alpha else "",
        effect_interval=interval,
    )


def _worth_showing(effect: float, n: int) -> int:
    """Return how many of the most telling messages to show: a third of those that changed, at least five.

    What comes after the messages that changed would only dilute the picture.
    """
    return max(FEWEST_EXEMPLARS, round(0.3 * min(1.0, effect) * n))


def _values(bounds: Sequence[Bound], draw: Draw) -> Floats:
    return np.column_stack([bound.values(draw) for bound in bounds]).astype(np.float64)


def _near(p_value: float, alpha: float, n: int) -> bool:
    error = 3.0 * np.sqrt(alpha * (1.0 - alpha) / n)
    return alpha / 3.0 < p_value < alpha * 3.0 and abs(p_value - alpha) < error


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
