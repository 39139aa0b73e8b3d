"""The scorer that needs no model: unsupported words, numbers and names, weighed by a logistic head.

It sees content that no document contains, and hardly a fact whose words all occur somewhere in the documents but not
together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.groundedness.base import Claim, Evidence, Groundedness, Status, Verdict
from analysis.groundedness.citations import first_number, read_citations
from analysis.groundedness.company import claim_features, response_features
from analysis.groundedness.features import (
    EXCHANGE_AT,
    FeatureReader,
    Reference,
    SentenceFacts,
    Span,
    read_reference,
)
from analysis.groundedness.head import Calibration, Head, sigmoid
from analysis.groundedness.kinds import is_claim, looks_english, response_sentences, what_is_missing
from analysis.groundedness.tokens import claim_start
from undertow.text import detect_language, sentences

Floats = NDArray[np.float64]
_HEAD = 500
CALIBRATION_SET = "RAGTruth QA, training split"
READER = 2
"""Counts how responses have been read: what is a sentence, a claim, a citation. Stands before the digest of the weights
in every version."""


@dataclass(frozen=True, slots=True)
class ResponseFacts:
    """What is known of a response before any weight is applied.

    Attributes
    ----------
    spans
        Offsets of its sentences, list markers cut off.
    facts
        One per sentence; None where the sentence is no claim.
    reference
        The prepared documents.
    """

    spans: tuple[Span, ...]
    facts: tuple[SentenceFacts | None, ...]
    reference: Reference

    @property
    def document_tokens(self) -> int:
        """Length of all documents in tokens."""
        return self.reference.n_tokens

    @property
    def claims(self) -> list[SentenceFacts]:
        """The facts of the sentences that are claims."""
        return [fact for fact in self.facts if fact is not None]


def read_response(
    reader: FeatureReader, response: str, documents: Sequence[str], query: str | None = None
) -> ResponseFacts:
    """Split a response into sentences and compare each claim with the documents."""
    reference = read_reference(documents, [sentences(text) for text in documents], query)
    whole = response_sentences(response)
    spans = tuple((claim_start(response, *span), span[1]) for span in whole)
    first = first_number(response, len(documents))
    read = [read_citations(response[slice(*span)], len(documents), first) for span in spans]
    facts = tuple(
        reader.sentence(
            text, (i, len(spans)), reference, listed=spans[i][0] > whole[i][0], cited=cited | _cited_behind(read, i)
        )
        if is_claim(text)
        else None
        for i, (text, cited) in enumerate(read)
    )
    return ResponseFacts(spans, facts, reference)


def _cited_behind(read: Sequence[tuple[str, frozenset[int]]], index: int) -> frozenset[int]:
    """Return what the next sentence cites when it is nothing but a citation."""
    text, cited = read[index + 1] if index + 1 < len(read) else ("", frozenset[int]())
    return cited if not any(char.isalnum() for char in text) else frozenset()


@dataclass(frozen=True)
class LexicalWeights:
    """Everything learned: `weights/lexical.json`, written by `scripts/train_groundedness_lexical.py`.

    Attributes
    ----------
    rarity
        Stem → inverse document frequency in [0, 1]; a stem that is missing has 1.
    sentence, exchange
        Heads on the features of a sentence: whether it holds what no document says, and, of what stands in
        `EXCHANGE_FEATURES` alone, whether a fact of it was exchanged.
    claim, response
        Heads on the claims beside each other, with the log odds of both, and on the whole.
    calibration
        From the response head's log odds to a probability.
    sentence_threshold
        A claim is unsupported when the probability of that reaches it.
    silent_logit
        Log odds given to a response without any claim.
    default_prior
        Assumed share of ungrounded responses when the caller gives none.
    version
        Changes with every training.
    """

    rarity: Mapping[str, float]
    sentence: Head
    exchange: Head
    claim: Head
    response: Head
    calibration: Calibration
    sentence_threshold: float
    silent_logit: float
    default_prior: float
    version: str

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> LexicalWeights:
        """Read the body of the weights file."""
        return cls(
            rarity=body["rarity"],
            sentence=Head.from_json(body["sentence"]),
            exchange=Head.from_json(body["exchange"]),
            claim=Head.from_json(body["claim"]),
            response=Head.from_json(body["response"]),
            calibration=Calibration.from_json(body["calibration"]),
            sentence_threshold=float(body["sentence_threshold"]),
            silent_logit=float(body["silent_logit"]),
            default_prior=float(body["default_prior"]),
            version=str(body["version"]),
        )


@cache
def bundled_weights() -> LexicalWeights:
    """Return the weights that come with the package."""
    path = files("analysis.groundedness") / "weights" / "lexical.json"
    return LexicalWeights.from_json(json.loads(path.read_text(encoding="utf-8")))


class LexicalScorer:
    """Scores groundedness from words alone; English only.

    Parameters
    ----------
    prior
        Share of ungrounded responses where the scorer is used, in (0, 1); shifts the probability and with it the
        threshold. Default: that of the weights.
    weights
        Default: the bundled ones.
    """

    name = "lexical"

    def __init__(self, prior: float | None = None, weights: LexicalWeights | None = None) -> None:
        self.weights = weights or bundled_weights()
        self.prior = self.weights.default_prior if prior is None else prior
        if not 0 < self.prior < 1:
            raise ValueError(
                f"prior must lie between 0 and 1, got {self.prior}: give the expected share of ungrounded responses"
            )
        self.threshold = self.weights.calibration.threshold(self.prior)
        self.reader = FeatureReader(self.weights.rarity)

    @property
    def version(self) -> str:
        """Version of the weights."""
        return self.weights.version

    def score(self, response: str, documents: Sequence[str], query: str | None = None) -> Groundedness:
        """Judge one response against its documents.

        Parameters
        ----------
        response
            The answer.
        documents
            Texts that it was given; `Claim.document` is an index into them.
        query
            The question; what it says counts as given.
        """
        reason = why_not(response, documents)
        if reason:
            return self._result(None, (), "not_evaluated", reason)
        facts, logits, logit = self.read(response, documents, query)
        risk = self.weights.calibration.probability(logit, self.prior)
        claims = judged_claims(response, documents, facts, sigmoid(logits), self.weights.sentence_threshold)
        return self._result(risk, claims, "evaluated", "")

    def read(
        self, response: str, documents: Sequence[str], query: str | None = None
    ) -> tuple[ResponseFacts, Floats, float]:
        """Return the facts of a response, the (claims,) log odds of its claims and those of the whole."""
        facts = read_response(self.reader, response, documents, query)
        claims = facts.claims
        if not claims:
            return facts, np.zeros(0), self.weights.silent_logit
        features = np.array([fact.values for fact in claims])
        logits = self.weights.claim.logit(
            claim_features(
                features, self.weights.sentence.logit(features), self.weights.exchange.logit(features[:, EXCHANGE_AT])
            )
        )
        summary = response_features(features, logits, sum(fact.n_tokens for fact in claims), facts.document_tokens)
        return facts, logits, float(self.weights.response.logit(summary[None, :])[0])

    def _result(self, risk: float | None, claims: tuple[Claim, ...], status: Status, reason: str) -> Groundedness:
        return Groundedness(risk, self.threshold, claims, self.name, self.version, status, reason, CALIBRATION_SET)


def judged_claims(
    response: str, documents: Sequence[str], facts: ResponseFacts, unsupported: Floats, threshold: float
) -> tuple[Claim, ...]:
    """Return the sentences of a response as claims.

    Parameters
    ----------
    response, documents
        The texts.
    facts
        What was read of them.
    unsupported
        (claims,) probabilities, in order, that the documents do not support them.
    threshold
        A claim is unsupported from here on.
    """
    claims, probabilities = [], iter(unsupported.tolist())
    for (start, end), fact in zip(facts.spans, facts.facts, strict=True):
        text = response[start:end]
        if fact is None:
            claims.append(Claim(start, end, text, None, "not_a_claim", None, None))
            continue
        probability = next(probabilities)
        verdict: Verdict = "unsupported" if probability >= threshold else "supported"
        document = fact.passage.document if fact.passage else None
        claims.append(Claim(start, end, text, 1 - probability, verdict, document, passage_evidence(fact, documents)))
    return tuple(claims)


def passage_evidence(fact: SentenceFacts, documents: Sequence[str]) -> Evidence | None:
    """Return the closest passage of a claim as evidence."""
    if fact.passage is None:
        return None
    start, end = fact.passage.start, fact.passage.end
    return Evidence(start, end, documents[fact.passage.document][start:end])


def why_not(response: str, documents: Sequence[str]) -> str:
    """Return why a response cannot be judged, or an empty string."""
    lacking = what_is_missing(response, documents)
    if lacking:
        return lacking
    if not looks_english(response):
        return f"the response is {_in_language(response)}, and this scorer was made for English"
    read = " ".join(document[:_HEAD] for document in documents)
    if not looks_english(read):
        return f"the documents are {_in_language(read)}, and this scorer was made for English"
    return ""


def _in_language(text: str) -> str:
    """Name the language of a text that is not English, where it can be told."""
    language = detect_language(text)
    return "not in English" if language in (None, "en") else f"in another language ({language})"
