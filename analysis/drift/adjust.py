"""Correction for having looked at several families at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def benjamini_hochberg(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return p-values adjusted for the false discovery rate, in the order given, (n,).

    NaN (a family without enough data) stays NaN and does not count as a test. Source: Benjamini &
    Hochberg, 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.

    Raises
    ------
    ValueError
        If a value lies outside [0, 1].

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.5]).round(3).tolist()
    [0.03, 0.06, 0.5]
    """
    given = np.atleast_1d(np.asarray(p_values, dtype=np.float64))
    tested = ~np.isnan(given)
    values = given[tested]
    if ((values < 0.0) | (values > 1.0)).any():
        raise ValueError(f"p-values must lie in [0, 1], got {values.min()} to {values.max()}")
    order = np.argsort(-values, kind="stable")
    rank = np.arange(len(values), 0, -1)
    scaled = np.minimum.accumulate(values[order] * len(values) / rank) if len(values) else values
    adjusted = np.full(given.shape, np.nan)
    found = np.empty(len(values))
    found[order] = np.minimum(scaled, 1.0)
    adjusted[tested] = found
    return adjusted
