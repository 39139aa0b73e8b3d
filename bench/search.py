"""Search by meaning over many vectors: the mapped index against brute force and an approximate index.

Usage: ``python bench/search.py [--rows 1000000] [--peers]``. The vectors are made here: mixtures of the embeddings
of template sentences with noise, 384 dimensions. ``--peers`` also measures ``usearch`` (HNSW) where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from analysis.embed import load_embedder
from undertow.search import nearest, pack_vectors
from undertow.search_index import SearchIndex
from undertow.store.embedded import EmbeddedStore

QUERIES = 30
K = 10
CHUNK = 50_000
ASKS = ("How do I", "Can I", "Why can't I", "Who lets me", "Please", "When may I")
DOES = ("cancel", "change", "find", "pay for", "dispute", "renew", "share", "print", "delete", "report", "move")
WHAT = ("my card", "a loan", "the fee", "my address", "an invoice", "the password", "a flight", "my seat", "the lease")
WHERE = ("abroad", "online", "for my child", "at night", "without a receipt", "from another account", "by phone")


def made(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return float16 vectors (rows, 384) and float32 queries (30, 384)."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(parts) + "?" for parts in itertools.product(ASKS, DOES, WHAT, WHERE)]
    base = load_embedder().encode(texts)
    vectors = np.empty((rows, base.shape[1]), np.float16)
    for start in range(0, rows, CHUNK):
        part = slice(start, min(start + CHUNK, rows))
        count = part.stop - start
        share = rng.uniform(0, 0.5, (count, 1)).astype(np.float32)
        mixed = (1 - share) * base[rng.integers(len(base), size=count)] + share * base[
            rng.integers(len(base), size=count)
        ]
        mixed += 0.02 * rng.standard_normal(mixed.shape, np.float32)
        vectors[part] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    queries = base[rng.integers(len(base), size=QUERIES)] + 0.03 * rng.standard_normal((QUERIES, base.shape[1]))
    return vectors, (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)


def timed(ask: Callable[[np.ndarray], list[str]], queries: np.ndarray) -> tuple[list[list[str]], float, float]:
    """Answers, and median and worst milliseconds of a warm query."""
    ask(queries[0])
    answers, times = [], []
    for query in queries:
        start = time.perf_counter()
        answers.append(ask(query))
        times.append((time.perf_counter() - start) * 1e3)
    return answers, float(np.median(times)), max(times)


def line(name: str, answers: list[list[str]], truth: list[list[str]], median: float, worst: float) -> None:
    recall = np.mean([len(set(a) & set(t)) / K for a, t in zip(answers, truth, strict=True)])
    print(f"{name:<44}{recall:>10.3f}{median:>12.1f}{worst:>12.1f}", flush=True)


def measure(rows: int, peers: bool) -> None:
    vectors, queries = made(rows)
    names = [f"{number:064x}" for number in range(rows)]
    print(f"\n{rows:,} vectors{'':<26}{'recall@10':>17}{'median ms':>12}{'worst ms':>12}")
    wide = vectors.astype(np.float32)
    truth, median, worst = timed(lambda q: [names[i] for i in nearest(q, wide, K)[0][0]], queries)
    line("brute force, float32 in memory", truth, truth, median, worst)
    with tempfile.TemporaryDirectory() as folder, EmbeddedStore(Path(folder) / "a.duckdb") as store:
        for start in range(0, rows, CHUNK):
            part = slice(start, start + CHUNK)
            store.commit(
                {"embeddings": pack_vectors(names[part], "prompt", "bench", vectors[part])}, key=f"part-{start}"
            )
        index = SearchIndex(Path(folder) / "search", "prompt", "bench")
        start_s = time.perf_counter()
        index.refresh(store)
        built = time.perf_counter() - start_s
        start_s = time.perf_counter()
        index.refresh(store)
        unchanged_ms = (time.perf_counter() - start_s) * 1e3
        answers, median, worst = timed(lambda q: index.nearest(q, K)[0], queries)
        line("mapped index (sign codes, then float16)", answers, truth, median, worst)
        print(f"  first build {built:.1f} s; check that nothing changed {unchanged_ms:.0f} ms")
    if peers:
        approximate(wide, queries, truth, names)


def approximate(wide: np.ndarray, queries: np.ndarray, truth: list[list[str]], names: list[str]) -> None:
    if importlib.util.find_spec("usearch") is None:
        print("  usearch is not installed: no approximate index beside it")
        return
    from usearch.index import Index

    start = time.perf_counter()
    index = Index(ndim=wide.shape[1], metric="ip", dtype="f16")
    index.add(np.arange(len(wide)), wide)
    built = time.perf_counter() - start
    answers, median, worst = timed(lambda q: [names[i] for i in index.search(q, K).keys], queries)
    line("usearch HNSW, float16", answers, truth, median, worst)
    print(f"  built in {built:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--peers", action="store_true")
    arguments = parser.parse_args()
    for rows in arguments.rows:
        measure(rows, arguments.peers)


if __name__ == "__main__":
    main()
