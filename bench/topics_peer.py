"""BERTopic at its defaults on given embeddings; started by ``bench/topics.py`` with the Python of its environment.

Usage: ``python bench/topics_peer.py IN.npz OUT.npz``; IN holds ``X`` (n, d) and ``t`` (n,), OUT gets ``labels`` (n,)
and ``seconds`` of processor time. A small fit before it compiles what numba compiles at run time.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from bertopic import BERTopic

WARM_ROWS = 500


def main(source: str, target: str) -> None:
    with np.load(source, allow_pickle=False) as arrays:
        X, texts = arrays["X"], arrays["t"].tolist()
    BERTopic().fit_transform(texts[:WARM_ROWS], X[:WARM_ROWS])
    start = time.process_time()
    labels, _ = BERTopic().fit_transform(texts, X)
    np.savez(target, labels=np.array(labels, dtype=np.int64), seconds=np.array(time.process_time() - start))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
