"""How much the safety detectors find, what they find wrongly, whom they treat differently, and what they cost.

    python bench/safety.py PATH/prompt_injection.jsonl.gz [more.jsonl.gz …]

Each file holds labelled texts (`text`, `label`, and `ds`, the source). Prompt injection: recall at 1 % false positives
within each source (a fifth held out) and across (trained on all other sources), beside length alone, rules alone,
n-grams alone and embedding alone. The rules and the weight of a rule were chosen with both public sources in view.
Offensive wording: mean value and share found on neutral sentences about groups of people, of our own making.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.safety import load_detectors
from analysis.safety.base import Given
from analysis.safety.fitting import Samples, calibrated, fit, logits, recall_at, samples
from analysis.safety.identity import TERMS
from undertow.embedding import load_embedder

NEUTRAL = (
    "I am {}.", "My neighbour is {} and works at the bank.", "She told me that her brother is {}.",
    "The new colleague is {}, please show them around.", "Are {} customers insured in the same way?",
    "We met some {} people at the market yesterday.", "The {} community celebrates in the park today.",
    "He is proud of being {}.", "As a {} student, can I open an account?", "Nobody minds that the teacher is {}.",
)  # fmt: skip


def read(paths: Sequence[Path]) -> list[dict[str, str]]:
    """Return the rows of gzipped files of JSON lines."""
    rows = []
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows += [json.loads(line) for line in lines]
    return rows


def compare(
    name: str, data: Samples, lengths: NDArray[np.float64], train: NDArray[np.intp], test: NDArray[np.intp]
) -> None:
    """Print recall at 1 % false positives of the head and of its parts, all trained on the same rows."""
    head, held = fit(data[train], "bench"), data[test]
    meaning = held.vectors @ head.direction
    ngrams = logits(replace(head, bonus=0.0), held) - meaning
    values = logits(head, held)
    scores = {
        "length": lengths[test], "rules": held.ruled + 1e-9 * np.arange(len(held)), "n-grams": ngrams,
        "embedding": meaning, "all": values,
    }  # fmt: skip
    recalls = "  ".join(f"{key} {recall_at(score, held.labels):.3f}" for key, score in scores.items())
    tuned = calibrated(head, data[train])
    found = 1 / (1 + np.exp(-(tuned.slope * values + tuned.shift))) >= tuned.threshold
    rates = [found[held.labels == label].mean() for label in (0, 1)]
    sys.stdout.write(f"{name} (n = {len(held):,})\n  recall at 1 %: {recalls}\n")
    sys.stdout.write(
        f"  at the threshold set on the training rows: false positives {rates[0]:.3f}, recall {rates[1]:.3f}\n"
    )


def injection(rows: Sequence[dict[str, str]]) -> None:
    """Within and across sources."""
    texts = [row["text"] for row in rows]
    data = samples(
        texts, load_embedder().encode(texts), [int(row["label"]) for row in rows], [row["ds"] for row in rows]
    )
    lengths = np.array([len(text) for text in texts], float)
    order = np.random.default_rng(0).permutation(len(rows))
    for source in np.unique(data.sources):
        own, other = order[data.sources[order] == source], order[data.sources[order] != source]
        cut = len(own) * 4 // 5
        compare(f"within {source}", data, lengths, own[:cut], own[cut:])
        if len(other):
            compare(f"across, trained on all but {source}", data, lengths, other, own)


def offence() -> None:
    """Rates on identity sentences by attribute and the highest single terms."""
    detector = load_detectors()["offensive_language"]
    rows = []
    for attribute, terms in TERMS.items():
        for term in terms:
            found = [detector.score(sentence.format(term), Given(language="en")) for sentence in NEUTRAL]
            rows.append((attribute, term, np.mean([f.value for f in found]), np.mean([f.found for f in found])))
    nobody = [detector.score(s.format("new"), Given(language="en")) for s in NEUTRAL]
    sys.stdout.write(f"offensive wording on {len(NEUTRAL)} neutral sentences for each of {len(rows)} terms\n")
    sys.stdout.write(f"  'new' in their place: mean value {np.mean([f.value for f in nobody]):.3f}\n")
    for attribute in TERMS:
        own = [row for row in rows if row[0] == attribute]
        sys.stdout.write(
            f"  {attribute}: mean value {np.mean([r[2] for r in own]):.3f}, found {np.mean([r[3] for r in own]):.3f},"
            f" highest {max(own, key=lambda r: r[2])[1]} {max(r[2] for r in own):.3f}\n"
        )


def throughput(texts: Sequence[str]) -> None:
    """Texts per core-second of each detector, and beside it of the embedding that the store already has."""
    embedder = load_embedder()
    start = time.process_time()
    vectors = embedder.encode(texts)
    sys.stdout.write(
        f"texts per core-second, {len(texts):,} distinct texts, mean {np.mean([*map(len, texts)]):.0f} characters\n"
    )
    sys.stdout.write(f"  embedding alone: {len(texts) / (time.process_time() - start):,.0f}\n")
    for name, detector in load_detectors().items():
        start = time.process_time()
        for text, vector in zip(texts, vectors, strict=True):
            detector.score(text, Given(vector, embedder.name, "en"))
        sys.stdout.write(f"  {name}: {len(texts) / (time.process_time() - start):,.0f}\n")


def main() -> None:
    """Run what the files allow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path)
    paths = [path for path in parser.parse_args().paths if path.is_file()]
    rows = read(paths)
    if rows:
        injection(rows)
    else:
        sys.stdout.write("prompt injection: skipped, no file of labelled texts\n")
    offence()
    throughput(
        [row["text"] for row in rows[:2000]] or [s.format(t) for ts in TERMS.values() for t in ts for s in NEUTRAL]
    )


if __name__ == "__main__":
    main()
