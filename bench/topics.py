"""Quality and cost of both density engines, granularity, stability of refits, and emergence, on labelled texts.

Two made-up sets are always measured besides. Usage: ``python bench/topics.py PATH…``. A path is a CSV (optionally .gz)
with the columns ``text`` and ``label``, or an npz with ``X`` (n, d), ``t`` and ``y`` where the embeddings exist.
"""

from __future__ import annotations

import csv
import gzip
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from topic_grammar import SETS

from analysis.topics import TopicModel, find_emerging
from analysis.topics.clusterers import load_clusterer
from analysis.topics.dedup import distinct
from analysis.topics.geometry import fill_noise, nearest, unit_rows
from analysis.topics.granularity import choose_labels
from analysis.topics.warm import exercise

ENGINES = ("evoc", "umap-hdbscan")
RESAMPLES = 3
NEW_INTENTS, FIRST_DAY, DAYS, SHARE = 5, 4, 14, 0.01
MESSAGES_A_DAY = 1500
EMERGENCE_RUNS = 3
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


def granularity(name: str, X: np.ndarray, texts: list[str], y: np.ndarray) -> None:
    """How far the layer chosen without labels is from the best one, both with noise filled."""
    first = distinct(texts)[0]
    rows, truth = unit_rows(X)[first], y[first]
    engine = load_clusterer("evoc", max(5, len(rows) // 400), 0)
    engine.fit_predict(rows)
    best = max(adjusted_rand_score(truth, fill_noise(rows, layer)) for layer in engine.layers_ if layer.max() > 0)
    chosen = choose_labels(rows, engine.layers_, 0)[0]
    reached = adjusted_rand_score(truth, fill_noise(rows, chosen))
    print(f"{name:<20}granularity: ARI {reached:.3f} of {best:.3f} in the best layer (bound: .05 less)")


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


def emergence(name: str, X: np.ndarray, y: np.ndarray, *, repeats: int) -> None:
    """Five intents at 1 % each from day 4 of 14, each message said ``repeats`` times in its session."""
    found, delays, false = 0, [], 0
    for seed in range(EMERGENCE_RUNS):
        rng = np.random.default_rng(seed)
        new = rng.choice(np.unique(y), NEW_INTENTS, replace=False)
        usual, rows, days, sessions = np.flatnonzero(~np.isin(y, new)), [], [], 0
        groups = []
        for day in range(DAYS):
            count = MESSAGES_A_DAY // repeats
            fresh = (rng.random(count) < NEW_INTENTS * SHARE) & (day >= FIRST_DAY)
            picked = [rng.choice(np.flatnonzero(y == rng.choice(new))) if f else rng.choice(usual) for f in fresh]
            rows.append(np.repeat(picked, repeats))
            groups.append(np.repeat(np.arange(sessions, sessions + count), repeats))
            days.append(np.full(count * repeats, day))
            sessions += count
        row, group, when = np.concatenate(rows), np.concatenate(groups), np.concatenate(days)
        vectors = unit_rows(X[row] + 0.01 * rng.normal(size=(len(row), X.shape[1])))
        seen: dict[str, int] = {}
        for day in range(FIRST_DAY, DAYS):
            # The reference ends before the new intents; the current window is everything since.
            past, now = when < FIRST_DAY, (when >= FIRST_DAY) & (when <= day)
            for subject in find_emerging(
                vectors[past], vectors[now], reference_groups=group[past], current_groups=group[now]
            ):
                names, counts = np.unique(y[row[now][list(subject.members)]], return_counts=True)
                top = names[counts.argmax()]
                false += int(top not in new)
                seen.setdefault(top, day - FIRST_DAY + 1)
        delays += [seen[i] for i in new if i in seen]
        found += sum(i in seen for i in new)
    print(
        f"{name:<20}emergence, {repeats} a session: recall {found / NEW_INTENTS / EMERGENCE_RUNS:.2f}, median delay "
        f"{np.median(delays) if delays else np.nan:.0f} days, false subjects {false / EMERGENCE_RUNS:.2f} a run"
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
        report(path.name.split(".")[0], *load(path))
    from analysis.embed import load_embedder

    for name, make in SETS.items():
        texts, y = make()
        report(name, load_embedder().encode(texts), texts, y)
    return 0


def report(name: str, X: np.ndarray, texts: list[str], y: np.ndarray) -> None:
    """Print every measurement of one set."""
    models = [measure(name, engine, X, texts, y) for engine in ENGINES]
    granularity(name, X, texts, y)
    stability(name, models[0], X, texts)
    week_later(name, X, texts)
    for repeats in (1, 5):
        emergence(name, X, y, repeats=repeats)
    assignment(name, models[0], X)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
