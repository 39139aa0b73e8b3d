"""Topics on labelled texts: quality and cost beside BERTopic, granularity, stability, history, emergence, scale.

Usage: ``python bench/topics.py [--only PART,…] [--only-paths] [--peers-dir DIR] PATH…``. A path is a CSV (optionally
.gz) with the columns ``text`` and ``label``, or an npz with ``X`` (n, d), ``t`` and ``y`` where the embeddings exist;
three made-up sets (bench/topic_sets) are measured besides, unless ``--only-paths`` is given. Parts: quality,
granularity, stability, history, emergence, rejection, large. DIR is a virtual environment with BERTopic (``python -m
venv DIR; DIR/bin/pip install bertopic``), which gets the same embeddings; without it those rows of the table are left
out. Seconds are processor time, after everything is compiled.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import resource
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from topic_grammar import SETS, out_of_scope

from analysis.topics import TopicModel, find_emerging
from analysis.topics.clusterers import load_clusterer
from analysis.topics.dedup import distinct
from analysis.topics.geometry import fill_noise, nearest, unit_rows
from analysis.topics.granularity import choose_labels
from analysis.topics.layers import USUAL_ENGINE, Layering
from analysis.topics.warm import exercise
from undertow.embedding import Embedder

ENGINES = ("ward", "evoc", "umap-hdbscan")
PARTS = ("quality", "granularity", "stability", "history", "emergence", "rejection", "large")
RESAMPLES = 3
# Intents, rows and skew (share by rank to this power) of the subsets on which granularity is judged besides.
SUBSETS = ((3, 150, 0.0), (5, 300, 0.0), (8, 300, 1.0), (20, 500, 0.0), (15, 900, 0.0), (40, 1600, 0.5))
HELD_OUT = 1 / 3
COVERAGE = 0.87
LARGE = 100_000
NEW_INTENTS, FIRST_DAY, DAYS, SHARE = 5, 4, 14, 0.01
# In sessions of two near-duplicates an intent of 1 % then has three sessions a day.
MESSAGES_A_DAY, SESSION = 600, 2
WOBBLE = 0.3
EMERGENCE_RUNS = 20
# Thresholds were chosen on lower seeds.
FIRST_SEED = 1000
HEAD = (
    f"{'set':<20}{'engine':<14}{'n':>7}{'topics':>8}{'ARI filled':>12}{'ARI noise':>11}{'AMI':>7}{'AMI noise':>11}"
    f"{'out':>7}{'CPU s':>8}"
)


def load(path: Path) -> tuple[np.ndarray, list[str], np.ndarray]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return unit_rows(arrays["X"]), arrays["t"].tolist(), arrays["y"]
    opened = gzip.open(path, "rt") if path.suffix == ".gz" else path.open()
    with opened as file:
        rows = list(csv.DictReader(file))
    texts = [row["text"] for row in rows]
    return embedder().encode(texts), texts, np.array([row["label"] for row in rows])


def quality(name: str, X: np.ndarray, texts: list[str], y: np.ndarray, peers: Path | None) -> None:
    """One row for each engine and for each peer, which gets the same vectors."""
    spent = {}
    for engine in ENGINES:
        start = time.process_time()
        model = TopicModel(engine).fit(X, texts)
        spent[engine] = time.process_time() - start
        filled = nearest(unit_rows(X), model.centroids_)[0]
        row(name, engine, y, filled, model.labels_, spent[engine])
    if peers is None:
        return
    for peer, (labels, seconds) in measured_peers(peers, X, texts).items():
        row(name, peer, y, fill_noise(unit_rows(X), labels), labels, seconds)
        print(
            f"{name:<20}{peer} takes {seconds / spent[USUAL_ENGINE]:.1f} times as long as {USUAL_ENGINE} (goal 4)",
            flush=True,
        )


def measured_peers(environment: Path, X: np.ndarray, texts: list[str]) -> dict[str, tuple[np.ndarray, float]]:
    """Return, by peer, its labels (n,) and processor seconds; it runs in its own virtual environment."""
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(given, X=X, t=np.array(texts))
        script = Path(__file__).with_name("topics_peer.py")
        python = environment / "bin" / "python"
        done = subprocess.run([python, script, given, answer], check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{script.name} failed in {environment}:\n{done.stderr[-2000:]}")
        with np.load(answer, allow_pickle=False) as arrays:
            names = [key for key in arrays if f"{key} seconds" in arrays]
            return {key: (arrays[key], float(arrays[f"{key} seconds"])) for key in names}


def row(name: str, engine: str, y: np.ndarray, filled: np.ndarray, labels: np.ndarray, seconds: float) -> None:
    print(
        f"{name:<20}{engine:<14}{len(y):>7}{labels.max() + 1:>8}{adjusted_rand_score(y, filled):>12.3f}"
        f"{adjusted_rand_score(y, labels):>11.3f}{adjusted_mutual_info_score(y, filled):>7.3f}"
        f"{adjusted_mutual_info_score(y, labels):>11.3f}{(labels < 0).mean():>7.3f}{seconds:>8.1f}",
        flush=True,
    )


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


def granularity(name: str, X: np.ndarray, texts: list[str], y: np.ndarray) -> None:
    """How far the layer chosen without labels is from the best one, on the set and on small and skewed parts of it."""
    first = distinct(texts)[0]
    rows, truth = unit_rows(X)[first], y[first]
    reached, best, chosen = chosen_against_best(rows, truth)
    print(f"{name:<20}granularity: ARI {reached:.3f} of {best:.3f} in the best layer, {chosen} of {len(set(y))} topics")
    for kinds, n, skew in SUBSETS:
        found = []
        for seed in range(RESAMPLES):
            some = subset(truth, kinds, n, skew, FIRST_SEED + seed)
            found.append(chosen_against_best(rows[some], truth[some]))
        reached, best, chosen = np.mean(found, axis=0)
        print(
            f"{name:<20}  {kinds:>3} intents, {n:>5} texts, skew {skew:.1f}: ARI {reached:.3f} of {best:.3f}, "
            f"{chosen:.1f} topics",
            flush=True,
        )


def chosen_against_best(X: np.ndarray, y: np.ndarray) -> tuple[float, float, int]:
    engine = Layering(USUAL_ENGINE, None, 0)
    reduced = engine.prepared(X)
    layers = engine(reduced)
    chosen = choose_labels(reduced, layers, engine)[0]
    quality = [adjusted_rand_score(y, fill_noise(X, layer)) for layer in layers if layer.max() > 0]
    return adjusted_rand_score(y, fill_noise(X, chosen)), max(quality), int(chosen.max()) + 1


def subset(y: np.ndarray, kinds: int, n: int, skew: float, seed: int) -> np.ndarray:
    """About ``n`` rows of ``kinds`` intents, with shares that fall by rank to the power of ``skew``."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(np.unique(y), min(kinds, len(np.unique(y))), replace=False)
    shares = 1.0 / np.arange(1, len(chosen) + 1) ** skew
    rows = []
    for intent, share in zip(chosen, shares / shares.sum(), strict=True):
        mine = np.flatnonzero(y == intent)
        rows.append(rng.choice(mine, min(len(mine), max(1, round(share * n))), replace=False))
    return rng.permutation(np.concatenate(rows))


def week_later(name: str, X: np.ndarray, texts: list[str]) -> None:
    """Fit on three quarters, refit on all: the ids and the partition that a reader sees a week later."""
    for seed in range(RESAMPLES):
        order = np.random.default_rng(seed).permutation(len(X))[: int(0.75 * len(X))]
        model = TopicModel().fit(X[order], [texts[i] for i in order])
        later = TopicModel.from_arrays(model.to_arrays()).refit(X, texts)
        before, after = model.assign(X)[0], later.assign(X)[0]
        both = (before >= 0) & (after >= 0)
        ids = {topic.topic_id for topic in model.topics_}
        kept = len(ids & {topic.topic_id for topic in later.topics_}) / max(len(ids), 1)
        print(
            f"{name:<20}refit with a third more: ARI {adjusted_rand_score(before, after):.3f}, inside topics "
            f"{adjusted_rand_score(before[both], after[both]):.3f}, ids kept {kept:.3f}, events "
            f"{[event.kind for event in later.events_]}"
        )


def stream(
    y: np.ndarray, new: np.ndarray, repeats: int, share: float, wobble: float, rng: np.random.Generator
) -> np.ndarray:
    """Rows, sessions and days (3, n) of a stream: from day 4 on each of the ``new`` labels has ``share`` of it.

    With ``wobble`` the traffic has a weekly rhythm, and on every day the share of every known label is multiplied by
    a factor whose logarithm has that standard deviation.
    """
    usual, (labels, label) = np.flatnonzero(~np.isin(y, new)), np.unique(y, return_inverse=True)
    rows, days = [], []
    for day in range(DAYS):
        rhythm = 1 + np.sin(2 * np.pi * day / 7) / 4 if wobble else 1
        weight = np.exp(wobble * rng.normal(size=len(labels)))[label[usual]]
        today = rng.choice(usual, int(rhythm * MESSAGES_A_DAY // repeats), p=weight / weight.sum())
        if day >= FIRST_DAY:
            fresh = rng.random(len(today)) < len(new) * share
            today[fresh] = [rng.choice(np.flatnonzero(y == rng.choice(new))) for _ in range(fresh.sum())]
        rows += today.tolist()
        days += [day] * len(today)
    return np.repeat(np.array([rows, np.arange(len(rows)), days]), repeats, axis=1)


def emergence(name: str, X: np.ndarray, y: np.ndarray, *, repeats: int, share: float, wobble: float = 0.0) -> None:
    """Five intents of ``share`` each from day 4 of 14, each message said ``repeats`` times in its session.

    A subject is named by the label of most of its members; it is false, once in a run, where that label is not new.
    """
    delays, false, looks = [], 0, 0
    for seed in range(EMERGENCE_RUNS):
        rng = np.random.default_rng(FIRST_SEED + seed)
        new = rng.choice(np.unique(y), NEW_INTENTS, replace=False)
        row, group, when = stream(y, new, repeats, share, wobble, rng)
        vectors = unit_rows(X[row] + 0.01 * rng.normal(size=(len(row), X.shape[1])))
        seen: dict[str, int] = {}
        for day in range(FIRST_DAY, DAYS):
            # The reference ends before the new intents; the current window is everything since.
            past, now = when < FIRST_DAY, (when >= FIRST_DAY) & (when <= day)
            found = find_emerging(vectors[past], vectors[now], reference_groups=group[past], current_groups=group[now])
            looks += bool(found)
            for subject in found:
                names, counts = np.unique(y[row[now][list(subject.members)]], return_counts=True)
                seen.setdefault(names[counts.argmax()], day - FIRST_DAY + 1)
        delays += [seen.get(label, np.inf) for label in new]
        false += len(seen.keys() - set(new))
    reached = np.isfinite(delays)
    print(
        f"{name:<20}emergence at {share:.0%}, {repeats} a session, wobble {wobble}, {EMERGENCE_RUNS} runs: "
        f"recall {reached.mean():.2f}, "
        f"median delay of those found {np.median(np.array(delays)[reached]) if reached.any() else np.nan:.0f} days, "
        f"false subjects {false / EMERGENCE_RUNS:.2f} a run, looks that found anything "
        f"{looks / EMERGENCE_RUNS / (DAYS - FIRST_DAY):.2f}",
        flush=True,
    )


def history(name: str, X: np.ndarray, texts: list[str], y: np.ndarray) -> None:
    """A week in which two intents are asked in one breath, one in which such a double intent parts, a usual one."""
    for seed in range(RESAMPLES):
        rng = np.random.default_rng(seed)
        pair = rng.choice(np.unique(y), 2, replace=False)
        halves = np.array_split(rng.permutation(len(y)), 2)
        weeks = [(X[rows], [texts[i] for i in rows]) for rows in halves]
        joined = [together(X, texts, y, rows, pair) for rows in halves]
        streams = {
            "two grow together": (weeks[0], joined[1]),
            "one parts in two": (joined[0], weeks[1]),
            "a usual week": (weeks[0], weeks[1]),
        }
        for what, (past, now) in streams.items():
            model = TopicModel().fit(*past)
            before = {topic.topic_id for topic in model.topics_}
            model.refit(*now)
            kept = len(before & {topic.topic_id for topic in model.topics_}) / max(len(before), 1)
            events = [event.kind for event in model.events_]
            print(f"{name:<20}{what} ({' + '.join(pair)}): {events}, ids kept {kept:.2f}", flush=True)


def together(
    X: np.ndarray, texts: list[str], y: np.ndarray, rows: np.ndarray, pair: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """The rows with every text of the two intents replaced by one that asks for both."""
    others = rows[~np.isin(y[rows], pair)]
    first, second = (rows[y[rows] == intent] for intent in pair)
    most = max(len(first), len(second))
    both = [f"{texts[i]} and {texts[j]}" for i, j in zip(np.resize(first, most), np.resize(second, most), strict=True)]
    return np.vstack([X[others], embedder().encode(both)]), [*(texts[i] for i in others), *both]


def rejection(name: str, X: np.ndarray, texts: list[str], y: np.ndarray, foreign: np.ndarray | None) -> None:
    """What of intents that the fit never saw is rejected, where 87 % of rows of known intents are covered."""
    rng = np.random.default_rng(0)
    intents = np.unique(y)
    unseen = np.isin(y, rng.choice(intents, max(1, round(HELD_OUT * len(intents))), replace=False))
    known = rng.permutation(np.flatnonzero(~unseen))
    fitted, later = known[: len(known) * 2 // 3], known[len(known) * 2 // 3 :]
    model = TopicModel().fit(X[fitted], [texts[i] for i in fitted])
    outside = {"held-out intents": X[unseen]} | ({} if foreign is None else {"out of scope": foreign})
    ids, near = model.assign(X[later])
    limit = np.quantile(near, 1 - COVERAGE)
    for what, rows in outside.items():
        away, there = model.assign(rows)
        print(
            f"{name:<20}{what}: {(there < limit).mean():.3f} rejected at {COVERAGE:.0%} coverage (goal .90); as it "
            f"stands {(away < 0).mean():.3f} at {(ids >= 0).mean():.0%}",
            flush=True,
        )


def large(name: str, X: np.ndarray, texts: list[str]) -> None:
    """A full fit on 100,000 distinct texts: those of the set, each many times with a little noise and a new word."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(X), LARGE)
    vectors = unit_rows(X[rows] + 0.015 * rng.normal(size=(LARGE, X.shape[1])).astype(np.float32))
    words = [f"{texts[i]} {''.join(chr(97 + int(digit)) for digit in str(n))}" for n, i in enumerate(rows)]
    start = time.process_time()
    model = TopicModel().fit(vectors, words)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{name:<20}{LARGE:,} distinct texts: {time.process_time() - start:.1f} s (bound 60), peak of this process "
        f"{peak:.2f} GB (bound 3), {len(model.topics_)} topics",
        flush=True,
    )


def assignment(name: str, model: TopicModel, X: np.ndarray) -> None:
    rows = np.resize(X, (100_000, X.shape[1]))
    start = time.process_time()
    model.assign(rows)
    print(f"{name:<20}assign: {(time.process_time() - start) * 10:.2f} ms per 1,000 rows (bound 2)")


@cache
def embedder() -> Embedder:
    from analysis.embed import load_embedder

    return load_embedder()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--only-paths", action="store_true", help="leave out the made-up sets")
    parser.add_argument("--peers-dir", type=Path, help="a virtual environment in which BERTopic is installed")
    arguments = parser.parse_args()
    parts = arguments.only.split(",")
    if arguments.peers_dir is None and "quality" in parts:
        print("BERTopic is left out: no --peers-dir.")
    exercise()
    # UMAP searches neighbours in another way, and compiles other code, from 4,096 rows on.
    load_clusterer("umap-hdbscan", 10, 0).fit_predict(
        np.random.default_rng(0).normal(size=(4500, 32)).astype(np.float32)
    )
    print(HEAD)
    for path in arguments.paths:
        report(path.name.split(".")[0], *load(path), parts, arguments.peers_dir)
    for name, make in () if arguments.only_paths else SETS.items():
        texts, y = make()
        report(name, embedder().encode(texts), texts, y, parts, arguments.peers_dir)
    return 0


def report(name: str, X: np.ndarray, texts: list[str], y: np.ndarray, parts: list[str], peers: Path | None) -> None:
    """Print the wanted measurements of one set."""
    if "quality" in parts:
        quality(name, X, texts, y, peers)
    if "granularity" in parts:
        granularity(name, X, texts, y)
    if "stability" in parts:
        model = TopicModel().fit(X, texts)
        stability(name, model, X, texts)
        week_later(name, X, texts)
        assignment(name, model, X)
    if "history" in parts:
        history(name, X, texts, y)
    if "emergence" in parts:
        for repeats in (1, SESSION):
            for share, wobble in ((SHARE, 0.0), (0.0, 0.0), (0.0, WOBBLE)):
                emergence(name, X, y, repeats=repeats, share=share, wobble=wobble)
    if "rejection" in parts:
        rejection(name, X, texts, y, embedder().encode(out_of_scope()) if name.endswith("assistant") else None)
    if "large" in parts:
        large(name, X, texts)


if __name__ == "__main__":
    sys.exit(main())
