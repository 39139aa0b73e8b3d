"""Is a rate rising? A test and an interval instead of a line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from analysis.metrics.intervals import normal_quantile

Verdict = Literal["rising", "falling", "no_trend", "insufficient"]
_FEWEST_PERIODS = 3
_FEWEST_TRIALS = 20


@dataclass(frozen=True, slots=True)
class Trend:
    """A test for a linear trend of a rate over time.

    Attributes
    ----------
    statistic
        Standard normal when there is no trend; its sign is the direction.
    p_value
        Two-sided.
    slope, low, high
        Change of the rate per unit of time, with its interval.
    n, periods
        Trials and periods with at least one trial.
    dispersion
        Variance between periods over what binomial noise explains, never below 1; the test is divided by it.
    verdict
        `rising` or `falling` at the level asked for, else `no_trend`; `insufficient` leaves the numbers None.
    needed
        When insufficient, what is missing.
    """

    statistic: float | None
    p_value: float | None
    slope: float | None
    low: float | None
    high: float | None
    n: int
    periods: int
    dispersion: float | None
    verdict: Verdict
    needed: str = ""


def rate_trend(times: ArrayLike, hits: ArrayLike, trials: ArrayLike, confidence: float = 0.95) -> Trend:
    """Test a rate for a linear trend: Cochran-Armitage, corrected for overdispersion.

    Days differ by more than binomial noise (sessions, weekdays), so the variance is multiplied by Pearson's
    dispersion around the fitted line when that exceeds 1, and the test then uses Student's t with periods - 2
    degrees of freedom. Autocorrelation between periods is not modelled.

    Parameters
    ----------
    times
        (m,) period positions in the unit in which the slope is wanted (days, say).
    hits, trials
        (m,) counts; periods without trials are left out.
    confidence
        Of the interval; the level of the test is 1 - confidence.

    References
    ----------
    W. G. Cochran (1954), Some methods for strengthening the common chi-squared tests, Biometrics 10, 417-451;
    P. Armitage (1955), Tests for linear trends in proportions and frequencies, Biometrics 11, 375-386;
    P. McCullagh and J. A. Nelder (1989), Generalized Linear Models, section 4.5, for the dispersion.
    """
    t, k, n = (np.asarray(column, dtype=np.float64).ravel() for column in (times, hits, trials))
    if np.any(k < 0) or np.any(k > n):
        raise ValueError("hits must lie between 0 and the number of trials in every period")
    kept = n > 0
    t, k, n = t[kept], k[kept], n[kept]
    total, periods = float(n.sum()), len(np.unique(t))
    needed = _needed(total, periods)
    if needed:
        return Trend(None, None, None, None, None, int(total), periods, None, "insufficient", needed)
    share = k.sum() / total
    centred = t - (n * t).sum() / total
    spread = float((n * centred**2).sum())
    slope = float((centred * k).sum()) / spread
    if share in (0.0, 1.0):
        return Trend(0.0, 1.0, 0.0, 0.0, 0.0, int(total), periods, 1.0, "no_trend")
    noise = share * (1 - share)
    residual = k - n * (share + slope * centred)
    freedom = max(len(t) - 2, 1)
    dispersion = max(1.0, float((residual**2 / (n * noise)).sum()) / freedom)
    error = math.sqrt(noise * dispersion / spread)
    z = slope / error
    p_value, quantile = _tails(z, freedom, confidence, exact=dispersion == 1.0)
    verdict: Verdict = "no_trend" if p_value > 1 - confidence else ("rising" if z > 0 else "falling")
    return Trend(
        z, p_value, slope, slope - quantile * error, slope + quantile * error, int(total), periods, dispersion, verdict
    )


def _tails(z: float, freedom: int, confidence: float, *, exact: bool) -> tuple[float, float]:
    """Return the two-sided p-value and the quantile: normal for binomial noise, else Student's t."""
    if exact:
        return 2 * NormalDist().cdf(-abs(z)), normal_quantile(confidence)
    from scipy.stats import t as student

    return float(2 * student.sf(abs(z), freedom)), float(student.ppf(0.5 + confidence / 2, freedom))


def _needed(total: float, periods: int) -> str:
    if periods < _FEWEST_PERIODS:
        return f"{_FEWEST_PERIODS} periods with data, got {periods}"
    if total < _FEWEST_TRIALS:
        return f"{_FEWEST_TRIALS} judgements, got {int(total)}"
    return ""
