"""Today ranked among comparable windows of the past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigh

from analysis.drift.arrays import Bools, Floats, Groups, Ints, as_groups, as_rows, check_same_width, nearest
from analysis.drift.cells import lloyd
from analysis.drift.comparison import compare
from analysis.drift.explain import NOTHING, explain
from analysis.drift.permutation import hopeless, joint_p_value, tail_log_p
from analysis.drift.pooled import MIN_ROWS, Windows
from analysis.drift.result import MINIMUM_EFFECT, DriftResult, Part, Verdict, as_share, insufficient
from analysis.drift.statistics.mmd import fourier_features

MIN_WINDOWS = 40
CONFIRMED = 0.05
INSIDE = 0.9
MOST_CELLS = 512
ROWS_A_CELL = 50
NEEDED = f"at least {MIN_WINDOWS} comparable past windows of {MIN_ROWS} messages each"
NAMES = ("mmd", "cell_excess", "neighbourhood_excess", "novelty")
NEIGHBOURS = np.array([6, 12, 24])
MOST_CROWDED = 5
CROWDED = 1 / 3  # a window is about a fortieth of all: so many neighbours of its own are no chance
SEARCH_ROWS = 12_000
SEARCHED = 64


def compare_to_past(
    past: Sequence[Floats],
    current: Floats,
    *,
    past_groups: Sequence[Groups] | None = None,
    current_groups: Groups = None,
    rng: int = 0,
    alpha: float = 0.05,
) -> DriftResult:
    r"""Rank today's window among comparable past windows (same hours, same weekday).

    Where the mix wobbles from day to day, a permutation of sessions alarms on every wobble. Here the
    past itself says how much a day differs from the others: four statistics of each window (including
    today's) are computed against all other windows, and their tail probabilities over the windows are joined
    by Fisher's combination M. If today is like the past, its rank is uniform:

    .. math:: p = \frac{\#\{w : M_w \ge M_{\mathrm{today}}\}}{W + 1}

    counted with today, so never below ``p_floor`` = 1/(W + 1). Source: conformal prediction with a
    symmetric score, Vovk et al., 2005; Laxhammar & Falkman, 2010. Sessions weigh as the square root of
    their length, so that one long session cannot make a day.

    Parameters
    ----------
    past
        W arrays (n_i, d); windows of fewer than 30 rows are left out.
    current
        (m, d).
    past_groups, current_groups
        Session of every row of each window; ``None``: every row is its own session.
    rng
        Seed.
    alpha
        Level of the verdict.

    Returns
    -------
    DriftResult
        ``n_reference`` counts the rows of the past; verdict ``insufficient`` with fewer than 40 past
        windows, or where ``p_floor`` exceeds ``alpha``.

    Raises
    ------
    ValueError
        If arrays are malformed or do not fit each other.
    """
    days = _days(past, current, past_groups, current_groups)
    rows, groups = (len(days.past_rows), len(days.current)), days.n_groups
    p_floor = 1.0 / (days.n_past + 1)
    if days.n_past < MIN_WINDOWS or len(days.current) < MIN_ROWS or p_floor > alpha:
        return insufficient(NEEDED, rows=rows, groups=groups, p_floor=p_floor)
    scores, effects, cell = _scores(days, rng)
    standard = leave_one_out_z(scores)
    p_value = joint_p_value(scores[::-1])
    own = (standard >= standard[-1]).mean(axis=0)
    parts = {name: Part(float(standard[-1, i]), float(own[i]), as_share(effects[i])) for i, name in enumerate(NAMES)}
    loudest = NAMES[int(tail_log_p(scores[:, : len(NAMES)])[-1].argmin())]
    explanation = NOTHING
    if p_value <= hopeless(alpha):
        explanation = explain(days.as_windows(), cell[: rows[0]], cell[rows[0] :], seed=rng)
    drifted = p_value <= alpha and parts[loudest].effect >= MINIMUM_EFFECT
    return DriftResult(
        statistic=loudest,
        value=parts[loudest].value,
        effect=parts[loudest].effect,
        p_value=p_value,
        verdict="drifted" if drifted else "stable",
        n_reference=rows[0],
        n_current=rows[1],
        parts=parts,
        contributions=explanation.contributions,
        exemplars=explanation.exemplars,
        style=drifted and explanation.style,
        p_floor=p_floor,
        n_groups_reference=groups[0],
        n_groups_current=groups[1],
        method=f"rank among {days.n_past} past windows",
    )


def judge_by_past(
    past: Sequence[Floats],
    current: Floats,
    *,
    past_groups: Sequence[Groups] | None = None,
    current_groups: Groups = None,
    rng: int = 0,
    alpha: float = 0.05,
) -> DriftResult:
    """Return the rank among the past where its floor allows the level, else the session permutation that it confirms.

    A rank among W windows is never below 1/(W + 1); where that exceeds ``alpha`` (after correction for
    several families, say) or where fewer than 40 windows are comparable, today is compared with the pooled
    past by ``compare``, and the rank has its say as in ``held_against``. Parameters as in ``compare_to_past``.
    """
    level = max(alpha, CONFIRMED)
    ranked = compare_to_past(
        past, current, past_groups=past_groups, current_groups=current_groups, rng=rng, alpha=level
    )
    if ranked.verdict != "insufficient" and ranked.p_floor <= alpha:
        return replace(ranked, verdict=_verdict(ranked, alpha))
    days = _days(past, current, past_groups, current_groups)
    pooled = days.as_windows()
    result = compare(
        pooled.reference,
        pooled.current,
        reference_groups=pooled.reference_groups,
        current_groups=pooled.current_groups,
        rng=rng,
        alpha=alpha,
    )
    return held_against(ranked, result, alpha)


def held_against(ranked: DriftResult, result: DriftResult, alpha: float) -> DriftResult:
    """Let the rank of today among comparable windows have its say on a verdict of the session permutation.

    Sessions of one day resemble each other more than those of several days where the mix wobbles, so that their
    permutation alarms at every wobble. Where the floor of the rank allows ``alpha``, its p-value is the headline.
    Else it has to confirm: with a rank above ``CONFIRMED`` today is no more unusual than other days were, and the
    larger p-value counts. The p-value is never smaller than that of the permutation or of the rank alone, so that
    both error rates hold.

    Parameters
    ----------
    ranked
        Of ``compare_to_past``; where it is ``insufficient`` the result stays as it is.
    result
        Of ``compare``, on the same window.
    alpha
        Level that one family must pass after correction.
    """
    if "insufficient" in (ranked.verdict, result.verdict):
        return result
    if ranked.p_floor <= alpha:
        told = replace(result, p_value=ranked.p_value, p_floor=ranked.p_floor, method=ranked.method)
    elif ranked.p_value <= CONFIRMED:
        told = replace(result, method=f"{result.method}, confirmed by the {ranked.method}")
    else:
        told = replace(result, p_value=max(result.p_value, ranked.p_value), method=ranked.method)
    return replace(told, verdict=_verdict(told, alpha))


def _verdict(result: DriftResult, alpha: float) -> Verdict:
    return "drifted" if result.p_value <= alpha and result.effect >= MINIMUM_EFFECT else "stable"


def leave_one_out_z(scores: Floats) -> Floats:
    """Standardise each row of ``scores`` (w, s) by mean and spread of all other rows."""
    n = len(scores)
    total, squares = scores.sum(axis=0), (scores**2).sum(axis=0)
    mean = (total - scores) / (n - 1)
    variance = np.maximum((squares - scores**2) / (n - 1) - mean**2, 0.0)
    floor = 1e-3 * scores.std(axis=0) + 1e-12
    return np.asarray((scores - mean) / np.maximum(np.sqrt(variance), floor))


@dataclass(frozen=True, eq=False)
class _Days:
    """All windows stacked, today last.

    ``rows`` (n, d), ``window`` (n,) 0..W with W today, ``groups`` (n,) distinct across windows,
    ``weights`` (n,): one over the root of the length of the row's session.
    """

    rows: Floats
    window: Ints
    groups: Ints
    weights: Floats
    n_past: int

    @property
    def is_today(self) -> Bools:
        """Which rows are today's, (n,)."""
        return np.asarray(self.window == self.n_past)

    @property
    def current(self) -> Floats:
        """Today's rows."""
        return self.rows[self.is_today]

    @property
    def past_rows(self) -> Floats:
        """All other rows."""
        return self.rows[~self.is_today]

    @property
    def n_groups(self) -> tuple[int, int]:
        """Sessions of the past and of today."""
        return len(np.unique(self.groups[~self.is_today])), len(np.unique(self.groups[self.is_today]))

    def share(self, counted: Floats) -> Floats:
        """Return the weighted mean of ``counted`` (n, k) in each window, (w + 1, k)."""
        n = self.n_past + 1
        weight = np.bincount(self.window, self.weights, minlength=n)
        sums = [np.bincount(self.window, self.weights * column, minlength=n) for column in counted.T]
        return np.column_stack(sums) / np.maximum(weight, 1e-12)[:, None]

    def cell_shares(self, cell: Ints) -> Floats:
        """Return the weighted share of each cell in each window, (w + 1, k)."""
        n, k = self.n_past + 1, int(cell.max()) + 1
        table = np.bincount(self.window * k + cell, self.weights, minlength=n * k).reshape(n, k)
        return np.asarray(table / np.maximum(table.sum(axis=1, keepdims=True), 1e-12))

    def as_windows(self) -> Windows:
        """Return the past pooled, and today."""
        names = np.unique(self.groups, return_inverse=True)[1].astype(np.int64)
        return Windows(self.past_rows, self.current, names[~self.is_today], names[self.is_today])


def _days(
    past: Sequence[Floats],
    current: Floats,
    past_groups: Sequence[Groups] | None,
    current_groups: Groups,
) -> _Days:
    if past_groups is not None and len(past_groups) != len(past):
        raise ValueError(f"past_groups: expected one entry a window ({len(past)}), got {len(past_groups)}")
    given = past_groups if past_groups is not None else [None] * len(past)
    kept: list[tuple[Floats, Ints]] = []
    today = as_rows(current, "current")
    for i, window in enumerate(past):
        rows = as_rows(window, f"past[{i}]")
        check_same_width(rows, today)
        sessions = as_groups(given[i], len(rows), f"past_groups[{i}]")
        if len(rows) >= MIN_ROWS:
            kept.append((rows, sessions))
    kept.append((today, as_groups(current_groups, len(today), "current_groups")))
    of_window: Ints = np.repeat(np.arange(len(kept)), [len(rows) for rows, _ in kept])
    sessions = np.concatenate([groups for _, groups in kept])
    pairs = np.unique(np.column_stack([of_window, sessions]), axis=0, return_inverse=True)[1]
    groups: Ints = pairs.reshape(-1).astype(np.int64)
    lengths = np.bincount(groups).astype(np.float64)
    stacked = np.concatenate([rows for rows, _ in kept if len(rows)] or [today])
    return _Days(stacked, of_window, groups, lengths[groups] ** -0.5, len(kept) - 1)


def _scores(days: _Days, seed: int) -> tuple[Floats, tuple[float, ...], Ints]:
    """Return statistics (w + 1, 6), those of ``NAMES`` first, today's effects, and the fine cell of each row."""
    moved, moved_effect = _feature_distance(days, np.random.default_rng([seed, 31]))
    cells = _fitted_cells(days, seed)
    shares = np.concatenate([days.cell_shares(cell) for cell in cells], axis=1)
    # A share that never varied would make every first message infinitely surprising: one message in
    # a window is the least spread.
    least = 1.0 / np.bincount(days.window).mean()
    excess = np.abs(_z_with_floor(shares, least))
    strongest = int(excess[-1].argmax())
    cell_effect = abs(float(shares[-1, strongest] - shares[:-1, strongest].mean()))
    crowded, crowd_effect, novel = _crowding(days, np.random.default_rng([seed, 32]))
    novel_effect = max(0.0, float(novel[-1] - novel[:-1].mean()))
    table = np.column_stack([moved, excess.max(axis=1), crowded[:, 1], novel, crowded[:, 0], crowded[:, 2]])
    return table, (moved_effect, cell_effect, crowd_effect, novel_effect), cells[-1]


def _fitted_cells(days: _Days, seed: int) -> tuple[Ints, ...]:
    """Return the cell of every row at both resolutions, fitted to all windows alike."""
    cells = []
    fine = max(8, min(MOST_CELLS, len(days.rows) // ROWS_A_CELL))
    for k in (fine // 4, fine):
        centres = lloyd(days.rows, k, np.random.default_rng([seed, 33, k]))
        cells.append(nearest(days.rows, centres)[0])
    return tuple(cells)


def _z_with_floor(shares: Floats, least: float) -> Floats:
    n = len(shares)
    mean = (shares.sum(axis=0) - shares) / (n - 1)
    variance = ((shares**2).sum(axis=0) - shares**2) / (n - 1) - mean**2
    return np.asarray((shares - mean) / np.sqrt(np.maximum(variance, 0.0) + least**2))


def _feature_distance(days: _Days, rng: np.random.Generator) -> tuple[Floats, float]:
    """Return the distance of each window's mean features from all others', and today's as a share."""
    features = fourier_features(days.rows, rng)
    means = days.share(features)
    others = (means.sum(axis=0) - means) / (len(means) - 1)
    distance = np.linalg.norm(means - others, axis=1)
    centre = features.mean(axis=0)
    spread = max(1e-12, 1.0 - float(centre @ centre))
    usual = float(np.median(distance))
    return distance, float(np.sqrt(max(0.0, distance[-1] ** 2 - usual**2) / spread))


def _crowding(days: _Days, rng: np.random.Generator) -> tuple[Floats, float, Floats]:
    """Return how crowded each window is in itself (w + 1, 3), today's excess as a share, and the share of novel rows.

    Of every session one row is drawn. A row's own count is the number of rows of its own window among its 6, 12
    and 24 nearest; a window's value is the mean of its five largest: a new topic is where one window's sessions
    stand close together and no other's. A row is novel when its nearest row of another window is farther
    than that of 90 % of all rows.
    """
    kept = _one_a_session(days, rng)
    window, rows = days.window[kept], days.rows[kept]
    centred = rows - rows.mean(axis=0)
    d = centred.shape[1]
    axes = eigh(centred.T @ centred, subset_by_index=(max(0, d - SEARCHED), d - 1))[1]
    own, far = _own_neighbours(np.ascontiguousarray(centred @ axes), window)
    novel = (far > np.quantile(far, INSIDE)).astype(np.float64)
    n = days.n_past + 1
    crowded = np.zeros((n, len(NEIGHBOURS)))
    for w in np.unique(window):  # of a window of few long sessions the sample may hold no row
        crowded[w] = np.sort(own[window == w], axis=0)[-MOST_CROWDED:].mean(axis=0)
    sizes = np.maximum(np.bincount(window, minlength=n), 1)
    # At each of the sizes: a new subject of few sessions cannot fill a larger neighbourhood.
    among_own = own >= np.minimum(NEIGHBOURS, len(own) - 1) * CROWDED
    crowds = np.column_stack([np.bincount(window, column, minlength=n) / sizes for column in among_own.T])
    effect = float((crowds[-1] - crowds[:-1].mean(axis=0)).max())
    return crowded, max(0.0, effect), np.bincount(window, novel, minlength=n) / sizes


def _one_a_session(days: _Days, rng: np.random.Generator) -> Ints:
    """Return one random row of every session, in all at most ``SEARCH_ROWS``."""
    order = rng.permutation(len(days.rows))
    kept = order[np.unique(days.groups[order], return_index=True)[1]]
    if len(kept) > SEARCH_ROWS:
        kept = rng.choice(kept, SEARCH_ROWS, replace=False)
    return np.sort(kept)


def _own_neighbours(rows: Floats, window: Ints) -> tuple[Floats, Floats]:
    """Return, of each row (n, d), the neighbours of its own window and the distance to the nearest other."""
    sizes = np.minimum(NEIGHBOURS, len(rows) - 1)
    squares = np.einsum("ij,ij->i", rows, rows)
    own, far = np.empty((len(rows), len(sizes))), np.empty(len(rows))
    for start in range(0, len(rows), 1024):
        block = slice(start, start + 1024)
        distance = squares - 2.0 * (rows[block] @ rows.T)
        distance[np.arange(len(distance)), np.arange(start, start + len(distance))] = np.inf
        same = window[block, None] == window
        found = np.argpartition(distance, sizes[-1] - 1, axis=1)[:, : sizes[-1]]
        order = np.argsort(np.take_along_axis(distance, found, axis=1), axis=1)
        mine = np.take_along_axis(same, np.take_along_axis(found, order, axis=1), axis=1)
        own[block] = np.cumsum(mine, axis=1)[:, sizes - 1]
        far[block] = np.where(same, np.inf, distance).min(axis=1) + squares[block]
    return own, far
