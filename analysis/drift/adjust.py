"""Correction for having looked at several families at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Family = TypeVar("Family")


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


def hierarchical_fdr(
    families: Mapping[Family, float],
    segments: Callable[[Family], Mapping[str, float]],
    level: float = 0.05,
) -> dict[Family, dict[str, float]]:
    """Return the alarmed families, each with the p-values of its alarmed segments, adjusted within it.

    Families (service x field) are tested first. Only in those that alarm are segments (model, prompt version,
    language, topic) looked at, at the level times the share of families that alarmed. Source: Benjamini &
    Bogomolov, 2014, doi:10.1111/rssb.12028.

    Parameters
    ----------
    families
        p-value of each family; NaN where there was not enough data.
    segments
        Called for alarmed families only: p-value of each segment.
    level
        False-discovery rate.

    Examples
    --------
    >>> hierarchical_fdr({"prompt": 0.001, "response": 0.4}, lambda family: {"de": 0.002, "en": 0.6})
    {'prompt': {'de': 0.004}}
    """
    adjusted = benjamini_hochberg(list(families.values()))
    alarmed = [family for family, p in zip(families, adjusted, strict=True) if p <= level]
    tested = max(1, int((~np.isnan(adjusted)).sum()))
    within = level * len(alarmed) / tested
    found: dict[Family, dict[str, float]] = {}
    for family in alarmed:
        given = segments(family)
        inside = benjamini_hochberg(list(given.values()))
        found[family] = {name: float(p) for name, p in zip(given, inside, strict=True) if p <= within}
    return found
