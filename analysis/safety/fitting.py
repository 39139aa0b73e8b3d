"""Learn the head of prompt injection; used by its training script and its benchmark."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression

from analysis.safety.injection_rules import InjectionRules, undisguised
from analysis.safety.text_head import Floats, TextHead, hashed_counts

FALSE_POSITIVES = 0.01
BONUS = 6.0
_ROWS_A_KIND = 3000
_PLAIN_WEIGHT = 0.1
_FOLDS, _GROUPS = 4, 24


@dataclass(frozen=True)
class Samples:
    """Labelled texts with everything the head reads.

    Attributes
    ----------
    counts
        (n, 98304) sparse n-gram counts of the undisguised texts.
    vectors
        (n, d) unit embeddings.
    ruled
        (n,) whether a rule fires.
    labels
        (n,) 1 for an attack.
    sources
        (n,) where a text is from.
    """

    counts: Any
    vectors: NDArray[np.float32]
    ruled: NDArray[np.bool_]
    labels: NDArray[np.int64]
    sources: NDArray[np.str_]

    def __getitem__(self, rows: NDArray[Any]) -> Samples:
        parts = (self.counts, self.vectors, self.ruled, self.labels, self.sources)
        return Samples(*(part[rows] for part in parts))

    def __len__(self) -> int:
        return len(self.labels)


def samples(
    texts: Sequence[str], vectors: NDArray[np.float32], labels: Sequence[int], sources: Sequence[str]
) -> Samples:
    """Read n-grams and rules of texts."""
    rules = InjectionRules()
    plain = [undisguised(text) for text in texts]
    ruled = np.array([bool(rules.find(text, bare)[0]) for text, bare in zip(texts, plain, strict=True)])
    return Samples(hashed_counts(plain), vectors, ruled, np.array(labels), np.array(sources))


def balanced(train: Samples) -> Floats:
    """Return the (n,) weights that let no label of a source count for more than 3,000 texts.

    Texts of a source without attacks count a tenth: so many plain questions would teach that a question is harmless.
    """
    weights = np.full(len(train), _PLAIN_WEIGHT)
    for source in np.unique(train.sources[train.labels == 1]):
        for label in (0, 1):
            rows = (train.sources == source) & (train.labels == label)
            weights[rows] = min(_ROWS_A_KIND / max(rows.sum(), 1), 1.0)
    return weights


def fit(train: Samples, model: str) -> TextHead:
    """Fit n-grams and embedding apart, and add their log odds: neither may drown the other on a new source."""
    tfidf, weight = TfidfTransformer(sublinear_tf=True).fit(train.counts), balanced(train)
    ngrams = LogisticRegression(C=2, max_iter=400).fit(tfidf.transform(train.counts), train.labels, weight)
    # Unit vectors of 384 numbers are small for the penalty: twice as long is C = 4.
    meaning = LogisticRegression(C=4, max_iter=400).fit(train.vectors, train.labels, weight)
    intercept = float(ngrams.intercept_[0] + meaning.intercept_[0])
    idf, weights = (np.asarray(v, np.float16) for v in (tfidf.idf_, ngrams.coef_[0]))
    direction = np.asarray(meaning.coef_[0], np.float32)
    return TextHead(idf, weights, direction, intercept, BONUS, 1.0, 0.0, 0.5, model)  # type: ignore[arg-type]  # stored in half precision


def logits(head: TextHead, data: Samples) -> Floats:
    """Return the (n,) uncalibrated log odds of samples."""
    ngrams = head.of_counts(data.counts)
    found: Floats = ngrams + data.vectors @ head.direction + head.intercept + head.bonus * data.ruled
    return found


def calibrated(head: TextHead, train: Samples, seed: int = 0) -> TextHead:
    """Add Platt scaling and the threshold at 1 % false positives, from folds that share no neighbourhood of meaning.

    At most one in a hundred reaches the threshold, both of the benign texts of those sources that hold attacks too,
    which are about the same subjects, and of the plain texts of the other sources.
    """
    groups = KMeans(_GROUPS, n_init=1, random_state=seed).fit_predict(train.vectors)
    fold = np.random.default_rng(seed).permutation(np.arange(_GROUPS) % _FOLDS)[groups]
    held_out = np.empty(len(train))
    for number in range(_FOLDS):
        part = fit(train[fold != number], head.model)
        held_out[fold == number] = logits(part, train[fold == number])
    platt = LogisticRegression(C=1e6).fit(held_out[:, None], train.labels)
    slope, shift = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    attacked = np.isin(train.sources, train.sources[train.labels == 1])
    benign = [held_out[rows & (train.labels == 0)] for rows in (attacked, ~attacked)]
    cut = max(np.quantile(values, 1 - FALSE_POSITIVES) for values in benign if len(values))
    threshold = float(1 / (1 + np.exp(-(slope * cut + shift))))
    whole = replace(head, slope=slope, shift=shift, threshold=threshold)
    parts = (whole.idf, whole.weights, whole.direction, [whole.intercept, slope, shift, threshold])
    digest = hashlib.sha256(b"".join(np.asarray(part).tobytes() for part in parts)).hexdigest()[:8]
    return replace(whole, digest=digest)


def recall_at(values: Floats, labels: NDArray[np.int64], false_positives: float = FALSE_POSITIVES) -> float:
    """Return the share of attacks above the value that `false_positives` of the benign texts reach."""
    return float((values[labels == 1] > np.quantile(values[labels == 0], 1 - false_positives)).mean())
