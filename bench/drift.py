"""False-alarm rates, power, explanation and cost of the drift methods, beside a bound, in one run.

    python bench/drift.py PATH… [--german PATH] [--tries 60] [--nulls 200] [--rows 11000] [--only compare,past]
                          [--large] [--cache DIR] [--peers-dir DIR]

PATH is a CSV file (``.gz`` or not) with columns ``text`` and ``label`` (an intent). Windows are drawn from its
rows without replacement (see ``drift_draws``). A rate stands beside its Wilson interval and the bar it must
clear; seconds are processor time. ``--peers-dir`` creates an environment for each peer below DIR.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from drift_draws import (
    Answers,
    Corpus,
    Draw,
    Drawer,
    answered,
    calls,
    day,
    doubled,
    embedded,
    new_intents,
    out_of_scope,
    popularity,
    read,
    same,
    sessions,
    storms,
    strangers,
)
from drift_pairs import polite, twins, wording
from rich.console import Console
from rich.table import Table

from analysis.drift import (
    Codebook,
    DriftResult,
    compare,
    compare_behaviour,
    compare_codes,
    compare_shares,
    compare_to_past,
    held_against,
)

Z95 = 1.96
QUESTIONS = 600
REFERENCE_DAYS = 28
CORRECTED = 0.01 / 8
PEER_TRIES = 8
PEERS = {"evidently": ("evidently", "pandas<3"), "alibi-detect": ("alibi-detect", "torch==2.13.*")}


@dataclass(frozen=True)
class Case:
    """A draw, the size of its windows, the bar beside it, and whether nothing changed."""

    draw: Drawer
    n: int
    bar: str
    null: bool = False


def compare_cases(german: np.ndarray | None) -> dict[str, Case]:
    cases = {
        "no change, independent": Case(same, 1_000, ".03 to .07", null=True),
        "no change, sessions of five": Case(sessions, 1_000, ".03 to .07", null=True),
        "no change, retry storms": Case(storms, 1_000, ".03 to .07", null=True),
        "a new intent at 5 %": Case(new_intents(0.05, 1), 1_000, "≥ 1.0"),
        "a new intent at 2 %": Case(new_intents(0.02, 1), 1_000, "≥ .55"),
        "eight new intents, 5 %": Case(new_intents(0.05, 8), 1_000, ""),
        "out of scope, 5 %": Case(out_of_scope(0.05), 1_000, "≥ .60"),
        "a domain doubled": Case(doubled, 1_000, "≥ .75"),
    }
    if german is not None:
        cases["German, 2 %"] = Case(strangers(0.02, german), 1_000, "≥ .80")
    cases["a new intent at 1 %, n = 5,000"] = Case(new_intents(0.01, 1), 5_000, "≥ .83")
    cases["out of scope, 2 %, n = 5,000"] = Case(out_of_scope(0.02), 5_000, "≥ .75")
    return cases


def wilson(found: int, tries: int) -> str:
    rate, z2 = found / tries, Z95**2
    centre = (rate + z2 / (2 * tries)) / (1 + z2 / tries)
    half = Z95 * np.sqrt(rate * (1 - rate) / tries + z2 / (4 * tries**2)) / (1 + z2 / tries)
    return f"{rate:.2f} [{max(0.0, centre - half):.2f}, {min(1.0, centre + half):.2f}]"


def compare_table(corpus: Corpus, german: np.ndarray | None, tries: int, nulls: int, name: str) -> Table:
    families = ("mmd", "cell_excess", "neighbourhood_excess", "novelty")
    table = _table(
        f"{name}: compare", "case", "alarms [95 %]", "bar", "mmd", "cell", "near", "novel", "exemplars", "CPU s"
    )
    for label, case in compare_cases(german).items():
        n_tries = nulls if case.null else tries if case.n <= 1_000 else max(10, tries // 2)
        results, right, seconds = [], [], []
        for i in range(n_tries):
            drawn = case.draw(corpus, np.random.default_rng([1, i]), case.n)
            result, spent = _timed(drawn, i)
            results.append(result)
            seconds.append(spent)
            if result.p_value <= 0.05 and drawn.planted is not None:
                right.append(drawn.planted[list(result.exemplars)].mean())
        found = sum(result.p_value <= 0.05 for result in results)
        alone = [f"{np.mean([r.parts[f].p_value <= 0.05 for r in results]):.2f}" for f in families]
        told = f"{np.mean(right):.2f}" if right else ""
        table.add_row(label, wilson(found, n_tries), case.bar, *alone, told, f"{np.median(seconds):.3f}")
    return table


def _timed(drawn: Draw, seed: int) -> tuple[DriftResult, float]:
    before = time.process_time()
    after = drawn.groups if drawn.current_groups is None else drawn.current_groups
    result = compare(drawn.reference, drawn.current, reference_groups=drawn.groups, current_groups=after, rng=seed)
    return result, time.process_time() - before


def past_table(corpus: Corpus, tries: int, nulls: int, name: str) -> Table:
    """Rank today; beside it what the pipeline says at the level that one of eight families must pass."""
    table = _table(
        f"{name}: today against 45 wobbling days of 600 messages in sessions",
        "case",
        "rank, 5 % [95 %]",
        "bar",
        "permutation, 0.125 %",
        "the same, held against the rank",
    )
    for share, bar in ((0.0, ".03 to .07"), (0.05, "≥ .70"), (0.10, "1.0")):
        n_tries = nulls if share == 0.0 else tries
        results = [_against_past(corpus, share, i) for i in range(n_tries)]
        found = [sum(result.verdict == "drifted" for result in column) for column in zip(*results, strict=True)]
        told = [wilson(count, n_tries) for count in found]
        table.add_row(f"{share:.0%} of a new intent", told[0], bar, *told[1:])
    return table


def _against_past(corpus: Corpus, share: float, seed: int) -> tuple[DriftResult, DriftResult, DriftResult]:
    """Return the rank, the session permutation against 28 days, and that held against the rank."""
    rng = np.random.default_rng([2, seed])
    usual = np.bincount(corpus.intent).astype(float)
    new = int(rng.choice(np.flatnonzero(usual >= 40)))
    usual[new] = 0.0
    past = [day(corpus, rng, usual, new, 0.0) for _ in range(45)]
    today = day(corpus, rng, usual, new, share)
    windows, groups = [rows for rows, _ in past], [names for _, names in past]
    ranked = compare_to_past(windows, today[0], past_groups=groups, current_groups=today[1], rng=seed)
    pooled = compare(
        np.concatenate(windows[-REFERENCE_DAYS:]),
        today[0],
        reference_groups=np.concatenate([names + 1_000 * day for day, names in enumerate(groups[-REFERENCE_DAYS:])]),
        current_groups=today[1],
        permutations=999,
        rng=seed,
        alpha=CORRECTED,
    )
    return ranked, pooled, held_against(ranked, pooled, CORRECTED)


BEHAVIOUR: dict[str, tuple[bool, int, dict[str, float | bool], dict[str, float | bool], str]] = {
    "no change, same questions": (False, 1, {}, {}, "≤ .08"),
    "no change, other questions": (True, 1, {}, {}, "≤ .08"),
    "no change, sessions": (False, 4, {}, {}, "≤ .08"),
    "no change, other questions, one model a session": (True, 4, {"one_model": True}, {}, "≤ .08"),
    "a model's share 20 to 70 %": (False, 1, {}, {"share": 0.7}, "≥ .85"),
    "the same, one model a session": (False, 4, {"one_model": True}, {"share": 0.7}, "≥ .50"),
    "the same, and other questions": (True, 4, {"one_model": True}, {"share": 0.7}, "≥ .50"),
    "refusals 15 %": (False, 1, {}, {"refused": 0.17}, "≥ .95"),
    "refusals 15 %, sessions": (False, 4, {}, {"refused": 0.17}, "≥ .95"),
    "refusals 5 %, sessions": (False, 4, {}, {"refused": 0.07}, ""),
}


def behaviour_table(given: Answers, tries: int, nulls: int, name: str) -> Table:
    table = _table(f"{name}: behaviour, windows of 600, template answers", "case", "alarms [95 %]", "bar", "compared")
    for label, (other, length, both, after, bar) in BEHAVIOUR.items():
        n_tries = tries if after else nulls
        results = []
        for i in range(n_tries):
            rng = np.random.default_rng([3, i])
            first = popularity(rng, QUESTIONS, 200)
            second = rng.permutation(first) * 0.5 + first * 0.5 if other else first
            windows = [
                calls(given, rng, first, length=length, **both),  # type: ignore[arg-type]  # a table of keywords
                calls(given, rng, second, length=length, **{**both, **after}),  # type: ignore[arg-type]  # the same
            ]
            results.append(_behaviour(windows[0], windows[1], i))
        found = sum(result.verdict == "drifted" for result in results)
        compared = np.mean([result.n_current for result in results])
        table.add_row(label, wilson(found, n_tries), bar, f"{compared:.0f}")
    return table


def _behaviour(before: tuple[np.ndarray, ...], after: tuple[np.ndarray, ...], seed: int) -> DriftResult:
    return compare_behaviour(
        before[0], before[1], after[0], after[1], reference_groups=before[2], current_groups=after[2], rng=seed
    )


def codebook_table(corpus: Corpus, german: np.ndarray | None, tries: int, nulls: int, name: str) -> Table:
    """Compare a frozen codebook, learnt on 4,000 other rows of the reference's kind, with the pooled one."""
    table = _table(f"{name}: frozen codebook, 1,000 against 1,000", "case", "frozen [95 %]", "pooled [95 %]", "CPU s")
    for label, case in compare_cases(german).items():
        if case.n > 1_000 or case.draw in (sessions, storms):
            continue
        frozen, pooled, seconds, n_tries = 0, 0, [], nulls if case.null else tries
        for i in range(n_tries):
            rng = np.random.default_rng([4, i])
            drawn = case.draw(corpus, rng, 5_000)
            book = Codebook.fit(drawn.reference[:4_000], rng=i)
            before, after = drawn.reference[4_000:], drawn.current[rng.permutation(5_000)[:1_000]]
            codes = book.encode(before), book.encode(after)
            started = time.process_time()
            frozen += compare_codes(*codes, rng=i).p_value <= 0.05
            seconds.append(time.process_time() - started)
            pooled += _timed(Draw(before, after), i)[0].p_value <= 0.05
        table.add_row(label, wilson(frozen, n_tries), wilson(pooled, n_tries), f"{np.median(seconds):.3f}")
    return table


def pairs_table(tries: int) -> Table:
    """Tell a change of wording from a change of meaning, 300 messages against 300."""
    table = _table("wording and meaning", "traffic", "compare", "called style", "mix of meanings")
    rows = np.zeros((tries, 5, 3))
    for i in range(tries):
        rng = np.random.default_rng([5, i])
        (before, of_before), (again, of_again) = (wording(rng, 300, 0.5) for _ in range(2))
        (casual, of_casual), (formal, of_formal), (plain, of_plain) = (wording(rng, 300, s) for s in (0.9, 0.0, 1.0))
        pairs = (
            (before, of_before, again, of_again),
            (before, of_before, polite(again), of_again),
            (before, of_before, casual, of_casual),
            (formal, of_formal, plain, of_plain),
            (twins(rng, 300, 0.0), None, twins(rng, 300, 0.5), None),
        )
        for k, (first, of_first, second, of_second) in enumerate(pairs):
            result = compare(_embedded_once(first), _embedded_once(second), rng=i)
            known = of_first is not None and of_second is not None
            mix = compare_shares(of_first, of_second, rng=i).verdict == "drifted" if known else np.nan
            rows[i, k] = result.verdict == "drifted", result.style, mix
    labels = (
        "the same wording again",
        "every question wrapped in courtesy",
        "casual wording 50 to 90 %",
        "policy asked for, then the wish itself",
        "bank 100 to 50 %, else river bank",
    )
    for label, rate in zip(labels, rows.mean(axis=0), strict=True):
        table.add_row(label, *("not labelled" if np.isnan(value) else f"{value:.2f}" for value in rate))
    return table


def _embedded_once(texts: list[str]) -> np.ndarray:
    """Return the vectors of texts that repeat."""
    distinct, which = np.unique(texts, return_inverse=True)
    return embedded([str(text) for text in distinct])[which]


def cost_table(corpus: Corpus, large: bool, peers: Path | None, name: str) -> Table:
    table = _table(f"{name}: cost", "method", "rows", "CPU s")
    rng = np.random.default_rng(6)
    for n in (1_000, *((100_000,) if large else ())):
        rows = corpus.vectors[rng.choice(len(corpus.vectors), 2 * n)]
        rows = rows + 0.02 * rng.standard_normal(rows.shape).astype(np.float32)
        spent = [_timed(Draw(rows[:n], rows[n:]), i)[1] for i in range(5 if n <= 1_000 else 1)]
        table.add_row("compare", f"{n:,}", f"{min(spent):.3f}")
        book = Codebook.fit(rows[:n])
        codes = book.encode(rows[:n]), book.encode(rows[n:])
        before = time.process_time()
        compare_codes(*codes)
        table.add_row("compare_codes, from stored cells", f"{n:,}", f"{time.process_time() - before:.3f}")
    rows = corpus.vectors[corpus.pick(rng, 2_000)]
    before = time.process_time()
    row_wise_energy(rows[:1_000], rows[1_000:], rng)
    table.add_row("a row-wise energy test, 499 permutations", "1,000", f"{time.process_time() - before:.3f}")
    for label, told in peer_rows(corpus, peers):
        table.add_row(label, "1,000", told)
    return table


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


def peer_rows(corpus: Corpus, peers: Path | None) -> Iterator[tuple[str, str]]:
    """Yield cost and alarms of each peer, run in an environment of its own."""
    if peers is None:
        yield "peers: skipped, no --peers-dir", ""
        return
    with tempfile.TemporaryDirectory() as folder:
        windows = Path(folder) / "windows.npz"
        drawn = [same(corpus, np.random.default_rng([7, i]), 1_000) for i in range(PEER_TRIES)]
        drawn += [new_intents(0.05, 1)(corpus, np.random.default_rng([8, i]), 1_000) for i in range(PEER_TRIES)]
        np.savez(windows, reference=[d.reference for d in drawn], current=[d.current for d in drawn])
        started = time.process_time()
        alarms = [compare(d.reference, d.current, rng=i).verdict == "drifted" for i, d in enumerate(drawn)]
        seconds = (time.process_time() - started) / len(drawn)
        yield _told("compare, the same windows", alarms[:PEER_TRIES], alarms[PEER_TRIES:]), f"{seconds:.3f}"
        for peer, packages in PEERS.items():
            yield from _peer(peer, packages, peers / peer, windows)


def _peer(peer: str, packages: tuple[str, ...], home: Path, windows: Path) -> Iterator[tuple[str, str]]:
    python = home / "bin" / "python"
    try:
        if not python.exists():
            venv.create(home, with_pip=True)
            install = [python, "-m", "pip", "install", "--quiet", *packages]
            subprocess.run(install, check=True, capture_output=True, text=True, timeout=1_800)
        script = Path(__file__).with_name("drift_peers.py")
        told = subprocess.run(
            [python, script, peer, windows], check=True, capture_output=True, text=True, timeout=1_800
        )
    except (subprocess.SubprocessError, OSError) as error:
        reason = str(getattr(error, "stderr", None) or error).strip().splitlines()[-1]
        yield f"{peer}: skipped on Python {sys.version_info.major}.{sys.version_info.minor}: {reason}", ""
        return
    for line in told.stdout.splitlines():
        label, seconds, nulls, found = line.split("\t")
        yield _told(label, [True] * int(nulls), [True] * int(found)), seconds


def _told(label: str, nulls: list[bool], found: list[bool]) -> str:
    of = f"of {PEER_TRIES}"
    return f"{label}: alarms on {sum(nulls)} {of} nulls, finds {sum(found)} {of} new intents of 5 %"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for column in columns:
        table.add_column(column)
    return table


def _tables(corpus: Corpus, name: str, options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Table]]]:
    german = None if options.german is None else read(options.german, 3_000, options.cache).vectors
    tries, nulls = options.tries, options.nulls
    yield "compare", lambda: compare_table(corpus, german, tries, nulls, name)
    yield "past", lambda: past_table(corpus, tries, nulls, name)
    yield "behaviour", lambda: behaviour_table(answered(corpus, QUESTIONS, options.cache), tries, nulls, name)
    yield "codebook", lambda: codebook_table(corpus, german, tries, nulls, name)
    yield "cost", lambda: cost_table(corpus, options.large, options.peers_dir, name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--german", type=Path)
    parser.add_argument("--tries", type=int, default=60)
    parser.add_argument("--nulls", type=int, default=200)
    parser.add_argument("--rows", type=int, default=11_000)
    parser.add_argument("--only", default="compare,past,behaviour,codebook,cost,pairs")
    parser.add_argument("--large", action="store_true", help="also 100,000 against 100,000 rows")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--peers-dir", type=Path)
    options = parser.parse_args()
    wanted = options.only.split(",")
    console = Console(width=150)
    for path in options.paths:
        if not path.exists():
            console.print(f"{path}: skipped, no such file")
            continue
        corpus = read(path, options.rows, options.cache)
        for label, build in _tables(corpus, path.name, options):
            if label in wanted:
                console.print(build())
    if "pairs" in wanted:
        console.print(pairs_table(max(5, options.tries // 6)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
