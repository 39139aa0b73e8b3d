"""Quality and cost of both density engines, and stability of refits, on labelled texts.

Usage: ``python bench/topics.py PATH…``. A path is a CSV (optionally .gz) with the columns ``text`` and ``label``,
or an npz with ``X`` (n, d), ``t`` and ``y`` where the embeddings exist already.
"""

from __future__ import annotations

import csv
import gzip
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from analysis.topics import TopicModel
from analysis.topics.geometry import nearest, unit_rows
from analysis.topics.warm import exercise

ENGINES = ("evoc", "umap-hdbscan")
RESAMPLES = 3
HEAD = (
    f"{'set':<20}{'engine':<14}{'n':>7}{'topics':>8}{'ARI filled':>12}{'ARI noise':>11}{'AMI':>7}{'out':>7}{'CPU s':>8}"
)


def load(path: Path) -> tuple[np.ndarray, list[str], np.ndarray]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return unit_rows(arrays["X"]), arrays["t"].tolist(), arrays["y"]
    from analysis.embed import load_embedder

    opened = gzip.open(path, "rt") if path.suffix == ".gz" else path.open()
    with opened as file:
        rows = list(csv.DictReader(file))
    texts = [row["text"] for row in rows]
    return load_embedder().encode(texts), texts, np.array([row["label"] for row in rows])


def measure(name: str, engine: str, X: np.ndarray, texts: list[str], y: np.ndarray) -> TopicModel:
    start = time.process_time()
    model = TopicModel(engine).fit(X, texts)
    seconds = time.process_time() - start
    filled = nearest(unit_rows(X), model.centroids_)[0]
    print(
        f"{name:<20}{engine:<14}{len(X):>7}{len(model.topics_):>8}{adjusted_rand_score(y, filled):>12.3f}"
        f"{adjusted_rand_score(y, model.labels_):>11.3f}{adjusted_mutual_info_score(y, filled):>7.3f}"
        f"{(model.labels_ < 0).mean():>7.3f}{seconds:>8.1f}",
        flush=True,
    )
    return model


def stability(name: str, model: TopicModel, X: np.ndarray, texts: list[str]) -> None:
    before = {topic.topic_id for topic in model.topics_}
    agreement, kept, events = [], [], 0
    for seed in range(RESAMPLES):
        rows = np.sort(np.random.default_rng(seed).choice(len(X), int(0.8 * len(X)), replace=False))
        later = TopicModel.from_arrays(model.to_arrays()).refit(X[rows], [texts[i] for i in rows])
        agreement.append(adjusted_rand_score(model.labels_[rows], later.labels_))
        kept.append(len(before & {topic.topic_id for topic in later.topics_}) / max(len(before), 1))
        events += len(later.events_)
    print(
        f"{name:<20}refit on 80 %: ARI {np.mean(agreement):.3f}, ids kept {np.mean(kept):.3f}, "
        f"events {events / RESAMPLES:.1f} a refit"
    )


def assignment(name: str, model: TopicModel, X: np.ndarray) -> None:
    rows = np.resize(X, (100_000, X.shape[1]))
    start = time.perf_counter()
    model.assign(rows)
    print(f"{name:<20}assign: {(time.perf_counter() - start) * 10:.2f} ms per 1,000 rows (bound 2)")


def main(paths: list[str]) -> int:
    if not paths:
        print(__doc__, file=sys.stderr)
        return 2
    exercise()
    print(HEAD)
    for path in map(Path, paths):
        X, texts, y = load(path)
        name = path.name.split(".")[0]
        models = [measure(name, engine, X, texts, y) for engine in ENGINES]
        stability(name, models[0], X, texts)
        assignment(name, models[0], X)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
