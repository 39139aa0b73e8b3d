"""The continuous monitor: false alarms over 120 looks, and how soon a change is found.

    python bench/drift_monitor.py PATH/hwu64.csv.gz [--streams 200] [--found 40] [--only WORD] [--cache FOLDER]

Every stream has 120 looks at 50 messages, after a reference of 3,000. For comparison a chi-squared test of coarse
cells, at the same level, is made at every look of the same streams. Rates have 95 % Wilson intervals. ``--seed``
draws other streams: parameters were chosen on Banking77.
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
STORMS, HOURS = 6, 4
Side = tuple[np.ndarray, np.ndarray, np.ndarray | None]
Stream = tuple[Side, Side]


def independent(corpus: Corpus, rng: np.random.Generator, share: float = 0.0, before: int = 0) -> Stream:
    """Messages drawn one by one; ``share`` of those after the first ``before`` from an intent never seen before."""
    sizes = np.bincount(corpus.intent)
    new = int(rng.choice(np.flatnonzero(sizes >= 60)))
    usual, fresh = np.flatnonzero(corpus.intent != new), np.flatnonzero(corpus.intent == new)
    n = LOOKS * AT_ONCE
    rows = corpus.vectors[rng.choice(usual, n)]
    planted = (rng.random(n) < share) & (np.arange(n) >= before)
    rows[planted] = corpus.vectors[rng.choice(fresh, int(planted.sum()))]
    return _single(corpus.vectors[rng.choice(usual, REFERENCE)]), _single(rows)


def doubled(corpus: Corpus, rng: np.random.Generator) -> Stream:
    """A domain of one tenth of the traffic becomes twice as frequent (2 of 11 parts)."""
    inside = corpus.domain[corpus.intent] == rng.choice(np.unique(corpus.domain))
    sides = []
    for n, share in ((REFERENCE, 0.1), (LOOKS * AT_ONCE, 2 / 11)):
        mine = rng.random(n) < share
        rows = corpus.vectors[corpus.pick(rng, n, ~inside)]
        rows[mine] = corpus.vectors[corpus.pick(rng, int(mine.sum()), inside)]
        sides.append(_single(rows))
    return sides[0], sides[1]


def in_sessions(stream: Stream, rng: np.random.Generator) -> Stream:
    """Every fifth message of a stream, each as a session of five near-duplicates."""
    sides = [jittered(np.repeat(side[0][::LENGTH], LENGTH, axis=0), rng) for side in stream]
    first, second = ((rows, np.arange(len(rows)) // LENGTH, None) for rows in sides)
    return first, second


def storms(corpus: Corpus, rng: np.random.Generator) -> Stream:
    """Single messages, and six retry storms of 3 % of a window each that fall into either window by chance."""
    in_reference = int(rng.binomial(STORMS, REFERENCE / (REFERENCE + LOOKS * AT_ONCE)))
    sides = []
    for n, count in ((REFERENCE, in_reference), (LOOKS * AT_ONCE, STORMS - in_reference)):
        groups = np.arange(n)
        for start in rng.choice(n - n // 33, count, replace=False):
            groups[start : start + n // 33] = groups[start]
        rows = corpus.vectors[corpus.pick(rng, n)]
        sides.append((jittered(rows[groups], rng), groups, None))
    return sides[0], sides[1]


def rhythm(corpus: Corpus, rng: np.random.Generator, *, told: bool) -> Stream:
    """Four parts of the day with a mix of their own; a part lasts 75 messages; ``told``: parts are given as strata."""
    mixes = rng.dirichlet(np.full(len(corpus.names), 0.5), HOURS)
    weights = mixes[:, corpus.intent] / np.bincount(corpus.intent)[corpus.intent]
    sides = []
    for n in (REFERENCE, LOOKS * AT_ONCE):
        part = np.arange(n) // 75 % HOURS
        rows = np.empty(n, dtype=np.int64)
        for k in range(HOURS):
            rows[part == k] = rng.choice(len(weights[k]), int((part == k).sum()), p=weights[k] / weights[k].sum())
        sides.append((corpus.vectors[rows], np.arange(n), part if told else None))
    return sides[0], sides[1]


def _single(rows: np.ndarray) -> Side:
    return rows, np.arange(len(rows)), None


def watched(stream: Stream, seed: int) -> int | None:
    """Return after how many messages the monitor alarms."""
    (reference, groups, before), (rows, names, strata) = stream
    monitor = DriftMonitor(reference, ALPHA, reference_groups=groups, reference_strata=before, rng=seed)
    for start in range(0, len(rows), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        if monitor.update(rows[part], names[part], None if strata is None else strata[part]).alarm:
            return start + AT_ONCE
    return None


def tested(stream: Stream, seed: int) -> int | None:
    """Return after how many messages a chi-squared test at every look is significant."""
    reference, rows = stream[0][0], stream[1][0]
    centres = lloyd(reference, 32, np.random.default_rng(seed))
    before = np.bincount(nearest(reference, centres)[0], minlength=len(centres)) + 0.5
    cell = nearest(rows, centres)[0]
    for end in range(10 * AT_ONCE, len(rows) + 1, AT_ONCE):
        after = np.bincount(cell[:end], minlength=len(centres)) + 0.5
        if chi2_contingency(np.stack([before, after])).pvalue <= ALPHA:
            return end
    return None


def line(name: str, draw: Callable[[np.random.Generator], Stream], n: int, seed: int, before: int = 0) -> None:
    """Print one row of the table; ``before``: messages before the change, an alarm among which is false."""
    started = time.process_time()
    delays = [watched(draw(np.random.default_rng([seed, k])), k) for k in range(n)]
    seconds = (time.process_time() - started) / max(1, n)
    simple = [tested(draw(np.random.default_rng([seed, k])), k) for k in range(min(n, 40))]
    found = [delay - before for delay in delays if delay is not None and delay > before]
    rate, other = Rate.of(len(found), n), sum(delay is not None for delay in simple)
    middle = f"{np.median(found):,.0f}" if found else "none"
    print(
        f"{name:<46} {rate.alarms:>4}/{n:<4} [{rate.low:.2f}, {rate.high:.2f}]  median after {middle:>6} messages"
        f"  {seconds:.2f} CPU s a stream  chi-squared at every look {other}/{len(simple)}",
        flush=True,
    )


Draw = Callable[[np.random.Generator], Stream]


def quiet(corpus: Corpus) -> dict[str, Draw]:
    """Streams without a change."""
    return {
        "no change, independent messages": lambda rng: independent(corpus, rng),
        "no change, sessions of five": lambda rng: in_sessions(independent(corpus, rng), rng),
        "no change, retry storms": lambda rng: storms(corpus, rng),
        "no change, rhythm of the day told": lambda rng: rhythm(corpus, rng, told=True),
        "no change, rhythm of the day not told": lambda rng: rhythm(corpus, rng, told=False),
    }


def changed(corpus: Corpus) -> dict[str, Draw]:
    """Streams with a change from the first message on."""
    return {
        "a new intent at 10 %": lambda rng: independent(corpus, rng, 0.10),
        "a new intent at 5 %": lambda rng: independent(corpus, rng, 0.05),
        "a new intent at 2 %": lambda rng: independent(corpus, rng, 0.02),
        "a domain doubled": lambda rng: doubled(corpus, rng),
        "a new intent at 10 %, sessions of five": lambda rng: in_sessions(independent(corpus, rng, 0.10), rng),
        "a new intent at 5 %, sessions of five": lambda rng: in_sessions(independent(corpus, rng, 0.05), rng),
        "a domain doubled, sessions of five": lambda rng: in_sessions(doubled(corpus, rng), rng),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--found", type=int, default=40)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", default="", help="only rows whose name holds this")
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    corpus = read(options.path, 12_000, options.cache)
    for streams, n in ((quiet(corpus), options.streams), (changed(corpus), options.found)):
        for name, draw in streams.items():
            if options.only in name:
                line(name, draw, n, options.seed)
    late = 3_000
    name = f"a new intent at 10 % after {late:,} messages"
    if options.only in name:
        line(name, lambda rng: independent(corpus, rng, 0.10, late), options.found, options.seed, late)


if __name__ == "__main__":
    main()
