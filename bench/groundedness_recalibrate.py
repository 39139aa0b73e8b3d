"""What `undertow calibrate groundedness` makes of the probabilities on texts that are unlike those of the training.

    python bench/groundedness_recalibrate.py PATH/qags_cnndm.jsonl.gz [--scorer lexical --scorer encoder]

Half of the rows, drawn at random, are the verdicts that a person would have given; recalibration learns from them as
the verb does, threshold included, and is measured on the other half. Means over the draws, with the range of nine
tenths of them. Beside the calibration error stands what a faultless forecast has on so few rows: labels drawn with the
recalibrated probabilities themselves.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from groundedness import read
from rich.console import Console
from rich.table import Table
from sklearn.metrics import f1_score

from analysis.groundedness import SCORERS, load_scorer
from analysis.groundedness.fitting import expected_calibration_error
from analysis.metrics.calibration import auroc, best_threshold, missing, study

DRAWS = 20
COLUMNS = ("calibration error", "faultless", "Brier score", "AUROC", "flagged", "F1 at the threshold")


def figures(risk: np.ndarray, labels: np.ndarray, threshold: float, rng: np.random.Generator) -> list[float]:
    flagged = risk >= threshold
    return [
        expected_calibration_error(risk, labels),
        expected_calibration_error(risk, rng.random(len(risk)) < risk),
        float(np.mean((risk - labels) ** 2)),
        auroc(risk, labels),
        float(flagged.mean()),
        float(f1_score(labels, flagged, zero_division=0)),
    ]


def draw(
    risk: np.ndarray, labels: np.ndarray, groups: np.ndarray, threshold: float, seed: int
) -> tuple[list[float], list[float]] | None:
    """Return the figures on one half before and after learning from the other; None where that holds too few."""
    rng = np.random.default_rng(seed)
    first = np.isin(groups, rng.permutation(np.unique(groups))[: len(np.unique(groups)) // 2 + 1])
    if any(missing(labels[first]).values()):
        return None
    mapped = study(risk[first], labels[first], groups[first]).mapped
    new = best_threshold(mapped(risk))
    return figures(risk[~first], labels[~first], threshold, rng), figures(
        mapped(risk[~first]), labels[~first], new, rng
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--scorer", action="append", help=f"one of {', '.join(name for name, _ in SCORERS)}")
    args = parser.parse_args()
    if not args.path.exists():
        print(f"skipped: no data at {args.path}")
        return 0
    rows = read(args.path)
    labels = np.array([bool(row["label"]) for row in rows])
    groups = np.array([str(row["source_id"]) for row in rows])
    table = Table(*("by", "", *COLUMNS), title=f"{len(rows)} rows, {labels.mean():.0%} ungrounded, {DRAWS} halves")
    for kind in args.scorer or ("lexical", "encoder"):
        scorer = load_scorer(kind)
        results = [scorer.score(row["response"], row["context"], row["query"]) for row in rows]
        risk = np.array([result.risk or 0.0 for result in results])
        drawn = [draw(risk, labels, groups, results[0].threshold, seed) for seed in range(DRAWS)]
        known = np.array([pair for pair in drawn if pair is not None])
        if not len(known):
            print("skipped: half of the rows are fewer than the verb asks for")
            return 0
        for side, name in enumerate(("as scored", "recalibrated")):
            low, high = np.quantile(known[:, side], [0.05, 0.95], axis=0)
            cells = zip(known[:, side].mean(0), low, high, strict=True)
            table.add_row(scorer.name, name, *(f"{m:.2f} [{a:.2f}, {b:.2f}]" for m, a, b in cells))
    Console(width=150).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
