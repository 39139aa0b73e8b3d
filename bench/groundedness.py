"""How good the groundedness scorers are, beside what is far simpler, in one run.

    python bench/groundedness.py PATH… [--scorer lexical --scorer encoder]

PATH is a JSON-lines file (gzip or not) or a folder of them; a row has `context` (list), `response`, `query`,
`label` (1 = not grounded), `source_id` and, where annotated, `spans`. The prior given to the scorer is the share of
ungrounded rows of the file, as a user with human verdicts would give it. Rows that the scorer does not evaluate
count as grounded in the ranking, and their number is printed.

Where summaries or single claims are given (files whose names begin with `qags` or `wice`), a further set is made of
them: every supported one beside itself with one fact exchanged (a number, name, date, unit, comparative, or two that
change places, for one of the same document where it can be). How many words are known says next to nothing there.

The last column is the gain in AUROC over the first scorer, with a paired 95 % interval over sources.

`ragtruth_qa_train` is what the bundled weights were trained on: its figures here are in-sample. The held-out ones
are printed by `scripts/train_groundedness_lexical.py` and `bench/groundedness_stack.py` and stand in `weights/`. Of
`wice` the encoder was trained on one half of the sources; that half is left out here. Embedding similarity is the
cosine of response and documents, turned round.

Consistency is printed where the same question was answered several times from the same documents: how far an answer
disagrees with the others, by numbers and by meaning, as the analyzer `consistency` judges it. Its line looks only at
rows with two others or more, and so does the figure of the first scorer that it is held against.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from groundedness_data import WICE_HELD_OUT, held_sources
from groundedness_edits import Nearby, exchange_one, names_of, numbers_of, plain_words_of
from rich.console import Console
from rich.table import Table
from sklearn.metrics import f1_score, roc_auc_score

from analysis.embed import load_embedder
from analysis.groundedness import SCORERS, Scorer, load_scorer
from analysis.groundedness.fitting import expected_calibration_error
from analysis.groundedness.tokens import tokenize
from analysis.metrics.consistency import agreements, read_figures

BARS = {"lexical": 300.0, "encoder": 20.0}
RESAMPLES = 500
SEED = 7
FEWEST = 30
SUMMARIES = ("qags", "wice")


def read(path: Path) -> list[dict[str, Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def files_of(paths: list[Path]) -> list[Path]:
    found = []
    for path in paths:
        found += sorted(path.glob("*.jsonl*")) if path.is_dir() else [path]
    return found


def resamples(labels: np.ndarray, groups: np.ndarray) -> Iterator[np.ndarray]:
    """Yield rows drawn by source, the same ones for every scorer."""
    rng = np.random.default_rng(0)
    _, index = np.unique(groups, return_inverse=True)
    order = np.argsort(index, kind="stable")
    members = np.split(order, np.searchsorted(index[order], np.arange(1, index.max() + 1)))
    for _ in range(RESAMPLES):
        rows = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        if 0 < labels[rows].sum() < len(rows):
            yield rows


def auroc_interval(labels: np.ndarray, values: np.ndarray, groups: np.ndarray) -> str:
    """Return AUROC with a 95 % bootstrap interval over sources, not rows."""
    drawn = [roc_auc_score(labels[rows], values[rows]) for rows in resamples(labels, groups)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{roc_auc_score(labels, values):.3f} [{low:.3f}, {high:.3f}]"


def gain(labels: np.ndarray, values: np.ndarray, first: np.ndarray, groups: np.ndarray) -> str:
    """Return how much AUROC is above that of the first scorer, with a paired 95 % interval."""
    drawn = [
        roc_auc_score(labels[rows], values[rows]) - roc_auc_score(labels[rows], first[rows])
        for rows in resamples(labels, groups)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{roc_auc_score(labels, values) - roc_auc_score(labels, first):+.3f} [{low:+.3f}, {high:+.3f}]"


def swapped_facts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return supported answers, each beside itself with one fact exchanged."""
    rng = random.Random(SEED)
    found = []
    for row in rows:
        whole = " ".join(row["context"])
        around = Nearby([name for name, _ in names_of(whole)], numbers_of(whole), plain_words_of(whole), ())
        edit = None if row["label"] else exchange_one(row["response"], around, rng)
        if edit is not None:
            edited, span = edit.apply(row["response"])
            found += [row, {**row, "response": edited, "label": 1, "spans": [span]}]
    return found


def never_trained_on(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    held = held_sources({str(row["source_id"]) for row in rows}, WICE_HELD_OUT)
    return [row for row in rows if str(row["source_id"]) in held]


def unsupported_word_rate(row: dict[str, Any]) -> float:
    known = {form for text in (*row["context"], row["query"]) for form in tokenize(text).form}
    tokens = tokenize(row["response"])
    content = [form for form, counts in zip(tokens.form, tokens.content, strict=True) if counts]
    return sum(form not in known for form in content) / max(len(content), 1)


def sentence_scores(row: dict[str, Any], claims: tuple[Any, ...]) -> list[tuple[bool, float]]:
    judged = [claim for claim in claims if claim.support is not None]
    return [(any(min(b, c.end) > max(a, c.start) for a, b in row["spans"]), 1 - c.support) for c in judged]


def embedding_distance(rows: list[dict[str, Any]], said: np.ndarray) -> np.ndarray:
    read_ = load_embedder().encode(["\n".join(row["context"]) for row in rows])
    return 1 - np.einsum("ij,ij->i", said, read_).astype(float)


def disagreement(rows: list[dict[str, Any]], said: np.ndarray) -> np.ndarray:
    """Return how far each answer disagrees with the others to its question; NaN where there are not two others.

    Of two answers neither is the odd one out.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault((row["query"], *row["context"]), []).append(i)
    found = np.full(len(rows), np.nan)
    for group in groups.values():
        if len(group) > 2:
            figures = [read_figures(rows[i]["response"]) for i in group]
            found[group] = [1 - a.value for a in agreements(said[group], figures, [1] * len(group))]
    return found


def measure(rows: list[dict[str, Any]], scorer: Scorer) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the risks and what is printed beside their AUROC."""
    labels = np.array([row["label"] for row in rows])
    scorer.score(rows[0]["response"], rows[0]["context"], rows[0]["query"])
    started = time.process_time()
    results = [scorer.score(row["response"], row["context"], row["query"]) for row in rows]
    per_second = len(rows) / (time.process_time() - started)
    risk = np.array([result.risk or 0.0 for result in results])
    flagged = np.array([result.ungrounded for result in results])
    skipped = sum(result.status == "not_evaluated" for result in results)
    sentences = [
        pair for row, result in zip(rows, results, strict=True) for pair in sentence_scores(row, result.claims)
    ]
    by_sentence = "-"
    if any(label for label, _ in sentences):
        by_sentence = f"{roc_auc_score([label for label, _ in sentences], [value for _, value in sentences]):.3f}"
    bar = f" (of {BARS[scorer.name]:.0f})" if scorer.name in BARS else ""
    return risk, (
        f"{f1_score(labels, flagged):.3f}",
        f"{expected_calibration_error(risk, labels):.3f}",
        by_sentence,
        f"{per_second:.0f}{bar}",
        str(skipped),
    )


def compare(name: str, rows: list[dict[str, Any]], scorers: list[str]) -> list[tuple[str, ...]]:
    """Return a line for every scorer and for what is simpler than all of them."""
    labels = np.array([row["label"] for row in rows])
    groups = np.array([str(row["source_id"]) for row in rows])
    lines = []
    for kind in scorers:
        risk, extra = measure(rows, load_scorer(kind, prior=float(labels.mean())))
        lines.append((kind, risk, extra))
    first = lines[0][1]
    said = load_embedder().encode([row["response"] for row in rows])
    simple = {
        "response length alone": np.array([len(row["response"]) for row in rows], dtype=float),
        "unsupported-word rate": np.array([unsupported_word_rate(row) for row in rows]),
        "embedding similarity": embedding_distance(rows, said),
        "consistency": disagreement(rows, said),
    }
    lines += [(rival, values, ("-",) * 5) for rival, values in simple.items()]
    table = []
    for rival, values, extra in lines:
        at = np.flatnonzero(~np.isnan(values))
        if len(at) < FEWEST or len(set(labels[at].tolist())) < 2:
            continue
        above = "-" if values is first else gain(labels[at], values[at], first[at], groups[at])
        size = f"{len(at)}, {labels[at].mean():.0%}"
        table.append((name, size, rival, auroc_interval(labels[at], values[at], groups[at]), *extra, above))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--scorer", action="append", help=f"one of {', '.join(name for name, _ in SCORERS)}")
    args = parser.parse_args()
    files = [path for path in files_of(args.paths) if path.exists()]
    if not files:
        print(f"skipped: no data at {', '.join(map(str, args.paths))}")
        return 0
    scorers = args.scorer or list(BARS)
    versions = ", ".join(f"{kind} {load_scorer(kind).version}" for kind in scorers)
    table = Table(title=f"groundedness: {versions}")
    for heading in ("data", "n, ungrounded", "by", "AUROC [95 %]", "F1", "ECE", "sentence AUROC",
                    "per core-second", "not evaluated", "above the first"):  # fmt: skip
        table.add_column(heading)
    for path in files:
        rows = read(path)
        if path.name.startswith("wice"):
            rows = never_trained_on(rows)
        sets = {path.name.split(".")[0]: rows}
        if path.name.startswith(SUMMARIES):
            sets[f"{path.name.split('.')[0]}, one fact exchanged"] = swapped_facts(rows)
        for name, chosen in sets.items():
            for line in compare(name, chosen, scorers):
                table.add_row(*line)
            table.add_section()
    Console(width=170).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
