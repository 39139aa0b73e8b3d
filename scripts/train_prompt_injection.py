"""Train the head of prompt injection and write `analysis/safety/weights/prompt_injection.npz`.

    python scripts/train_prompt_injection.py PATH/safety/prompt_injection.jsonl.gz PATH/topics/banking77.csv.gz …

The first file holds labelled texts (`text`, `label`, and `ds`, the source); every further one benign questions in a
column `text`, of which one in six is used. The examples of `analysis/safety/injection_examples.py` are a source of
their own. Deterministic; two minutes on one core.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from pathlib import Path

import numpy as np

from analysis.safety.fitting import calibrated, fit, logits, samples
from analysis.safety.injection_examples import examples
from undertow.embedding import load_embedder

TARGET = Path(__file__).parents[1] / "analysis" / "safety" / "weights" / "prompt_injection.npz"
EVERY = 6


def read_labelled(path: Path) -> list[tuple[str, int, str]]:
    """Return (text, label, source) of a gzipped file of JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [(row["text"], int(row["label"]), row["ds"]) for row in rows]


def read_benign(path: Path) -> list[tuple[str, int, str]]:
    """Return every sixth text of a gzipped CSV as benign."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        texts = [row["text"] for row in csv.DictReader(lines)]
    return [(text, 0, path.name) for text in texts[::EVERY]]


def main(labelled: Path, benign: list[Path]) -> None:
    """Train on everything, write the head, print its operating point."""
    rows = read_labelled(labelled) + [row for path in benign for row in read_benign(path)]
    rows += [(text, label, "own") for text, label in examples()]
    texts, labels, sources = (list(column) for column in zip(*rows, strict=True))
    embedder = load_embedder()
    data = samples(texts, embedder.encode(texts), labels, sources)
    head = calibrated(fit(data, embedder.name), data)
    head.save(TARGET)
    values = 1 / (1 + np.exp(-(head.slope * logits(head, data) + head.shift)))
    sys.stdout.write(f"{len(data):,} texts, threshold {head.threshold:.3f}, digest {head.digest}\n")
    for source in np.unique(data.sources):
        for label in (0, 1):
            rows_of = (data.sources == source) & (data.labels == label)
            if rows_of.any():
                share = (values[rows_of] >= head.threshold).mean()
                sys.stdout.write(f"  seen in training: {source}, label {label}: {share:.3f} of {rows_of.sum():,}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
