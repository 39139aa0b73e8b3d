"""How good the groundedness scorers are, beside what is far simpler, in one run.

    python bench/groundedness.py PATH… [--scorer lexical]

PATH is a JSON-lines file (gzip or not) or a folder of them; a row has `context` (list), `response`, `query`,
`label` (1 = not grounded), `source_id` and, where annotated, `spans`. The prior given to the scorer is the share of
ungrounded rows of the file, as a user with human verdicts would give it. Rows that the scorer does not evaluate
count as grounded in the ranking, and their number is printed.

`ragtruth_qa_train` is what the bundled weights were trained on: its figures here are in-sample. The held-out ones
are printed by `scripts/train_groundedness_lexical.py` and stand in `weights/lexical.json`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.metrics import f1_score, roc_auc_score

from analysis.groundedness import SCORERS, Scorer, load_scorer
from analysis.groundedness.tokens import tokenize

BAR_RATE = 300.0
RESAMPLES = 500


def read(path: Path) -> list[dict[str, Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def files_of(paths: list[Path]) -> list[Path]:
    found = []
    for path in paths:
        found += sorted(path.glob("*.jsonl*")) if path.is_dir() else [path]
    return found


def calibration_error(probability: np.ndarray, labels: np.ndarray, bins: int = 10) -> float:
    at = np.minimum((probability * bins).astype(int), bins - 1)
    return float(sum(abs(probability[at == b].sum() - labels[at == b].sum()) for b in range(bins)) / len(labels))


def auroc_interval(labels: np.ndarray, values: np.ndarray, groups: np.ndarray) -> tuple[float, float, float]:
    """Return AUROC with a 95 % bootstrap interval over sources, not rows."""
    rng = np.random.default_rng(0)
    _, index = np.unique(groups, return_inverse=True)
    order = np.argsort(index, kind="stable")
    members = np.split(order, np.searchsorted(index[order], np.arange(1, index.max() + 1)))
    drawn = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        if 0 < labels[rows].sum() < len(rows):
            drawn.append(roc_auc_score(labels[rows], values[rows]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(roc_auc_score(labels, values)), float(low), float(high)


def unsupported_word_rate(row: dict[str, Any]) -> float:
    known = {form for text in (*row["context"], row["query"]) for form in tokenize(text).form}
    tokens = tokenize(row["response"])
    content = [form for form, counts in zip(tokens.form, tokens.content, strict=True) if counts]
    return sum(form not in known for form in content) / max(len(content), 1)


def sentence_scores(row: dict[str, Any], claims: tuple[Any, ...]) -> list[tuple[bool, float]]:
    judged = [claim for claim in claims if claim.support is not None]
    return [(any(min(b, c.end) > max(a, c.start) for a, b in row["spans"]), 1 - c.support) for c in judged]


def measure(name: str, rows: list[dict[str, Any]], scorer: Scorer) -> list[tuple[str, ...]]:
    labels = np.array([row["label"] for row in rows])
    groups = np.array([str(row["source_id"]) for row in rows])
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
    rivals = {
        scorer.name: risk,
        "response length alone": np.array([len(row["response"]) for row in rows], dtype=float),
        "unsupported-word rate": np.array([unsupported_word_rate(row) for row in rows]),
    }
    table = []
    for rival, values in rivals.items():
        value, low, high = auroc_interval(labels, values, groups)
        own = rival == scorer.name
        extra = (
            (f"{f1_score(labels, flagged):.3f}", f"{calibration_error(risk, labels):.3f}", by_sentence,
             f"{per_second:.0f} ({per_second / BAR_RATE:.1f}x)", str(skipped))
            if own else ("-",) * 5
        )  # fmt: skip
        table.append((name, f"{len(rows)}, {labels.mean():.0%}", rival, f"{value:.3f} [{low:.3f}, {high:.3f}]", *extra))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--scorer", default=SCORERS[0][0], choices=[name for name, _ in SCORERS])
    args = parser.parse_args()
    files = [path for path in files_of(args.paths) if path.exists()]
    if not files:
        print(f"skipped: no data at {', '.join(map(str, args.paths))}")
        return 0
    table = Table(title=f"groundedness, scorer {args.scorer} {load_scorer(args.scorer).version}")
    for heading in ("data", "n, ungrounded", "by", "AUROC [95 %]", "F1", "ECE", "sentence AUROC",
                    f"per core-second (of {BAR_RATE:.0f})", "not evaluated"):  # fmt: skip
        table.add_column(heading)
    for path in files:
        rows = read(path)
        prior = sum(row["label"] for row in rows) / len(rows)
        for line in measure(path.name.split(".")[0], rows, load_scorer(args.scorer, prior=prior)):
            table.add_row(*line)
        table.add_section()
    Console(width=150).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
