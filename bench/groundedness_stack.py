"""Turn a checkpoint of the encoder into the bundled weights, and say how good they are.

    python bench/groundedness_stack.py PATH --work FOLDER [--out FOLDER]

The graph is exported to int8. Heads and calibration are learned on the quarter of RAGTruth's sources that the
encoder never saw, and on answers made from their passages; the lexical log odds that they weigh come from a lexical
scorer trained on the other three quarters. What is printed comes from five folds by source within that quarter;
the final heads use all of it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from groundedness_data import HELD_OUT, SEED, Answer, AnswerWriter, gather, read_answers, split
from groundedness_export import build_graph
from groundedness_wordnet import WordNet
from rich.console import Console
from rich.table import Table
from safetensors.numpy import load_file
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import GroupKFold

from analysis.groundedness.encoder import (
    MARK_FEATURES,
    VERDICT_FEATURES,
    Marker,
    claim_features,
    claim_odds,
    verdict_features,
)
from analysis.groundedness.features import Floats
from analysis.groundedness.fitting import (
    best_threshold,
    calibrate,
    expected_calibration_error,
    fit_head,
    fit_platt,
)
from analysis.groundedness.head import Head, sigmoid
from analysis.groundedness.lexical import READER, LexicalScorer, LexicalWeights, bundled_weights
from analysis.groundedness.windows import WindowMaker, WordPieces

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
from train_groundedness_lexical import read_rows, silent_log_odds  # noqa: E402 - a script, no package
from train_groundedness_lexical import train as train_lexical  # noqa: E402

MADE = 600
# Weight of all made rows together, as a share of the real ones': more of it costs accuracy on annotated answers.
MADE_CLAIMS, MADE_RESPONSES = 0.5, 0.15
FOLDS = 5
DEFAULT_PRIOR = 0.2
OUT = Path(__file__).parents[1] / "analysis" / "groundedness" / "weights"
LEXICAL = MARK_FEATURES.index("lexical")


@dataclass(frozen=True)
class Rows:
    """Claims and responses; the claims of a response stand together."""

    claims: Floats
    claim_labels: np.ndarray
    owner: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    lexical: Floats
    made: np.ndarray

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Return the mask of the claims of some responses."""
        return np.isin(self.owner, rows)

    def weights(self, made: float) -> Floats:
        """Return the (n,) weights of the responses, the made ones' together `made` times the real ones'."""
        return np.where(self.made, made * (~self.made).sum() / max(self.made.sum(), 1), 1.0)


def read(answers: list[Answer], n_made: int, marker: Marker, lexical: LexicalScorer) -> tuple[Rows, np.ndarray]:
    """Return the features of answers, the last `n_made` of them made, and the labels of those without any claim."""
    windows = WindowMaker(WordPieces(), lexical.reader.weight)
    claims, claim_labels, owner, silent = [], [], [], []
    labels, groups, whole, made = [], [], [], []
    for i, a in enumerate(answers):
        facts, odds, logit = lexical.read(a.response, a.documents, a.query)
        if not odds.size:
            silent.append(a.label)
            continue
        spans = [span if fact else None for span, fact in zip(facts.spans, facts.facts, strict=True)]
        marks = claim_odds(marker, windows(a.response, spans, a.documents, facts.reference, a.query))
        claims.append(claim_features(facts, marks, odds))
        claim_labels += [any(min(b, s[1]) > max(c, s[0]) for c, b in a.spans) for s in spans if s]
        owner += [len(labels)] * len(odds)
        labels.append(a.label)
        groups.append(a.source)
        whole.append(logit)
        made.append(i >= len(answers) - n_made)
    rows = Rows(
        np.concatenate(claims), np.array(claim_labels), np.array(owner), np.array(labels), np.array(groups),
        np.array(whole), np.array(made),
    )  # fmt: skip
    return rows, np.array(silent, dtype=bool)


def fit_claims(rows: Rows, chosen: np.ndarray, columns: list[int]) -> Head:
    """Fit the head of claims on some responses."""
    mask = rows.of(chosen)
    weights = rows.weights(MADE_CLAIMS)[rows.owner[mask]]
    return fit_head(rows.claims[mask][:, columns], rows.claim_labels[mask], weights, 0.01, products=len(columns))


def held_out(rows: Rows, chosen: np.ndarray, columns: list[int], seed: int) -> Floats:
    """Return log odds of the claims of some responses, each from a head that has not seen its source."""
    logits = np.zeros(len(rows.owner))
    for train, test in GroupKFold(FOLDS, shuffle=True, random_state=seed).split(chosen, groups=rows.groups[chosen]):
        mask = rows.of(chosen[test])
        logits[mask] = fit_claims(rows, chosen[train], columns).logit(rows.claims[mask][:, columns])
    return logits


def summarise(rows: Rows, chosen: np.ndarray, logits: Floats) -> Floats:
    """Return the (len(chosen), d) features of responses under given log odds of their claims."""
    return np.array([verdict_features(logits[rows.owner == i], float(rows.lexical[i])) for i in chosen])


def fit_responses(rows: Rows, chosen: np.ndarray, logits: Floats, verdict: list[int]) -> Head:
    """Fit the head of responses on held-out log odds of claims."""
    x = summarise(rows, chosen, logits)[:, verdict]
    return fit_head(x, rows.labels[chosen], rows.weights(MADE_RESPONSES)[chosen], 0.1)


def cross_validate(rows: Rows, columns: list[int], verdict: list[int]) -> tuple[Floats, Floats, Floats]:
    """Return held-out log odds of claims, and log odds and calibrated log odds of responses."""
    everyone = np.arange(len(rows.labels))
    claims, responses, scaled = np.zeros(len(rows.owner)), np.zeros(len(everyone)), np.zeros(len(everyone))
    for train, test in GroupKFold(FOLDS, shuffle=True, random_state=SEED).split(everyone, groups=rows.groups):
        inner = held_out(rows, train, columns, SEED + 1)
        mask = rows.of(test)
        claims[mask] = fit_claims(rows, train, columns).logit(rows.claims[mask][:, columns])
        head = fit_responses(rows, train, inner, verdict)
        responses[test] = head.logit(summarise(rows, test, claims)[:, verdict])
        real = train[~rows.made[train]]
        slope, intercept = fit_platt(head.logit(summarise(rows, real, inner)[:, verdict]), rows.labels[real])
        scaled[test] = slope * responses[test] + intercept
    return claims, responses, scaled


def interval(labels: np.ndarray, values: Floats, groups: np.ndarray) -> str:
    """Return AUROC with a 95 % bootstrap interval over sources."""
    rng = np.random.default_rng(0)
    names = np.unique(groups)
    members = {name: np.flatnonzero(groups == name) for name in names}
    drawn = []
    for _ in range(300):
        at = np.concatenate([members[name] for name in rng.choice(names, len(names))])
        if 0 < labels[at].sum() < len(at):
            drawn.append(roc_auc_score(labels[at], values[at]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{roc_auc_score(labels, values):.3f} [{low:.3f}, {high:.3f}]"


def report(rows: Rows, lexical_claims: Floats) -> tuple[dict[str, dict[str, str]], tuple[Floats, Floats, Floats]]:
    """Return the held-out figures of lexical alone, encoder alone and both; and the log odds of both."""
    real, made = ~rows.made, rows.made
    no_lexical = [i for i, name in enumerate(MARK_FEATURES) if name != "lexical"]
    no_verdict = [i for i, name in enumerate(VERDICT_FEATURES) if name != "lexical"]
    every, all_verdict = list(range(len(MARK_FEATURES))), list(range(len(VERDICT_FEATURES)))
    both = cross_validate(rows, every, all_verdict)
    alone = cross_validate(rows, no_lexical, no_verdict)
    of_claims = rows.groups[rows.owner]
    figures = {}
    for name, claims, responses in (
        ("lexical", lexical_claims, rows.lexical),
        ("encoder alone", alone[0], alone[2]),
        ("both", both[0], both[2]),
    ):
        figures[name] = {}
        for kind, part in (("RAGTruth", real), ("made", made)):
            at = part[rows.owner]
            figures[name][kind] = interval(rows.labels[part], responses[part], rows.groups[part])
            figures[name][f"{kind} claims"] = interval(rows.claim_labels[at], claims[at], of_claims[at])
    cut = calibrate(both[1][real], rows.labels[real])
    threshold = cut.threshold(cut.prior)
    probability = sigmoid(both[2][real])
    figures["both"]["F1 at threshold"] = f"{f1_score(rows.labels[real], probability >= threshold):.3f}"
    figures["both"]["ECE"] = f"{expected_calibration_error(probability, rows.labels[real]):.3f}"
    return figures, both


def body_of(rows: Rows, silent: np.ndarray, graph: bytes, progress: dict[str, Any], made: int) -> dict[str, Any]:
    """Return the body of the weights file."""
    figures, (claims, responses, _) = report(rows, rows.claims[:, LEXICAL])
    everyone, real = np.arange(len(rows.labels)), ~rows.made
    every, verdict = list(range(len(MARK_FEATURES))), list(range(len(VERDICT_FEATURES)))
    calibration = calibrate(responses[real], rows.labels[real])
    of_real = real[rows.owner]
    return {
        "name": "encoder",
        "trained_on": {
            "encoder": "RAGTruth QA train (three quarters of its sources) and WiCE (half), and answers made from both",
            "heads": "the last quarter of RAGTruth QA train",
            "seed": SEED, "steps": progress["step"], "held_out_responses": int(real.sum()), "made": made,
        },
        "figures": figures,
        "features": {"sentence": MARK_FEATURES, "response": VERDICT_FEATURES},
        "default_prior": DEFAULT_PRIOR,
        "sentence_threshold": best_threshold(sigmoid(claims[of_real]), rows.claim_labels[of_real]),
        "silent_logit": round((silent_log_odds(silent) - calibration.intercept) / calibration.slope, 4),
        "calibration": calibration.to_json(),
        "sentence": fit_claims(rows, everyone, every).to_json(),
        "response": fit_responses(rows, everyone, held_out(rows, everyone, every, SEED + 1), verdict).to_json(),
        "lexical_version": bundled_weights().version,
        "graph_sha256": hashlib.sha256(graph).hexdigest(),
    }  # fmt: skip


def lexical_without(path: Path, sources: set[str], cache: Path) -> LexicalScorer:
    """Return a lexical scorer that has not seen some sources."""
    if not cache.exists():
        rows = [row for row in read_rows(path) if str(row.group) not in sources]
        cache.write_text(json.dumps(train_lexical(rows, path.name)), encoding="utf-8")
    return LexicalScorer(weights=LexicalWeights.from_json(json.loads(cache.read_text(encoding="utf-8"))))


def main() -> None:
    """Export, fit, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="folder of the data")
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    graph = build_graph(load_file(args.work / "encoder.safetensors"))
    path = args.path / "ragtruth_qa_train.jsonl.gz"
    _, held = split(read_answers(path), HELD_OUT)
    sources = {answer.source for answer in held}
    lexical = lexical_without(path, sources, args.work / f"lexical-{bundled_weights().version}.json")
    words = WordNet(WordPieces().vocabulary())
    writer = AnswerWriter(gather(held), random.Random(SEED), words)  # noqa: S311 - training data, not a secret
    made = [answer for _ in range(MADE) for answer in writer.write()]
    rows, silent = read(held + made, len(made), Marker(graph), lexical)
    body = body_of(rows, silent, graph, json.loads((args.work / "progress.json").read_text()), len(made))
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    version = f"{READER}-{digest[:8]}"
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "encoder.onnx.xz").write_bytes(lzma.compress(graph, preset=9 | lzma.PRESET_EXTREME))
    (args.out / "encoder.json").write_text(
        json.dumps({"version": version, **body}, separators=(",", ":")) + "\n", encoding="utf-8"
    )
    table = Table("scorer", *body["figures"]["both"], title=f"encoder {version}, held-out sources")
    for name, values in body["figures"].items():
        table.add_row(name, *(values.get(heading, "") for heading in body["figures"]["both"]))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
