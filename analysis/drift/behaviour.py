"""Behaviour drift: whether the same question is answered differently."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from analysis.drift.arrays import Bools, Floats, Groups, Ints, as_groups, as_rows, check_same_width, nearest
from analysis.drift.cells import lloyd
from analysis.drift.comparison import conclude, parts_of, permuted
from analysis.drift.explain import Explanation, explain
from analysis.drift.permutation import StratifiedDraw
from analysis.drift.pooled import MIN_GROUPS, MIN_ROWS, Windows
from analysis.drift.result import DriftResult, insufficient
from analysis.drift.statistics.mmd import fourier_features
from analysis.drift.stratified import Strata, StratifiedExcess, StratifiedShift

SAME_QUESTION = 0.9
RIDGE = 1.0
ANSWER_CELLS = (8, 32)
QUESTION_CELLS = 16
MOST_ROWS = 4_000
NEEDED = (
    f"at least {MIN_ROWS} answers in {MIN_GROUPS} groups in each window to questions that were asked in both windows"
)


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

    The answer is predicted from its question by ridge regression on both windows together. What is
    left over is compared with labels dealt only among sessions that asked near-identical questions
    (cosine above 0.9), by two families: the shift of the residuals (maximum mean discrepancy within
    strata) and the strongest cell of answers (refusals, say). A session takes part with its rows on
    one question, the one that most sessions share, so that a session stays one unit.

    Parameters
    ----------
    reference_prompts, reference_responses, current_prompts, current_responses
        (n, d), (n, e), (m, d), (m, e) vectors; row i of both arrays is one call.
    reference_groups, current_groups
        Session of every row; ``None``: every row is its own session.
    permutations
        Number of labellings to begin with; it grows near the level.
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
        both windows. ``style`` says that the answers to all
        kinds of questions moved the same way. It cannot see a change when each session has one model
        and few sessions share a question.

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
    matched = _matched(calls)
    given = matched.windows(calls.responses)
    if not given.enough:
        return insufficient(NEEDED, rows=given.n_rows, groups=given.n_groups)
    residuals = _residuals(calls)
    generator = np.random.default_rng([rng, 42])
    bounds = _bounds(matched, residuals, calls.responses, rng)
    strata = matched.strata
    observed = StratifiedDraw.observed(strata.is_current)
    table = permuted(
        bounds,
        observed,
        lambda n: StratifiedDraw.random(n, strata.is_current, strata.stratum, generator),
        permutations,
        alpha,
    )
    parts = parts_of(("mmd", "cell_excess"), bounds, table, observed)
    topics = None if reference_topics is None or current_topics is None else (reference_topics, current_topics)
    explanation = _explained(calls, matched, residuals, rng, topics)
    return conclude(given, parts, table, explanation, alpha)


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
    """The rows (k,) that take part: indices into the calls, their group, and the groups' strata."""

    rows: Ints
    groups: Ints
    strata: Strata
    row_is_current: Bools

    def windows(self, vectors: Floats) -> Windows:
        """Return the matched rows of some vectors as two windows."""
        mine, now = vectors[self.rows], self.row_is_current
        names = [np.unique(self.groups[side], return_inverse=True)[1] for side in (~now, now)]
        return Windows(mine[~now], mine[now], names[0].astype(np.int64), names[1].astype(np.int64))

    def sums(self, features: Floats) -> Floats:
        """Return the sum of ``features`` (k, f) over each group, (g, f)."""
        shape = (len(self.strata.sizes), len(self.groups))
        ones = np.ones(len(self.groups), dtype=features.dtype)
        return np.asarray(sparse.csr_matrix((ones, (self.groups, np.arange(shape[1]))), shape=shape) @ features)


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


def near_identical(prompts: Floats) -> Ints:
    """Return clusters (n,) of prompts (n, d) whose cosine to the cluster's first row exceeds 0.9."""
    unit = prompts / np.maximum(np.linalg.norm(prompts, axis=1, keepdims=True), 1e-12)
    close = np.empty((len(unit), len(unit)), dtype=bool)
    for start in range(0, len(unit), 1024):
        close[start : start + 1024] = unit[start : start + 1024] @ unit.T > SAME_QUESTION
    cluster = np.full(len(unit), -1, dtype=np.int64)
    for row in range(len(unit)):
        if cluster[row] < 0:
            cluster[close[row] & (cluster < 0)] = row
            cluster[row] = row
    return cluster


def _matched(calls: _Calls) -> _Matched:
    """Keep of every session the rows on its most shared question, where both windows asked it."""
    cluster = near_identical(calls.prompts)
    pairs, of_row = np.unique(np.column_stack([calls.groups, cluster]), axis=0, return_inverse=True)
    of_row = of_row.reshape(-1)
    sessions_of_cluster = np.bincount(pairs[:, 1], minlength=len(cluster) + 1) if len(pairs) else pairs[:0, 0]
    popularity = sessions_of_cluster[pairs[:, 1]]
    order = np.lexsort((pairs[:, 1], -popularity, pairs[:, 0]))
    chosen = np.zeros(len(pairs), dtype=bool)
    chosen[order[np.unique(pairs[order, 0], return_index=True)[1]]] = True
    n_current = np.bincount(cluster[calls.is_current & chosen[of_row]], minlength=len(cluster))
    n_reference = np.bincount(cluster[~calls.is_current & chosen[of_row]], minlength=len(cluster))
    rows = np.flatnonzero(chosen[of_row] & ((n_current > 0) & (n_reference > 0))[cluster])
    _names, first, groups = np.unique(calls.groups[rows], return_index=True, return_inverse=True)
    stratum = np.unique(cluster[rows[first]], return_inverse=True)[1].astype(np.int64)
    sizes = np.bincount(groups, minlength=len(first)).astype(np.float64)
    strata = Strata(stratum, sizes, calls.is_current[rows[first]])
    return _Matched(rows, groups.astype(np.int64), strata, calls.is_current[rows])


def _residuals(calls: _Calls) -> Floats:
    """Return responses less their ridge prediction from the prompts (Hoerl & Kennard, 1970), (n, e)."""
    x = calls.prompts.astype(np.float64) - calls.prompts.mean(axis=0, dtype=np.float64)
    y = calls.responses.astype(np.float64) - calls.responses.mean(axis=0, dtype=np.float64)
    gram = x.T @ x
    penalty = RIDGE * max(1e-9, float(np.trace(gram)) / len(gram))
    weights = np.linalg.solve(gram + penalty * np.eye(len(gram)), x.T @ y)
    return np.asarray(y - x @ weights, dtype=np.float32)


def _bounds(
    matched: _Matched, residuals: Floats, responses: Floats, seed: int
) -> tuple[StratifiedShift, StratifiedExcess]:
    features = fourier_features(residuals[matched.rows], np.random.default_rng([seed, 43]))
    centre = features.mean(axis=0)
    spread = max(1e-12, 1.0 - float(centre @ centre))
    counts = [
        np.eye(k, dtype=np.float64)[_cells(vectors[matched.rows], k, seed)]
        for vectors in (residuals, responses)
        for k in ANSWER_CELLS
    ]
    return (
        StratifiedShift.of(matched.sums(features), matched.strata, spread),
        StratifiedExcess.of(matched.sums(np.concatenate(counts, axis=1)), matched.strata),
    )


def _cells(rows: Floats, k: int, seed: int) -> Ints:
    return nearest(rows, lloyd(rows, k, np.random.default_rng([seed, 44, k])))[0]


def _explained(
    calls: _Calls, matched: _Matched, residuals: Floats, seed: int, topics: tuple[Ints, Ints] | None
) -> Explanation:
    """Explain by topic, else by cells of answers; style is read off the shifts of the kinds of questions."""
    given, now = matched.windows(residuals), matched.row_is_current
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
