"""The cell whose share changed most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.drift.arrays import Floats
from analysis.drift.permutation import Draw
from analysis.drift.pooled import Pooled
from analysis.drift.statistics.excess import Excess


@dataclass(frozen=True)
class CellExcess:
    r"""Largest standardised change of a cell's share, over two resolutions (three from 8,000 to 50,000 rows).

    .. math:: T = \max_c \left| \frac{\sum_{g \in \mathrm{current}} (c_{gc} - p_c n_g)}{\mathrm{sd}_c} \right|

    Cells are Lloyd cells of the pooled rows; sd is that of dealing the groups again (see
    ``excess.Excess``). Source: the maximum of standardised linear rank statistics, Hothorn et al.,
    2006, doi:10.1198/000313006X118430. Sees topics that appear, grow or vanish; misses broad shifts.
    """

    name: str = "cell_excess"
    title: str = "Change of the strongest cell"
    higher_is_more_drift: bool = True
    symmetric: bool = True

    def bind(self, pooled: Pooled) -> BoundCellExcess:
        """Reduce the pooled rows to cell counts per group."""
        counts = np.concatenate([pooled.counts(cell) for cell in pooled.cells], axis=1)
        return BoundCellExcess(Excess.of(counts, pooled.sizes, int(pooled.is_current.sum())))


@dataclass(frozen=True, eq=False)
class BoundCellExcess:
    """Cell counts of the groups."""

    excess: Excess

    def values(self, draw: Draw) -> Floats:
        """Return the largest standardised change under each labelling, (b,)."""
        return np.asarray(np.abs(self.excess.values(draw)).max(axis=1))

    def effect(self, before: Floats, after: Floats) -> Floats:
        """Return the change of share of the cell that changed most, (b,)."""
        strongest = int(np.abs(self.excess.standardised(after[0])).argmax())
        change = self.excess.rise(before, after, strongest)
        return np.asarray(np.maximum(0.0, change * np.sign(change[0])))
