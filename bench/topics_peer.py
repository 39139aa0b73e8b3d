"""BERTopic on given embeddings, at its defaults and at another tool's; started by ``bench/topics.py``.

Usage: ``python bench/topics_peer.py IN.npz OUT.npz``, with the Python of BERTopic's environment. IN holds ``X`` (n, d)
and ``t`` (n,); OUT gets, for each name of `PEERS`, labels (n,) under the name and processor seconds under
``NAME seconds``. A fit before it compiles what numba compiles at run time. Nothing is fetched: an embedding model is
never loaded.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from bertopic import BERTopic
from hdbscan import HDBSCAN
from umap import UMAP

# UMAP searches neighbours in another way, and compiles other code, from 4,096 rows on.
WARM_ROWS = 4500
WARM_DIMENSIONS = 32


def phoenix() -> BERTopic:
    """Return BERTopic with the layout and the clusterer of Phoenix's embeddings view (its ``EmbeddingDimension``)."""
    return BERTopic(
        umap_model=UMAP(n_components=3, n_neighbors=30, min_dist=0.0),
        hdbscan_model=HDBSCAN(min_cluster_size=10, min_samples=1, cluster_selection_epsilon=0.0),
    )


PEERS: dict[str, Callable[[], BERTopic]] = {"BERTopic": BERTopic, "as Phoenix": phoenix}


def warm() -> None:
    """Compile what both ways of searching neighbours need."""
    X = np.random.default_rng(0).normal(size=(WARM_ROWS, WARM_DIMENSIONS)).astype(np.float32)
    for rows in (WARM_ROWS // 9, WARM_ROWS):
        for make in PEERS.values():
            model = make()
            model.hdbscan_model.fit(model.umap_model.fit_transform(X[:rows]))


def main(source: str, target: str) -> None:
    with np.load(source, allow_pickle=False) as arrays:
        X, texts = arrays["X"], arrays["t"].tolist()
    np.random.seed(0)
    warm()
    found: dict[str, np.ndarray] = {}
    for name, make in PEERS.items():
        start = time.process_time()
        labels, _ = make().fit_transform(texts, X)
        found[f"{name} seconds"] = np.array(time.process_time() - start)
        found[name] = np.array(labels, dtype=np.int64)
    np.savez(target, **found)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
