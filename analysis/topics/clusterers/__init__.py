"""Clustering engines: one file each, listed once in `CLUSTERERS`."""

from __future__ import annotations

from analysis.topics.clusterers.base import Clusterer
from analysis.topics.clusterers.evoc_engine import EvocClusterer
from analysis.topics.clusterers.linkage import LinkageClusterer
from analysis.topics.clusterers.umap_hdbscan import UmapHdbscanClusterer
from analysis.topics.clusterers.ward import WardClusterer

CLUSTERERS: tuple[type[Clusterer], ...] = (WardClusterer, EvocClusterer, UmapHdbscanClusterer, LinkageClusterer)


def load_clusterer(name: str, min_cluster_size: int, seed: int) -> Clusterer:
    """Return a fresh engine by its name.

    Raises
    ------
    ValueError
        When no engine has that name; the message lists the names that exist.
    """
    for engine in CLUSTERERS:
        if engine.name == name:
            return engine(min_cluster_size=min_cluster_size, seed=seed)
    known = ", ".join(engine.name for engine in CLUSTERERS)
    raise ValueError(f"unknown clusterer {name!r}; known are: {known}")


__all__ = ["CLUSTERERS", "Clusterer", "load_clusterer"]
