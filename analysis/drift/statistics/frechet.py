"""Fréchet distance of the windows as Gaussians in their principal components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.drift.arrays import Floats
from analysis.drift.permutation import Draw
from analysis.drift.pooled import Pooled

COMPONENTS = 16


@dataclass(frozen=True)
class Frechet:
    r"""Fréchet distance of two Gaussians fitted to the first 16 principal components of the pooled rows.

    .. math:: T = \|\mu_1 - \mu_0\|^2 + \mathrm{tr}\big(\Sigma_1 + \Sigma_0 - 2(\Sigma_1\Sigma_0)^{1/2}\big)

    Sources: Dowson and Landau, 1982, doi:10.1016/0047-259X(82)90077-X; for embeddings, Heusel et al.,
    2017. Sees shifts of mean and spread; misses small new topics, and it grows with the number of
    components over the number of messages even without drift.
    """

    name: str = "frechet"
    title: str = "Distance of fitted Gaussians"
    higher_is_more_drift: bool = True
    symmetric: bool = True

    def bind(self, pooled: Pooled) -> BoundFrechet:
        """Reduce the pooled rows to sums of components and of their products per group."""
        scores = pooled.components(COMPONENTS).astype(np.float64)
        d = scores.shape[1]
        products = (scores[:, :, None] * scores[:, None, :]).reshape(len(scores), d * d)
        spread = max(1e-12, float(scores.var(axis=0).sum()))
        return BoundFrechet(pooled.sums(scores), pooled.sums(products), pooled.sizes, spread)


@dataclass(frozen=True, eq=False)
class BoundFrechet:
    """Sums of components (g, d) and of products (g, d d) of the groups, their sizes, the pooled variance."""

    sums: Floats
    products: Floats
    sizes: Floats
    spread: float

    def values(self, draw: Draw) -> Floats:
        """Return the distance under each labelling, (b,)."""
        labels = draw.labels()
        return self._distance(1.0 - labels, labels)

    def effect(self, before: Floats, after: Floats) -> Floats:
        """Return the root of the distance in spreads of a message: about the share that moved, (b,)."""
        return np.minimum(1.0, np.sqrt(np.maximum(0.0, self._distance(before, after)) / (2.0 * self.spread)))

    def _distance(self, before: Floats, after: Floats) -> Floats:
        first = self._moments(after.astype(np.float64))
        second = self._moments(before.astype(np.float64))
        root = _root(first[1])
        cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second[1] @ root), 0.0)).sum(axis=1)
        traces = np.trace(first[1], axis1=1, axis2=2) + np.trace(second[1], axis1=1, axis2=2)
        return np.asarray(((first[0] - second[0]) ** 2).sum(axis=1) + traces - 2.0 * cross)

    def _moments(self, labels: Floats) -> tuple[Floats, Floats]:
        n = np.maximum(labels @ self.sizes, 1.0)
        mean = (labels @ self.sums) / n[:, None]
        d = mean.shape[1]
        second = ((labels @ self.products) / n[:, None]).reshape(-1, d, d)
        return mean, second - mean[:, :, None] * mean[:, None, :]


def _root(matrices: Floats) -> Floats:
    """Return the symmetric square roots of positive semidefinite matrices (b, d, d)."""
    values, vectors = np.linalg.eigh(matrices)
    scaled = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    return np.asarray(scaled @ np.swapaxes(vectors, 1, 2))
