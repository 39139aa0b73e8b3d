"""Hours in which something happened more often, or cost more, than its exposure explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_MAD_TO_SIGMA = 1.4826
_WINDOW_H = 3
_REFERENCE_DAYS = 28
_FEWEST_DAYS = 5
_SAME_BURST_H = 12
_HOUR = np.timedelta64(1, "h")


@dataclass(frozen=True, slots=True)
class Burst:
    """A run of adjoining hours with an excess.

    Attributes
    ----------
    start, end
        Of the run; ``end`` is the end of its last hour.
    n
        Exposure within the run: answers judged, or turns.
    value, expected
        Totals over the run: what happened, and what the exposure times the usual rate gives.
    score
        Largest deviation of a three-hour window in standard deviations.
    """

    start: np.datetime64
    end: np.datetime64
    n: float
    value: float
    expected: float
    score: float


def find_bursts(
    hours: ArrayLike,
    exposure: ArrayLike,
    totals: ArrayLike,
    *,
    counts: bool,
    z: float = 6.0,
    ratio: float = 2.0,
    least: float = 0.0,
) -> list[Burst]:
    r"""Find windows of three hours whose total is far above exposure times the usual rate.

    The usual rate of a day is the median of the daily rates :math:`total / exposure` over the 28 days before
    it (quasi-Poisson regression through the origin, made robust). The variance of a window is
    :math:`\varphi \cdot exposure`, where :math:`\varphi` is the squared scaled MAD of the hourly residuals over the
    root of their exposure; for counts it is at least the rate itself (Poisson), for amounts at least its square
    (amounts as variable as an exponential). More traffic at the usual rate is therefore no burst.

    Parameters
    ----------
    hours
        (n,) distinct starts of hours, naive UTC.
    exposure, totals
        (n,) non-negative; ``totals`` in any unit.
    counts
        Whether the totals count events, or are amounts.
    z, ratio, least
        A window needs this many standard deviations, this multiple of the expected total and this excess over it
        (for amounts at least what a usual window totals).

    Returns
    -------
    list of Burst
        In order of time; none in days with fewer than five days before them.
    """
    stamps = np.asarray(hours, dtype="datetime64[h]")
    if len(stamps) == 0:
        return []
    grid = np.arange(stamps.min(), stamps.max() + _HOUR, _HOUR)
    place = ((stamps - grid[0]) // _HOUR).astype(np.intp)
    n, total = np.zeros(len(grid)), np.zeros(len(grid))
    n[place], total[place] = np.asarray(exposure, np.float64), np.asarray(totals, np.float64)
    rate, spread = _usual(grid, n, total)
    expected = n * rate
    seen, wanted, variance = (
        _windowed(values) for values in (total, expected, n * np.maximum(rate if counts else rate**2, spread))
    )
    deviation = (seen - wanted) / np.sqrt(np.maximum(variance, 1e-300))
    if not counts:  # one dear call in a quiet night is no burst: the excess must count on a usual afternoon
        least = max(least, float(np.nanmedian(wanted[wanted > 0])) if (wanted > 0).any() else least)
    hot = (deviation >= z) & (seen >= ratio * wanted) & (seen - wanted >= least) & (seen > 0) & np.isfinite(rate)
    return [
        _burst(grid, (n, total, expected), deviation, run) for run in _runs(_covered(hot), total > ratio * expected)
    ]


def _usual(grid: NDArray[np.datetime64], n: Floats, total: Floats) -> tuple[Floats, Floats]:
    """Return, for every hour, the usual rate and the dispersion of the 28 days before its day; NaN with too few."""
    day = grid.astype("datetime64[D]")
    first_of_day = np.flatnonzero(np.concatenate([[True], day[1:] != day[:-1]]))
    daily_n, daily_total = np.add.reduceat(n, first_of_day), np.add.reduceat(total, first_of_day)
    rates = np.divide(daily_total, daily_n, out=np.full(len(daily_n), np.nan), where=daily_n > 0)
    rate, spread = np.full(len(grid), np.nan), np.full(len(grid), np.nan)
    bounds = np.append(first_of_day, len(grid))
    for index in range(_FEWEST_DAYS, len(rates)):
        before = slice(max(0, index - _REFERENCE_DAYS), index)
        known = rates[before][np.isfinite(rates[before])]
        if len(known) < _FEWEST_DAYS:
            continue
        usual = float(np.median(known)) or float(np.mean(known))
        past = slice(bounds[before.start], bounds[index])
        busy = n[past] > 0
        residual = (total[past][busy] - n[past][busy] * usual) / np.sqrt(n[past][busy])
        today = slice(bounds[index], bounds[index + 1])
        rate[today] = usual
        spread[today] = (_MAD_TO_SIGMA * float(np.median(np.abs(residual)))) ** 2
    return rate, spread


def _windowed(values: Floats) -> Floats:
    """Sums over each hour and the two before it."""
    padded = np.concatenate([np.zeros(_WINDOW_H - 1), np.nan_to_num(values)])
    return np.asarray(np.convolve(padded, np.ones(_WINDOW_H), mode="valid"))


def _covered(hot: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Every hour that lies in a hot window."""
    covered = hot.copy()
    for lag in range(1, _WINDOW_H):
        covered[:-lag] |= hot[lag:]
    return covered


def _runs(covered: NDArray[np.bool_], above: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open runs of covered hours, cut to those at whose ends something was above the usual."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], covered, [False]]).astype(np.int8)))
    runs: list[tuple[int, int]] = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        inside = np.flatnonzero(above[start:end])
        if len(inside):
            first, last = int(start + inside[0]), int(start + inside[-1] + 1)
            # A change that lasts is one burst, whatever the nights between do.
            if runs and first - runs[-1][1] <= _SAME_BURST_H:
                first = runs.pop()[0]
            runs.append((first, last))
    return runs


def _burst(
    grid: NDArray[np.datetime64], series: tuple[Floats, Floats, Floats], deviation: Floats, run: tuple[int, int]
) -> Burst:
    start, end = run
    n, value, expected = (float(np.nansum(values[start:end])) for values in series)
    score = float(np.nanmax(deviation[start : end + _WINDOW_H - 1]))
    return Burst(grid[start], grid[end - 1] + _HOUR, n, value, expected, score)
