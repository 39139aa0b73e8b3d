"""Every statistic of drift. One new file and one new line here add one.

The verdict joins the families of ``VERDICT_FAMILIES``: no single distance wins. Global distances miss
small new topics, cells miss broad shifts, only novelty sees text from outside everything known.
"""

from __future__ import annotations

from analysis.drift.statistics.base import Bound, Statistic
from analysis.drift.statistics.cell_excess import CellExcess
from analysis.drift.statistics.centroid_cosine import CentroidCosine
from analysis.drift.statistics.classifier import Classifier
from analysis.drift.statistics.energy import Energy
from analysis.drift.statistics.frechet import Frechet
from analysis.drift.statistics.jensen_shannon import JensenShannon
from analysis.drift.statistics.mmd import Mmd
from analysis.drift.statistics.neighbourhood import NeighbourhoodExcess
from analysis.drift.statistics.novelty import Novelty
from analysis.drift.statistics.population_stability import PopulationStability
from analysis.drift.statistics.sliced_wasserstein import SlicedWasserstein

VERDICT_FAMILIES: tuple[Statistic, ...] = (Mmd(), CellExcess(), NeighbourhoodExcess(), Novelty())
# Chosen on Banking77: neighbourhoods alone find a new topic of 2 % most often, and equal weights dilute them.
VERDICT_WEIGHTS: tuple[float, ...] = (1.5, 1.0, 3.0, 1.0)
STATISTICS: tuple[Statistic, ...] = (
    *VERDICT_FAMILIES,
    CentroidCosine(),
    Energy(),
    SlicedWasserstein(),
    Frechet(),
    Classifier(),
    JensenShannon(),
    PopulationStability(),
)

__all__ = ["STATISTICS", "VERDICT_FAMILIES", "VERDICT_WEIGHTS", "Bound", "Statistic"]
