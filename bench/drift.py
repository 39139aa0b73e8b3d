"""False-alarm rates, power and cost of the drift methods, beside a bound, in one run.

    python bench/drift.py PATH… [--tries 60] [--n 1000] [--rows 8000]

PATH is a CSV file (``.gz`` or not) with columns ``text`` and ``label`` (an intent). Windows are drawn from its rows
without replacement. Sessions are five near-duplicates of one message. A rate stands beside its Wilson interval and
the bar it must clear; seconds are processor time of one comparison, beside those of a row-wise energy test with as
many permutations (what a reader would write first).
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from analysis.drift import DriftResult, compare, compare_to_past
from analysis.embed import load_embedder

Draws = tuple[np.ndarray, np.ndarray, np.ndarray | None]
Z95 = 1.96


@dataclass(frozen=True)
class Corpus:
    """Vectors (n, d) and the intent of each, as integers."""

    vectors: np.ndarray
    intent: np.ndarray

    def pick(self, rng: np.random.Generator, n: int, keep: np.ndarray | None = None) -> np.ndarray:
        """Return indices of random rows, with repetition only where there are too few."""
        allowed = np.arange(len(self.intent)) if keep is None else np.flatnonzero(keep)
        return rng.choice(allowed, n, replace=len(allowed) < n)


def read(path: Path, rows: int) -> Corpus:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        records = {row["text"]: row["label"] for row in csv.DictReader(file)}
    chosen = np.random.default_rng(0).permutation(len(records))[:rows]
    texts, labels = np.array(list(records)), np.array(list(records.values()))
    vectors = load_embedder().encode([str(text) for text in texts[chosen]])
    return Corpus(np.asarray(vectors, dtype=np.float32), np.unique(labels[chosen], return_inverse=True)[1])


def same(corpus: Corpus, rng: np.random.Generator, n: int) -> Draws:
    rows = corpus.vectors[corpus.pick(rng, 2 * n)]
    return rows[:n], rows[n:], None


def sessions(corpus: Corpus, rng: np.random.Generator, n: int) -> Draws:
    rows = np.repeat(corpus.vectors[corpus.pick(rng, 2 * n // 5)], 5, axis=0)
    rows = rows + 0.01 * rng.standard_normal(rows.shape).astype(np.float32)
    return rows[:n], rows[n : 2 * n], np.arange(n) // 5


def new_intents(share: float, how_many: int) -> Callable[[Corpus, np.random.Generator, int], Draws]:
    """Return a draw whose current window holds a share of intents that the reference never had."""

    def draw(corpus: Corpus, rng: np.random.Generator, n: int) -> Draws:
        new = np.isin(corpus.intent, rng.choice(np.unique(corpus.intent), how_many, replace=False))
        rows = corpus.vectors[corpus.pick(rng, 2 * n, ~new)]
        k = round(share * n)
        rows[n : n + k] = corpus.vectors[corpus.pick(rng, k, new)]
        return rows[:n], rows[n:], None

    return draw


CASES: dict[str, tuple[Callable[[Corpus, np.random.Generator, int], Draws], str]] = {
    "no change, independent": (same, "≤ .07"),
    "no change, sessions": (sessions, "≤ .07"),
    "a new intent at 5 %": (new_intents(0.05, 1), "≥ .95"),
    "a new intent at 2 %": (new_intents(0.02, 1), ""),
    "eight new intents, 5 %": (new_intents(0.05, 8), ""),
}


def wilson(found: int, tries: int) -> str:
    rate, z2 = found / tries, Z95**2
    centre = (rate + z2 / (2 * tries)) / (1 + z2 / tries)
    half = Z95 * np.sqrt(rate * (1 - rate) / tries + z2 / (4 * tries**2)) / (1 + z2 / tries)
    return f"{rate:.2f} [{max(0.0, centre - half):.2f}, {min(1.0, centre + half):.2f}]"


def row_wise_energy(reference: np.ndarray, current: np.ndarray, rng: np.random.Generator) -> float:
    """Return the p-value of the plain energy test: one distance matrix, 499 permutations of rows."""
    rows = np.concatenate([reference, current])
    squares = (rows**2).sum(axis=1)
    distance = np.sqrt(np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0))
    label = np.arange(len(rows)) >= len(reference)
    values = []
    for i in range(500):
        now = label if i == 0 else rng.permutation(label)
        across = distance[now][:, ~now].mean()
        values.append(2 * across - distance[now][:, now].mean() - distance[~now][:, ~now].mean())
    return float(np.mean(np.array(values) >= values[0]))


def tried(corpus: Corpus, case: str, tries: int, n: int) -> tuple[list[DriftResult], float]:
    results, started = [], 0.0
    for i in range(tries):
        reference, current, groups = CASES[case][0](corpus, np.random.default_rng([1, i]), n)
        before = time.process_time()
        results.append(compare(reference, current, reference_groups=groups, current_groups=groups, rng=i))
        started += time.process_time() - before
    return results, started / tries


def day(
    corpus: Corpus, rng: np.random.Generator, usual: np.ndarray, new: int, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return 600 messages in 150 sessions with a mix that wobbles from day to day."""
    mix = usual * np.exp(0.5 * rng.standard_normal(len(usual)))
    intents = rng.choice(len(usual), 150, p=mix / mix.sum())
    intents[: round(150 * share)] = new
    rows = np.array([corpus.pick(rng, 1, corpus.intent == intent)[0] for intent in intents])
    vectors = np.repeat(corpus.vectors[rows], 4, axis=0)
    noise = 0.01 * rng.standard_normal(vectors.shape).astype(np.float32)
    return vectors + noise, np.repeat(np.arange(150), 4)


def ranked(corpus: Corpus, share: float, tries: int) -> int:
    """Count the tries in which a day stood out from 45 wobbling days."""
    found = 0
    for i in range(tries):
        rng = np.random.default_rng([2, i])
        usual = np.bincount(corpus.intent).astype(float)
        new = int(rng.choice(np.flatnonzero(usual >= 40)))
        usual[new] = 0.0
        past = [day(corpus, rng, usual, new, 0.0) for _ in range(45)]
        today = day(corpus, rng, usual, new, share)
        windows, groups = [rows for rows, _ in past], [names for _, names in past]
        result = compare_to_past(windows, today[0], past_groups=groups, current_groups=today[1], rng=i)
        found += result.verdict == "drifted"
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--tries", type=int, default=60)
    parser.add_argument("--n", type=int, default=1_000)
    parser.add_argument("--rows", type=int, default=8_000)
    options = parser.parse_args()
    console = Console(width=150)
    for path in options.paths:
        corpus = read(path, options.rows)
        table = Table(title=f"{path.name}: {options.n} against {options.n}, {options.tries} tries")
        for column in ("case", "alarms [95 %]", "bar", "mmd", "cell", "novelty", "CPU s"):
            table.add_column(column)
        for case, (_, bar) in CASES.items():
            results, seconds = tried(corpus, case, options.tries, options.n)
            alone = [
                f"{np.mean([result.parts[name].p_value <= 0.05 for result in results]):.2f}"
                for name in ("mmd", "cell_excess", "novelty")
            ]
            found = sum(result.verdict == "drifted" for result in results)
            table.add_row(case, wilson(found, options.tries), bar, *alone, f"{seconds:.3f}")
        for share in (0.0, 0.05, 0.10):
            tries = max(10, options.tries // 3)
            bar = "≤ .07" if share == 0.0 else ""
            table.add_row(
                f"{share:.0%} new, against 45 wobbling days", wilson(ranked(corpus, share, tries), tries), bar
            )
        reference, current, _ = same(corpus, np.random.default_rng(3), options.n)
        started = time.process_time()
        row_wise_energy(reference, current, np.random.default_rng(4))
        table.add_row("peer: row-wise energy", "", "", "", "", "", f"{time.process_time() - started:.3f}")
        console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
