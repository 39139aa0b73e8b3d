"""The continuous monitor: false alarms over 120 looks, and how soon a new intent is found.

    python bench/drift_monitor.py PATH/hwu64.csv.gz [--streams 200] [--found 40] [--cache FOLDER]

Every stream has 120 looks at 50 messages, after a reference of 3,000. For comparison a chi-squared test of coarse
cells, at the same level, is made at every look of the same streams. Rates have 95 % Wilson intervals.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from drift_draws import Corpus, jittered, read
from scipy.stats import chi2_contingency

from analysis.calibrate import Rate
from analysis.drift import DriftMonitor
from analysis.drift.arrays import nearest
from analysis.drift.cells import lloyd

REFERENCE, LOOKS, AT_ONCE, LENGTH = 3_000, 120, 50, 5
ALPHA = 0.05
Stream = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def independent(corpus: Corpus, rng: np.random.Generator, share: float = 0.0) -> Stream:
    """Messages drawn one by one; ``share`` of the stream from an intent that the reference never had."""
    sizes = np.bincount(corpus.intent)
    new = int(rng.choice(np.flatnonzero(sizes >= 60)))
    usual, fresh = np.flatnonzero(corpus.intent != new), np.flatnonzero(corpus.intent == new)
    n = LOOKS * AT_ONCE
    rows = corpus.vectors[rng.choice(usual, n)]
    planted = rng.random(n) < share
    rows[planted] = corpus.vectors[rng.choice(fresh, int(planted.sum()))]
    return corpus.vectors[rng.choice(usual, REFERENCE)], np.arange(REFERENCE), rows, np.arange(n)


def in_sessions(corpus: Corpus, rng: np.random.Generator, share: float = 0.0) -> Stream:
    """Sessions of five near-duplicates."""
    reference, _, rows, _ = independent(corpus, rng, share)
    first, second = (jittered(np.repeat(side[::LENGTH], LENGTH, axis=0), rng) for side in (reference, rows))
    return first, np.arange(len(first)) // LENGTH, second, np.arange(len(second)) // LENGTH


def watched(stream: Stream, seed: int) -> int | None:
    """Return after how many messages the monitor alarms."""
    reference, groups, rows, names = stream
    monitor = DriftMonitor(reference, ALPHA, reference_groups=groups, rng=seed)
    for start in range(0, len(rows), AT_ONCE):
        if monitor.update(rows[start : start + AT_ONCE], names[start : start + AT_ONCE]).alarm:
            return start + AT_ONCE
    return None


def tested(stream: Stream, seed: int) -> int | None:
    """Return after how many messages a chi-squared test at every look is significant."""
    reference, _, rows, _ = stream
    centres = lloyd(reference, 32, np.random.default_rng(seed))
    before = np.bincount(nearest(reference, centres)[0], minlength=len(centres)) + 0.5
    cell = nearest(rows, centres)[0]
    for end in range(10 * AT_ONCE, len(rows) + 1, AT_ONCE):
        after = np.bincount(cell[:end], minlength=len(centres)) + 0.5
        if chi2_contingency(np.stack([before, after])).pvalue <= ALPHA:
            return end
    return None


def line(name: str, draw: Callable[[np.random.Generator], Stream], n: int) -> None:
    """Print one row of the table."""
    started = time.process_time()
    delays = [watched(draw(np.random.default_rng([7, k])), k) for k in range(n)]
    seconds = (time.process_time() - started) / n
    simple = [tested(draw(np.random.default_rng([7, k])), k) for k in range(min(n, 40))]
    found = [delay for delay in delays if delay is not None]
    rate, other = Rate.of(len(found), n), sum(delay is not None for delay in simple)
    middle = f"{np.median(found):,.0f}" if found else "none"
    print(
        f"{name:<38} {rate.alarms:>4}/{n:<4} [{rate.low:.2f}, {rate.high:.2f}]  median after {middle:>6} messages"
        f"  {seconds:.2f} CPU s a stream  chi-squared at every look {other}/{len(simple)}",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--found", type=int, default=40)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    corpus = read(options.path, 12_000, options.cache)
    line("no change, independent messages", lambda rng: independent(corpus, rng), options.streams)
    line("no change, sessions of five", lambda rng: in_sessions(corpus, rng), options.streams)
    line("a new intent at 10 %", lambda rng: independent(corpus, rng, 0.10), options.found)
    line("a new intent at 5 %", lambda rng: independent(corpus, rng, 0.05), options.found)
    line("a new intent at 2 %", lambda rng: independent(corpus, rng, 0.02), options.found)
    line("a new intent at 5 %, sessions of five", lambda rng: in_sessions(corpus, rng, 0.05), options.found)


if __name__ == "__main__":
    main()
