"""Rates and means with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
_BLOCK = 2_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with its interval.

    Attributes
    ----------
    value, low, high
        In [0, 1]; None when nothing was counted.
    n
        Number of trials.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its interval, in the unit of the values; None when there are none.

    Attributes
    ----------
    value, low, high
        Mean and bounds.
    n
        Number of values.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


def wilson(k: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Return Wilson's score interval of binomial shares.

    Parameters
    ----------
    k, n
        Successes and trials, any shapes that broadcast; 0 <= k <= n.
    confidence
        Coverage in (0, 1).

    Returns
    -------
    low, high : numpy.ndarray
        Bounds in [0, 1]; NaN where n is 0.

    References
    ----------
    E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22, 209-212.
    """
    hits, trials = np.broadcast_arrays(np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64))
    if np.any(hits < 0) or np.any(hits > trials):
        raise ValueError("successes must lie between 0 and the number of trials")
    z = normal_quantile(confidence)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = hits / trials
        centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
        half = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    # At k = 0 and k = n the bound is exact; rounding must not move it inside.
    low = np.where(hits == 0, np.where(trials > 0, 0.0, np.nan), np.maximum(centre - half, 0.0))
    high = np.where(hits == trials, np.where(trials > 0, 1.0, np.nan), np.minimum(centre + half, 1.0))
    return low, high


def rate(k: int, n: int, confidence: float = 0.95) -> Rate:
    """Return the share k / n with Wilson's interval; without trials there is no share.

    Raises
    ------
    ValueError
        k lies outside 0..n.
    """
    low, high = wilson(k, n, confidence)
    if n == 0:
        return Rate(None, None, None, 0)
    return Rate(k / n, float(low), float(high), n)


def bootstrap_mean(
    values: ArrayLike, confidence: float = 0.95, resamples: int = 2000, rng: int | np.random.Generator = 0
) -> Mean:
    """Return the mean with a percentile bootstrap interval.

    Parameters
    ----------
    values
        (n,) numbers; NaN counts as missing.
    confidence
        Coverage in (0, 1).
    resamples
        Number of bootstrap samples.
    rng
        Seed or generator.

    References
    ----------
    B. Efron (1979), Bootstrap methods: another look at the jackknife, Annals of Statistics 7, 1-26.
    """
    sample = np.asarray(values, dtype=np.float64).ravel()
    sample = sample[~np.isnan(sample)]
    n = len(sample)
    if n == 0:
        return Mean(None, None, None, 0)
    generator = np.random.default_rng(rng)
    block = max(1, _BLOCK // n)
    means = np.concatenate(
        [
            sample[generator.integers(0, n, (min(block, resamples - done), n))].mean(axis=1)
            for done in range(0, resamples, block)
        ]
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Mean(float(sample.mean()), float(low), float(high), n)


def normal_quantile(confidence: float) -> float:
    """Return the z for which a standard normal lies in [-z, z] with probability `confidence`."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    return NormalDist().inv_cdf(0.5 + confidence / 2)
