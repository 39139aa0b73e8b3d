"""Spikes of a series against its own usual day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_MAD_TO_SIGMA = 1.4826
_FEWEST_PERIODS = 14
_FEWEST_DAYS = 3
_REACH = 7
_HOUR = np.timedelta64(1, "h")
_DAY = np.timedelta64(24, "h")


@dataclass(frozen=True, slots=True)
class Spike:
    """A run of adjoining periods far above the usual.

    Attributes
    ----------
    start, end
        Of the run; `end` is the end of its last period.
    value, expected
        Sums over the run, in the unit of the series.
    score
        Largest deviation within the run in robust standard deviations.
    """

    start: np.datetime64
    end: np.datetime64
    value: float
    expected: float
    score: float


def find_spikes(
    times: Sequence[np.datetime64] | NDArray[np.datetime64],
    values: ArrayLike,
    *,
    z: float = 6.0,
    ratio: float = 2.0,
    least: float = 0.0,
) -> list[Spike]:
    """Find where an hourly or daily series stands far above its robust seasonal baseline.

    The baseline of a period is the median of the same hour of the day (hourly series; neighbouring hours count
    too) over all other days, times the level of the week before or
    after, whichever is higher. Its spread is the MAD of the ratios to the baseline
    over all periods, with a floor from Poisson-like noise: quiet hours may wobble without alarm. Periods that are
    absent from `times` count as zero. A spike needs all three of `z`, `ratio` and `least`.

    Parameters
    ----------
    times
        (n,) period starts, hours or days, naive UTC, in any order, distinct.
    values
        (n,) amounts, not negative.
    z
        Deviation in robust standard deviations.
    ratio
        Least multiple of the expected value.
    least
        Least excess over the expected value, in the unit of the series.

    Returns
    -------
    list of Spike
        In order of time; empty when there are fewer than 14 periods (or, hourly, fewer than 3 days).
    """
    stamps = np.asarray(times, dtype="datetime64[h]")
    if len(stamps) < _FEWEST_PERIODS:
        return []
    order = np.argsort(stamps)
    stamps, amounts = stamps[order], np.asarray(values, dtype=np.float64)[order]
    step = _HOUR if (np.diff(stamps) < _DAY).any() else _DAY
    grid, series = _filled(stamps, amounts, step)
    season = 24 if step == _HOUR else 1
    if len(series) < max(3 * season, _FEWEST_PERIODS):
        return []
    expected = _baseline(series, season)
    sigma = _spread(series, expected)
    deviation = (series - expected) / sigma
    hot = (deviation >= z) & (series >= ratio * expected) & (series - expected >= least) & (series > 0)
    return [
        Spike(
            grid[a],
            grid[b - 1] + step,
            float(series[a:b].sum()),
            float(expected[a:b].sum()),
            float(deviation[a:b].max()),
        )
        for a, b in _runs(hot)
    ]


def _filled(
    stamps: NDArray[np.datetime64], amounts: Floats, step: np.timedelta64
) -> tuple[NDArray[np.datetime64], Floats]:
    grid = np.arange(stamps[0], stamps[-1] + step, step)
    series = np.zeros(len(grid))
    np.add.at(series, ((stamps - stamps[0]) // step).astype(np.intp), amounts)
    return grid, series


def _baseline(series: Floats, season: int) -> Floats:
    """Return the expected value of each period: shape of the day times a robust, slowly moving level."""
    n = len(series)
    phase = np.arange(n) % season
    padded = np.full(-(-n // season) * season, np.nan)
    padded[:n] = series
    days = padded.reshape(-1, season)
    # Three neighbouring hours steady the median where there are few days.
    near = np.stack([np.roll(padded, shift) for shift in ((-1, 0, 1) if season > 1 else (0,))])
    near[:, n:] = np.nan
    shape = np.nanmedian(near.reshape(len(near), -1, season), axis=(0, 1))
    shape = np.where(shape > 0, shape, np.nanmean(days, axis=0) / 4)
    usual = shape[phase]
    totals = np.nansum(days, axis=1) / max(shape.sum(), 1e-300)
    whole = np.isfinite(days).all(axis=1)
    level = np.array([_level(totals, whole, i) for i in range(len(totals))])
    level = np.where(level > 0, level, 1.0)
    return np.asarray(usual * level[np.arange(n) // season], dtype=np.float64)


def _level(totals: Floats, whole: NDArray[np.bool_], at: int) -> float:
    """Return the usual total near one day: the higher of the week before and the week after, without that day.

    Growth, or a step to a new level, is no spike: one side matches it. A burst matches neither.
    """
    index = np.arange(len(totals))
    sides = [
        totals[whole & (index >= at - _REACH) & (index < at)],
        totals[whole & (index > at) & (index <= at + _REACH)],
    ]
    medians = [float(np.median(side)) for side in sides if len(side) >= _FEWEST_DAYS]
    if medians:
        return max(medians)
    others = totals[whole & (index != at)]
    return float(np.median(others)) if len(others) else 1.0


def _spread(series: Floats, expected: Floats) -> Floats:
    """Return robust standard deviations: noise relative to the baseline, and noise that grows with its root."""
    residual = series - expected
    busy = expected >= np.median(expected)
    relative = _MAD_TO_SIGMA * float(np.median(np.abs(residual[busy]) / np.maximum(expected[busy], 1e-300)))
    unit = _MAD_TO_SIGMA * float(np.median(np.abs(residual) / np.sqrt(np.maximum(expected, 1e-300))))
    floor = 0.05 * max(float(np.mean(expected)), 1e-300)
    return np.maximum(np.maximum(relative * expected, unit * np.sqrt(expected)), floor)


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the half-open index ranges in which a mask holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
