"""Claims beside the other claims of their response, and what they make of the whole."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from analysis.groundedness.features import SENTENCE_FEATURES

Floats = NDArray[np.float64]

CLAIM_FEATURES = (
    "invented", "exchanged", "invented_before", "invented_behind", "invented_elsewhere", "below_most_invented",
    "exchanged_elsewhere", "claims",
    "new_word_share", "new_triples", "copied_run", "content_words", "evidence_gap", "list_item", "cited", "miscited",
)  # fmt: skip

RESPONSE_FEATURES = (
    "claims", "tokens", "mean_new_weight", "max_new_weight", "sum_new_weight", "new_pairs_all", "new_triples_all",
    "new_numbers_all", "new_names_all", "max_evidence_gap", "mean_evidence_gap", "list_share", "meta_any",
    "document_tokens", "worst_sentence", "second_sentence", "mean_sentence", "noisy_or", "sum_sentence",
    "late_sentence",
)  # fmt: skip

_AT = {name: i for i, name in enumerate(SENTENCE_FEATURES)}
_OWN = [_AT[name] for name in CLAIM_FEATURES if name in _AT]
# What a claim without neighbours is told of them: the log odds of an ordinary claim.
_ORDINARY = -2.0


def claim_features(sentences: Floats, invented: Floats, exchanged: Floats) -> Floats:
    """Put the claims of one response beside each other.

    Parameters
    ----------
    sentences
        (n, len(SENTENCE_FEATURES)) features of its claims in order, n >= 1.
    invented, exchanged
        (n,) log odds that a claim holds what no document says, and that a fact of it was exchanged.

    Returns
    -------
    numpy.ndarray
        (n, len(CLAIM_FEATURES))
    """
    n = len(invented)
    edge = np.array([_ORDINARY])
    return np.column_stack(
        [
            invented,
            exchanged,
            np.concatenate([edge, invented[:-1]]),
            np.concatenate([invented[1:], edge]),
            _mean_of_others(invented),
            invented - invented.max(),
            _mean_of_others(exchanged),
            np.full(n, math.log(n)),
            sentences[:, _OWN],
        ]
    )


def _mean_of_others(values: Floats) -> Floats:
    """Return for every value the mean of all others."""
    if len(values) == 1:
        return np.array([_ORDINARY])
    means: Floats = (values.sum() - values) / (len(values) - 1)
    return means


def response_features(sentences: Floats, logits: Floats, n_tokens: int, document_tokens: int) -> Floats:
    """Summarise the sentences of a response.

    Parameters
    ----------
    sentences
        (n, len(SENTENCE_FEATURES)) features of its claims, n >= 1.
    logits
        (n,) log odds of the claim head that each is unsupported.
    n_tokens, document_tokens
        Lengths in tokens.

    Returns
    -------
    numpy.ndarray
        (len(RESPONSE_FEATURES),)
    """
    column = {name: sentences[:, i] for i, name in enumerate(SENTENCE_FEATURES)}
    risk = 1 / (1 + np.exp(-logits))
    ranked = np.sort(logits)[::-1]
    weight, gap = column["new_word_weight"], column["evidence_gap"]
    return np.array(
        [
            math.log(len(sentences)),
            math.log1p(n_tokens),
            column["new_word_share"].mean(),
            column["new_word_share"].max(),
            math.log1p(weight.sum()),
            column["new_pairs"].mean(),
            column["new_triples"].mean(),
            math.log1p(column["new_numbers"].sum()),
            math.log1p(column["new_names"].sum()),
            gap.max(),
            gap.mean(),
            column["list_item"].mean(),
            float(column["meta"].any()),
            math.log1p(document_tokens),
            ranked[0],
            ranked[min(1, len(ranked) - 1)],
            logits.mean(),
            float(-np.log1p(-np.clip(risk, 0, 1 - 1e-9)).sum()),
            math.log(risk.sum()),
            logits[-1],
        ]
    )
