"""Relevance and consistency on RAGTruth QA: the curves of `analysis/metrics/relevance.py`, and what consistency tells.

``python bench/answer_relevance.py PATH/ragtruth_qa_train.jsonl.gz [--sources 330]`` embeds the questions, answers and
passages of a sample of sources with the default model, prints the curve of each kind learned on all of them with its
AUROC and calibration error out of fold (two folds by source), and, over the four answers that different models gave to
each question, how well an answer's distance from the others tells a hallucination, beside the answer's length.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from analysis.embed import load_embedder
from analysis.metrics.calibration import auroc
from analysis.metrics.consistency import agreements, read_figures
from undertow.config import load_settings

BINS = 10
Sources = list[list[dict[str, Any]]]
Vectors = dict[str, np.ndarray]


def read_sources(path: Path, count: int) -> Sources:
    sources: dict[str, list[dict[str, Any]]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            sources.setdefault(str(row["source_id"]), []).append(row)
    keep = set(np.random.default_rng(0).permutation(sorted(sources))[:count].tolist())
    return [sources[key] for key in sorted(keep)]


def embed(sources: Sources) -> Vectors:
    texts = sorted({t for rows in sources for r in rows for t in (r["query"], r["response"], *r["context"])})
    vectors = load_embedder(models_dir=load_settings().settings.models_dir).encode(texts)
    return dict(zip(texts, vectors, strict=True))


def pairs(sources: Sources, vectors: Vectors, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosine, whether it belongs to the question, and the source, of each pair."""
    rng = np.random.default_rng(1)
    questions = np.array([vectors[rows[0]["query"]] for rows in sources])
    near = questions @ questions.T
    np.fill_diagonal(near, -1)
    found = []
    for i, rows in enumerate(sources):
        others = [*rng.choice(np.argsort(-near[i])[:10], 2, replace=False), *rng.choice(len(sources), 1)]
        if kind == "context":
            own, foreign = rows[0]["context"], [sources[j][0]["context"][0] for j in others if j != i]
        else:
            own, foreign = [r["response"] for r in rows[:3]], [sources[j][0]["response"] for j in others if j != i]
        found += [(questions[i] @ vectors[text], 1, i) for text in own]
        found += [(questions[i] @ vectors[text], 0, i) for text in foreign]
    cosine, label, source = (np.array(column) for column in zip(*found, strict=True))
    return cosine.astype(np.float64), label.astype(bool), source


def curve(cosine: np.ndarray, label: np.ndarray, source: np.ndarray) -> str:
    weight = np.where(label, 0.5 / label.mean(), 0.5 / (1 - label.mean()))
    held_out = np.empty(len(label))
    for fold in (0, 1):
        learn = source % 2 != fold
        model = LogisticRegression(C=1e6).fit(cosine[learn, None], label[learn], sample_weight=weight[learn])
        held_out[~learn] = model.predict_proba(cosine[~learn, None])[:, 1]
    whole = LogisticRegression(C=1e6).fit(cosine[:, None], label, sample_weight=weight)
    at = np.minimum((held_out * BINS).astype(int), BINS - 1)
    gaps = [abs((weight * (held_out - label))[at == b].sum()) for b in range(BINS)]
    return (
        f"slope {whole.coef_[0, 0]:.2f}, intercept {whole.intercept_[0]:.2f}; out of fold: AUROC"
        f" {auroc(held_out, label):.3f}, calibration error {sum(gaps) / weight.sum():.3f}, {len(label)} pairs"
    )


def consistency(sources: Sources, vectors: Vectors) -> str:
    told: dict[str, list[float]] = {"1 - consistency": [], "distance alone": [], "answer length": []}
    labels, rewording = [], []
    for rows in sources:
        matrix = np.array([vectors[r["response"]] for r in rows])
        found = agreements(matrix, [read_figures(r["response"]) for r in rows], [1] * len(rows))
        apart = 1 - matrix @ matrix.T
        told["1 - consistency"] += [1 - agreement.value for agreement in found]
        told["distance alone"] += (apart.sum(1) / (len(rows) - 1)).tolist()
        told["answer length"] += [len(r["response"]) for r in rows]
        labels += [bool(int(r["label"])) for r in rows]
        good = np.array([not int(r["label"]) for r in rows])
        rewording += apart[np.ix_(good, good)][np.triu_indices(good.sum(), 1)].tolist()
    scores = [f"{name} {auroc(np.array(values), np.array(labels)):.3f}" for name, values in told.items()]
    quantiles = ", ".join(f"{q:.0%} {np.quantile(rewording, q):.2f}" for q in (0.5, 0.75, 0.95))
    return (
        f"AUROC for a hallucination over {len(labels)} answers: {'; '.join(scores)}\n"
        f"cosine distance between {len(rewording)} pairs of grounded answers: {quantiles}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--sources", type=int, default=330)
    arguments = parser.parse_args()
    if not arguments.path.exists():
        print(f"skipped: {arguments.path} is absent")
        return
    sources = read_sources(arguments.path, arguments.sources)
    vectors = embed(sources)
    for kind in ("answer", "context"):
        print(f"{kind}: {curve(*pairs(sources, vectors, kind))}", flush=True)
    print(consistency(sources, vectors))


if __name__ == "__main__":
    main()
