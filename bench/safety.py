"""How much the safety detectors find, what they find wrongly, whom they treat differently, and what they cost.

    python bench/safety.py PATH/prompt_injection.jsonl.gz [more.jsonl.gz …] [--documents PATH/passages.jsonl.gz …]

Each file holds labelled texts (`text`, `label`, and `ds`, the source). Prompt injection: recall at 1 % false positives
within each source (a fifth held out) and across (trained on all other sources), always with our own examples, beside
length alone, rules alone, n-grams alone and embedding alone. The rules and the weight of a rule were chosen with both
public sources in view. Documents: how many passages (`context`, a text or a list) are found as they are, and with an
attack of the first files hidden in their middle.
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
from analysis.safety.injection_examples import examples
from undertow.embedding import load_embedder

NEUTRAL = (
    "I am {}.", "My neighbour is {} and works at the bank.", "She told me that her brother is {}.",
    "The new colleague is {}, please show them around.", "Are {} customers insured in the same way?",
    "We met some {} people at the market yesterday.", "The {} community celebrates in the park today.",
    "He is proud of being {}.", "As a {} student, can I open an account?", "Nobody minds that the teacher is {}.",
)  # fmt: skip


OWN = "own examples"


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
    rows = [*rows, *({"text": text, "label": str(label), "ds": OWN} for text, label in examples())]
    texts = [row["text"] for row in rows]
    data = samples(
        texts, load_embedder().encode(texts), [int(row["label"]) for row in rows], [row["ds"] for row in rows]
    )
    lengths = np.array([len(text) for text in texts], float)
    order = np.random.default_rng(0).permutation(len(rows))
    ours = order[data.sources[order] == OWN]
    for source in np.unique(data.sources[data.sources != OWN]):
        own, other = order[data.sources[order] == source], order[data.sources[order] != source]
        cut = len(own) * 4 // 5
        compare(f"within {source}", data, lengths, np.concatenate([own[:cut], ours]), own[cut:])
        compare(f"across, trained on all but {source}", data, lengths, other, own)


def documents(paths: Sequence[Path], attacks: Sequence[str]) -> None:
    """Share of passages found as they are, and with an attack in their middle."""
    detector = load_detectors()["document_injection"]
    passages = sorted({text for row in read(paths) for text in _texts(row["context"])})
    found = [detector.score(text).found for text in passages]
    sys.stdout.write(f"orders to the model in documents: {np.mean(found):.4f} of {len(passages):,} passages found\n")
    rng = np.random.default_rng(0)
    if attacks and passages:
        drawn = [(str(rng.choice(attacks)), str(rng.choice(passages))) for _ in range(1000)]
        hidden = [f"{text[: len(text) // 2]} {attack} {text[len(text) // 2 :]}" for attack, text in drawn]
        share = np.mean([detector.score(text).found for text in hidden])
        sys.stdout.write(f"  with an attack of the labelled files in the middle: {share:.3f} of {len(hidden):,}\n")


def _texts(context: object) -> list[str]:
    return [str(text) for text in context] if isinstance(context, list) else [str(context)]


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
    parser.add_argument("--documents", nargs="*", type=Path, default=[])
    given = parser.parse_args()
    rows = read([path for path in given.paths if path.is_file()])
    if rows:
        injection(rows)
    else:
        sys.stdout.write("prompt injection: skipped, no file of labelled texts\n")
    passages = [path for path in given.documents if path.is_file()]
    if passages:
        documents(passages, [row["text"] for row in rows if int(row["label"])])
    else:
        sys.stdout.write("orders to the model in documents: skipped, no file of passages\n")
    offence()
    throughput(
        [row["text"] for row in rows[:2000]] or [s.format(t) for ts in TERMS.values() for t in ts for s in NEUTRAL]
    )


if __name__ == "__main__":
    main()
