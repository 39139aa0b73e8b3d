"""The angle between the windows' mean vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.drift.arrays import Floats
from analysis.drift.permutation import Draw
from analysis.drift.pooled import Pooled


@dataclass(frozen=True)
class CentroidCosine:
    r"""Cosine distance of the windows' mean vectors, in [0, 2].

    .. math:: T = 1 - \frac{\mu_0 \cdot \mu_1}{\|\mu_0\|\,\|\mu_1\|}

    The simplest measure in use (Rabanser et al., 2019, "Failing loudly"). Sees a shift of the whole;
    misses small new topics and changes that balance out.
    """

    name: str = "centroid_cosine"
    title: str = "Angle between the means"
    higher_is_more_drift: bool = True
    symmetric: bool = True

    def bind(self, pooled: Pooled) -> BoundCentroidCosine:
        """Reduce the pooled rows to vector sums per group."""
        return BoundCentroidCosine(pooled.sums(pooled.rows), pooled.sizes)


@dataclass(frozen=True, eq=False)
class BoundCentroidCosine:
    """Vector sums of the groups (g, d) and their sizes (g,)."""

    sums: Floats
    sizes: Floats

    def values(self, draw: Draw) -> Floats:
        """Return the cosine distance of the means under each labelling, (b,)."""
        labels = draw.labels()
        return self._distance(1.0 - labels, labels)

    def effect(self, before: Floats, after: Floats) -> Floats:
        """Return the cosine distance itself, which has no reading as a share beyond [0, 1]."""
        return np.minimum(1.0, self._distance(before, after))

    def _distance(self, before: Floats, after: Floats) -> Floats:
        first, second = (after @ self.sums).astype(np.float64), (before @ self.sums).astype(np.float64)
        norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        cosine = np.einsum("ij,ij->i", first, second) / np.maximum(norms, 1e-12)
        return np.asarray(1.0 - np.clip(cosine, -1.0, 1.0))
