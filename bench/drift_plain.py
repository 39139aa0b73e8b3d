"""Does joining four families find more than the plain way, the smallest p-value of three? On the same draws.

    python bench/drift_plain.py PATH… [--tries 150] [--large 60] [--rows 11000] [--cache DIR]

The plain way: MMD by random Fourier features, the largest standardised change of a Lloyd cell over two resolutions
(fitted to all dimensions), and the share of rows beyond one novelty radius, joined by the smallest of their p-values
over joint permutations. Its free choices are tried in turn, each a row of the table: how many cells, which radius.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from drift_draws import Corpus, Draw, new_intents, read

from analysis.calibrate import Rate
from analysis.drift.arrays import nearest
from analysis.drift.cells import lloyd
from analysis.drift.permutation import FreeDraw, joint_p_value, own_p_values
from analysis.drift.pooled import Pooled, pool, windows
from analysis.drift.statistics import VERDICT_FAMILIES, VERDICT_WEIGHTS
from analysis.drift.statistics.excess import Excess
from analysis.drift.statistics.novelty import choose_slice

PERMUTATIONS, LEVEL = 499, 0.05
CELLS = ((32, 128), (64, 256))
RADII = (0.90, 0.95, 0.98)
OURS = len(VERDICT_FAMILIES)


def cells(pooled: Pooled, sizes: tuple[int, ...]) -> Excess:
    fitted = [lloyd(pooled.rows, k, pooled.rng(50 + k)) for k in sizes]
    counts = np.concatenate([pooled.counts(nearest(pooled.rows, centres)[0]) for centres in fitted], axis=1)
    return Excess.of(counts, pooled.sizes, int(pooled.is_current.sum()))


def novelty(pooled: Pooled) -> Excess:
    """Learn the radii from single messages: no sessions here."""
    in_slice = choose_slice(pooled)
    taken = in_slice[pooled.groups]
    learnt = pooled.rows[taken]
    table = np.square(learnt).sum(axis=1)[:, None] + np.square(learnt).sum(axis=1) - 2.0 * learnt @ learnt.T
    np.fill_diagonal(table, np.inf)
    radii = np.quantile(np.sqrt(np.maximum(table.min(axis=1), 0.0)), RADII)
    distance = np.full(len(pooled.rows), -1.0)
    distance[~taken] = np.sqrt(nearest(pooled.rows[~taken], learnt)[1])
    beyond = pooled.sums((distance[:, None] > radii).astype(float))
    return Excess.of(beyond, pooled.sizes, int(pooled.is_current.sum()), ~in_slice)


def statistics(drawn: Draw, seed: int) -> np.ndarray:
    """Return all statistics under the observed labelling and random ones: ours, cells, novelty."""
    pooled = pool(windows(drawn.reference, drawn.current), seed)
    ours = [family.bind(pooled) for family in VERDICT_FAMILIES]
    partitions, novel = [cells(pooled, sizes) for sizes in CELLS], novelty(pooled)
    tables = []
    observed = FreeDraw.observed(pooled.is_current)
    for draw in (observed, FreeDraw.random(PERMUTATIONS, pooled.is_current, pooled.rng(5))):
        columns = [bound.values(draw) for bound in ours]
        columns += [np.abs(excess.values(draw)).max(axis=1) for excess in partitions]
        tables.append(np.column_stack([*columns, novel.values(draw)]))
    return np.concatenate(tables).astype(np.float64)


def smallest(table: np.ndarray, columns: list[int]) -> float:
    """Return the rank of the smallest of the columns' p-values."""
    least = own_p_values(table[:, columns]).min(axis=1)
    return float(np.mean(least <= least[0]))


def measured(corpus: Corpus, n: int, share: float, tries: int, name: str) -> None:
    draw = new_intents(share, 1)
    tables = [statistics(draw(corpus, np.random.default_rng([91, i]), n), i) for i in range(tries)]
    found = {"four families, weighted Fisher": [joint_p_value(table[:, :OURS], VERDICT_WEIGHTS) for table in tables]}
    for c, sizes in enumerate(CELLS):
        for r, radius in enumerate(RADII):
            columns = [0, OURS + c, OURS + len(CELLS) + r]
            label = f"three, smallest p-value, {sizes[0]} and {sizes[1]} cells, {radius:.0%} radius"
            found[label] = [smallest(table, columns) for table in tables]
    print(f"{name}: a new intent at {share:.0%}, {n:,} messages a window")
    for label, p_values in found.items():
        rate = Rate.of(sum(p <= LEVEL for p in p_values), tries)
        print(f"  {label:<60} {rate.alarms / tries:.2f} [{rate.low:.2f}, {rate.high:.2f}] of {tries}", flush=True)


def main() -> None:
    """Print a table a corpus and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--tries", type=int, default=150)
    parser.add_argument("--large", type=int, default=60, help="tries at 5,000 messages a window")
    parser.add_argument("--rows", type=int, default=11_000)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    for path in options.paths:
        corpus = read(path, options.rows, options.cache)
        for n, share, tries in ((1_000, 0.02, options.tries), (5_000, 0.01, options.large)):
            if tries:
                measured(corpus, n, share, tries, path.name)


if __name__ == "__main__":
    main()
