"""Behaviour drift: whether the same question is answered differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from analysis.drift.arrays import Bools, Floats, Groups, Ints, as_groups, as_rows, check_same_width, nearest
from analysis.drift.cells import lloyd
from analysis.drift.comparison import conclude, grown
from analysis.drift.explain import NOTHING, Explanation, explain
from analysis.drift.flips import FlipDraw, FlippedAxes, FlippedCells, FlippedShift, Strata
from analysis.drift.permutation import own_p_values
from analysis.drift.pooled import MIN_GROUPS, MIN_ROWS, Windows
from analysis.drift.questions import NearQuestions
from analysis.drift.result import DriftResult, Part, as_share, insufficient
from analysis.drift.statistics.mmd import fourier_features

RADII = (0.9, 0.95, 0.98, 0.9999)
BALANCED = 0.2
BALANCE_DRAWS = 199
RIDGE = 1.0
ANSWER_CELLS = (8, 32)
AXES = 8
QUESTION_CELLS = 16
MOST_ROWS = 4_000
RESAMPLES = 200
NAMES = ("mmd", "cell_excess", "axes")
NEEDED = (
    f"at least {MIN_ROWS} answers in {MIN_GROUPS} groups in each window to questions that were asked in both windows"
)

Flipped: TypeAlias = FlippedShift | FlippedCells | FlippedAxes


def compare_behaviour(  # noqa: PLR0913, PLR0917 - a published signature
    reference_prompts: Floats,
    reference_responses: Floats,
    current_prompts: Floats,
    current_responses: Floats,
    *,
    reference_groups: Groups = None,
    current_groups: Groups = None,
    permutations: int = 499,
    rng: int = 0,
    alpha: float = 0.05,
    reference_topics: Ints | None = None,
    current_topics: Ints | None = None,
) -> DriftResult:
    """Decide whether answers changed given the question; a mere change of questions must not alarm.

    The answer is predicted from its question by ridge regression on both windows together. What is left
    over is compared within near-identical questions, by three families: the shift of the residuals
    (maximum mean discrepancy), the cells of answers that changed most (refusals, say), and the axes along
    which whole sessions differ (another model, another tone). The null distribution flips the signs of
    whole sessions (see ``flips``), so that sessions of many questions take part with all of them. How near
    questions must be is itself tested: the radius shrinks until the windows' questions, and the answers
    predicted from them, are balanced within strata.

    Parameters
    ----------
    reference_prompts, reference_responses, current_prompts, current_responses
        (n, d), (n, e), (m, d), (m, e) vectors; row i of both arrays is one call.
    reference_groups, current_groups
        Session of every row; ``None``: every row is its own session.
    permutations
        Number of flips to begin with; it grows near the level.
    rng
        Seed.
    alpha
        Level of the verdict.
    reference_topics, current_topics
        (n,) and (m,) topic ids of the questions, by which the drift is then explained; ``None``: by cells
        of answers.

    Returns
    -------
    DriftResult
        ``n_*`` count only what could be compared. ``insufficient`` when too few questions were asked in
        both windows. ``style`` says that the answers to all kinds of questions moved the same way.
        ``matched_within`` is the least cosine of two questions that counted as the same.

    Raises
    ------
    ValueError
        If arrays are malformed or do not fit each other.
    """
    calls = _pool(
        (reference_prompts, reference_responses, reference_groups),
        (current_prompts, current_responses, current_groups),
        np.random.default_rng([rng, 41]),
    )
    predicted = _predicted(calls)
    radius, matched = _balanced(calls, predicted, rng)
    given = matched.windows(calls.responses)
    if not given.enough:
        return insufficient(NEEDED, rows=given.n_rows, groups=given.n_groups)
    residuals = np.asarray(calls.responses - predicted, dtype=np.float32)
    bounds = _bounds(matched, residuals, calls.responses, rng)
    generator = np.random.default_rng([rng, 42])
    n_groups = matched.strata.n_groups
    drawn = grown(
        lambda draw: _values(bounds, draw),
        FlipDraw(np.ones((1, n_groups)), observed=True),
        lambda n: FlipDraw.random(n, n_groups, generator),
        permutations,
        alpha,
    )
    own = own_p_values(drawn.table)[0]
    unusual = drawn.unusual(alpha)
    resigned = FlipDraw.random(RESAMPLES if unusual else 0, n_groups, generator).signs
    effects = [bound.effect(resigned) for bound in bounds]
    parts = {
        name: Part(float(drawn.table[0, i]), float(own[i]), as_share(effects[i][0])) for i, name in enumerate(NAMES)
    }
    if not unusual:
        return replace(conclude(given, parts, drawn, NOTHING, alpha), matched_within=radius)
    low, high = np.quantile(effects[drawn.loudest][1:], [0.025, 0.975])
    topics = None if reference_topics is None or current_topics is None else (reference_topics, current_topics)
    explanation = _explained(calls, matched, residuals, rng, topics)
    result = conclude(given, parts, drawn, explanation, alpha, (as_share(low), as_share(high)))
    return replace(result, matched_within=radius)


@dataclass(frozen=True, eq=False)
class _Calls:
    """Pooled calls in an order that does not know their window; see ``pooled.pool``."""

    prompts: Floats
    responses: Floats
    groups: Ints
    is_current: Bools
    origin: Ints


@dataclass(frozen=True, eq=False)
class _Matched:
    """The rows (k,) that take part, as indices into the calls, and their strata."""

    rows: Ints
    strata: Strata

    def windows(self, vectors: Floats) -> Windows:
        """Return the matched rows of some vectors as two windows."""
        mine, now = vectors[self.rows], self.strata.is_current
        names = [np.unique(self.strata.groups[side], return_inverse=True)[1] for side in (~now, now)]
        return Windows(mine[~now], mine[now], names[0].astype(np.int64), names[1].astype(np.int64))


def _pool(
    reference: tuple[Floats, Floats, Groups],
    current: tuple[Floats, Floats, Groups],
    rng: np.random.Generator,
) -> _Calls:
    before = _checked(*reference, "reference", rng)
    after = _checked(*current, "current", rng)
    check_same_width(before.prompts, after.prompts)
    check_same_width(before.responses, after.responses)
    if not len(before.prompts) or not len(after.prompts):
        return before if len(before.prompts) else after
    n_groups = int(before.groups.max()) + 1
    pooled = _Calls(
        np.concatenate([before.prompts, after.prompts]),
        np.concatenate([before.responses, after.responses]),
        np.concatenate([before.groups, after.groups + n_groups]),
        np.concatenate([before.is_current, ~after.is_current]),
        np.concatenate([before.origin, after.origin]),
    )
    direction = rng.standard_normal((pooled.prompts.shape[1],)).astype(np.float32)
    second = rng.standard_normal((pooled.responses.shape[1],)).astype(np.float32)
    return _taken(pooled, np.lexsort((pooled.responses @ second, pooled.prompts @ direction)))


def _checked(prompts: Floats, responses: Floats, groups: Groups, window: str, rng: np.random.Generator) -> _Calls:
    """Return one checked window, sampled by whole groups to at most about ``MOST_ROWS`` rows."""
    first, second = as_rows(prompts, f"{window}_prompts"), as_rows(responses, f"{window}_responses")
    if len(first) != len(second):
        raise ValueError(f"{window}: {len(first)} prompts but {len(second)} responses; expected one each")
    n = len(first)
    calls = _Calls(first, second, as_groups(groups, n, f"{window}_groups"), np.zeros(n, dtype=bool), np.arange(n))
    if n <= MOST_ROWS:
        return calls
    order = rng.permutation(int(calls.groups.max()) + 1)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.cumsum(np.bincount(calls.groups)[order])
    return _taken(calls, np.flatnonzero(place[calls.groups] <= MOST_ROWS))


def _taken(calls: _Calls, index: Ints) -> _Calls:
    return _Calls(
        calls.prompts[index],
        calls.responses[index],
        calls.groups[index],
        calls.is_current[index],
        calls.origin[index],
    )


def _balanced(calls: _Calls, predicted: Floats, seed: int) -> tuple[float, _Matched]:
    """Return the widest radius within which the questions are balanced, and the match; else the narrowest."""
    near = NearQuestions.of(calls.prompts, RADII[0])
    for radius in RADII:
        matched = _matched(calls, near.clusters(radius))
        if radius == RADII[-1] or not matched.windows(predicted).enough:
            break
        if _balance(calls, matched, predicted, seed) > BALANCED:
            break
    return radius, matched


def _balance(calls: _Calls, matched: _Matched, predicted: Floats, seed: int) -> float:
    """Return the p-value of "within strata, both windows asked the same", at two tests halved.

    It looks at the questions and at the answers predicted from them: a difference of the first that does
    not show in the second would not matter, but a small sample cannot tell.
    """
    draws = FlipDraw.random(BALANCE_DRAWS, matched.strata.n_groups, np.random.default_rng([seed, 45])).signs
    p_values = []
    for vectors in (calls.prompts, predicted):
        mine = vectors[matched.rows].astype(np.float64)
        scores = matched.strata.scores(mine @ matched.strata.session_axes(mine, AXES))
        sums = np.concatenate([scores.total[None], draws @ scores.units])
        sizes = (scores.standardised(sums) ** 2).sum(axis=1)
        p_values.append(float(np.mean(sizes >= sizes[0] - 1e-9)))
    return min(1.0, 2.0 * min(p_values))


def _matched(calls: _Calls, cluster: Ints) -> _Matched:
    """Keep the rows on questions (n,) that both windows asked."""
    n_current = np.bincount(cluster[calls.is_current], minlength=len(cluster))
    n_reference = np.bincount(cluster[~calls.is_current], minlength=len(cluster))
    rows = np.flatnonzero(((n_current > 0) & (n_reference > 0))[cluster])
    stratum = np.unique(cluster[rows], return_inverse=True)[1].astype(np.int64)
    groups = np.unique(calls.groups[rows], return_inverse=True)[1].astype(np.int64)
    return _Matched(rows, Strata(stratum, groups, calls.is_current[rows]))


def _predicted(calls: _Calls) -> Floats:
    """Return the ridge prediction of responses from prompts (Hoerl & Kennard, 1970), (n, e)."""
    if not len(calls.prompts):
        return calls.responses
    x = calls.prompts - calls.prompts.mean(axis=0, dtype=np.float64).astype(np.float32)
    mean = calls.responses.mean(axis=0, dtype=np.float64).astype(np.float32)
    gram = (x.T @ x).astype(np.float64)
    penalty = RIDGE * max(1e-9, float(np.trace(gram)) / len(gram))
    against = x.T @ (calls.responses - mean)
    weights = cho_solve(cho_factor(gram + penalty * np.eye(len(gram))), against.astype(np.float64))
    return np.asarray(mean + x @ weights.astype(np.float32))


def _bounds(
    matched: _Matched, residuals: Floats, responses: Floats, seed: int
) -> tuple[FlippedShift, FlippedCells, FlippedAxes]:
    strata, mine = matched.strata, residuals[matched.rows]
    features = fourier_features(mine, np.random.default_rng([seed, 43]))
    centre = features.mean(axis=0)
    counts = [
        np.eye(k, dtype=np.float64)[_cells(vectors[matched.rows], k, seed)]
        for vectors in (residuals, responses)
        for k in ANSWER_CELLS
    ]
    along = mine @ strata.session_axes(mine, AXES)
    return (
        FlippedShift(strata.scores(features), max(1e-12, 1.0 - float(centre @ centre))),
        FlippedCells(strata.scores(np.concatenate(counts, axis=1))),
        FlippedAxes(strata.scores(along), 2.0 * along.std(axis=0)),
    )


def _values(bounds: Sequence[Flipped], draw: FlipDraw) -> Floats:
    return np.column_stack([bound.values(draw) for bound in bounds])


def _cells(rows: Floats, k: int, seed: int) -> Ints:
    return nearest(rows, lloyd(rows, k, np.random.default_rng([seed, 44, k])))[0]


def _explained(
    calls: _Calls, matched: _Matched, residuals: Floats, seed: int, topics: tuple[Ints, Ints] | None
) -> Explanation:
    """Explain by topic, else by cells of answers; style is read off the shifts of the kinds of questions."""
    given, now = matched.windows(residuals), matched.strata.is_current
    origin = calls.origin[matched.rows]
    if topics is None:
        answers = _cells(calls.responses[matched.rows], ANSWER_CELLS[-1], seed)
        parts = answers[~now], answers[now]
    else:
        parts = topics[0][origin[~now]], topics[1][origin[now]]
    questions = _cells(calls.prompts[matched.rows], QUESTION_CELLS, seed)
    explained = explain(given, *parts, seed=seed, kinds=(questions[~now], questions[now]))
    row = origin[now]
    contributions = tuple(
        replace(part, exemplars=tuple(int(row[i]) for i in part.exemplars)) for part in explained.contributions
    )
    return Explanation(contributions, tuple(int(row[i]) for i in explained.exemplars), explained.style)
