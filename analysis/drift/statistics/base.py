"""What a statistic of drift is."""

from __future__ import annotations

from typing import Protocol

from analysis.drift.arrays import Floats
from analysis.drift.permutation import Draw
from analysis.drift.pooled import Pooled


class Bound(Protocol):
    """A statistic that has seen the pooled rows and reduced them to sums over groups."""

    def values(self, draw: Draw) -> Floats:
        """Return the statistic under each labelling of the draw, (b,)."""

    def effect(self, before: Floats, after: Floats) -> Floats:
        """Return the size of the change as a share of the traffic, (b,).

        ``before`` and ``after`` (b, g) say how often each group counts in either window: once or not at all
        as observed (row 0), several times when groups are drawn again. What was chosen because it stood out
        (a cell, a radius) is chosen by row 0 for all rows.
        """


class Statistic(Protocol):
    """A measure of how far two windows are apart, one file each in this folder.

    ``bind`` may fit whatever it needs, provided that it treats the windows alike or leaves the rows
    it learnt from out of the statistic: only so are permutations exact.
    """

    @property
    def name(self) -> str:
        """Name in the store and in ``DriftResult.parts``."""

    @property
    def title(self) -> str:
        """Name on the screen."""

    @property
    def higher_is_more_drift(self) -> bool:
        """Direction of the value."""

    @property
    def symmetric(self) -> bool:
        """Whether exchanging the windows leaves the value as it is."""

    def bind(self, pooled: Pooled) -> Bound:
        """Reduce the pooled rows to what the labellings need."""
