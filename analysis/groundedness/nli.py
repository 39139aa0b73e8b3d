"""Any cross-encoder as a scorer: it is asked whether the closest passages entail a claim.

The model is the user's, at a local path, run by sentence-transformers. Nothing of it was calibrated here: the risk is
the probability that the least supported claim is not entailed, shifted to the prior, and the threshold is one half.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.groundedness.base import Claim, Groundedness, Status, Verdict
from analysis.groundedness.features import Floats, SentenceFacts
from analysis.groundedness.head import log_odds, sigmoid
from analysis.groundedness.lexical import LexicalScorer, ResponseFacts, passage_evidence, read_response, why_not
from analysis.groundedness.windows import encodable, rank_passages
from undertow.embedding import weights_fingerprint
from undertow.errors import ModelMissingError

DEFAULT_PRIOR = 0.5
_SUPPORT_LABELS = ("entail", "support", "consistent", "factual", "grounded")
_AGAINST_LABELS = ("contradict", "refut")
_BOUND = 1e-6
_CONTRADICTED = 0.5
_HEAD = 2000


class NliScorer:
    """Scores groundedness by entailment; languages are those of the model, English is assumed.

    Parameters
    ----------
    prior
        Share of ungrounded responses where the scorer is used, in (0, 1); default one half, which shifts nothing.
    model
        Folder of a cross-encoder with either one output, the higher the better supported, or several, of which one
        is labelled as entailment.

    Raises
    ------
    ModelMissingError
        The folder is no cross-encoder, its labels name no entailment, or sentence-transformers is not installed.
    ValueError
        The prior is out of range.
    """

    name = "nli"
    threshold = 0.5

    def __init__(self, prior: float | None = None, model: str = "") -> None:
        self.prior = DEFAULT_PRIOR if prior is None else prior
        if not 0 < self.prior < 1:
            raise ValueError(
                f"prior must lie between 0 and 1, got {self.prior}: give the expected share of ungrounded responses"
            )
        folder = Path(model).expanduser()
        self._model = _load(folder, model)
        self._support, self._against = _outputs(self._model, folder)
        self._reader = LexicalScorer().reader
        self.version = f"{folder.resolve().name}-{weights_fingerprint(folder)}"

    def score(self, response: str, documents: Sequence[str], query: str | None = None) -> Groundedness:
        """Judge one response against its documents; see `LexicalScorer.score`."""
        reason = why_not(response, documents)
        if reason:
            return self._result(None, (), "not_evaluated", reason)
        facts = read_response(self._reader, response, documents, query)
        claims = [(span, fact) for span, fact in zip(facts.spans, facts.facts, strict=True) if fact]
        support, against = self._entailed(response, documents, facts, claims)
        # Of several claims the weakest decides; of none there is nothing to doubt.
        weakest = float(np.clip(support.min(initial=1.0), _BOUND, 1 - _BOUND))
        risk = float(sigmoid(log_odds(1 - weakest) + log_odds(self.prior)))
        judged = self._claims(response, documents, facts, iter(zip(support.tolist(), against.tolist(), strict=True)))
        return self._result(risk, judged, "evaluated", "")

    def _entailed(
        self, response: str, documents: Sequence[str], facts: ResponseFacts, claims: Sequence[tuple[Any, SentenceFacts]]
    ) -> tuple[Floats, Floats]:
        """Return the (claims,) probabilities of entailment and of contradiction."""
        if not claims:
            return np.zeros(0), np.zeros(0)
        pairs = []
        for (start, end), fact in claims:
            passages = facts.reference.passages
            chosen = sorted(rank_passages(fact.forms, passages, self._reader.weight))
            shown = [documents[passages[i].document][passages[i].start : passages[i].end] for i in chosen]
            # A claim that shares no word with any passage is held against the beginning of the documents.
            premise = " ".join(shown) or " ".join(documents)[:_HEAD]
            pairs.append((encodable(premise), encodable(response[start:end])))
        logits = np.asarray(self._predict(pairs), dtype=np.float64)
        if logits.ndim == 1 or logits.shape[1] == 1:
            support = sigmoid(logits.reshape(-1))
            return support, np.zeros(len(support))
        odds = np.exp(logits - logits.max(1, keepdims=True))
        probabilities = odds / odds.sum(1, keepdims=True)
        against = probabilities[:, self._against] if self._against is not None else np.zeros(len(probabilities))
        return probabilities[:, self._support], against

    def _predict(self, pairs: list[tuple[str, str]]) -> Any:
        from torch import nn

        return self._model.predict(pairs, activation_fn=nn.Identity(), show_progress_bar=False)

    def _claims(
        self, response: str, documents: Sequence[str], facts: ResponseFacts, judged: Iterator[tuple[float, float]]
    ) -> tuple[Claim, ...]:
        claims = []
        for (start, end), fact in zip(facts.spans, facts.facts, strict=True):
            text = response[start:end]
            if fact is None:
                claims.append(Claim(start, end, text, None, "not_a_claim", None, None))
                continue
            support, against = next(judged)
            verdict: Verdict = "supported" if support > 1 - self.threshold else "unsupported"
            if verdict == "unsupported" and against > _CONTRADICTED:
                verdict = "contradicted"
            document = fact.passage.document if fact.passage else None
            claims.append(Claim(start, end, text, support, verdict, document, passage_evidence(fact, documents)))
        return tuple(claims)

    def _result(self, risk: float | None, claims: tuple[Claim, ...], status: Status, reason: str) -> Groundedness:
        return Groundedness(risk, self.threshold, claims, self.name, self.version, status, reason)


def _load(folder: Path, model: str) -> Any:
    if not model or not folder.is_dir():
        raise ModelMissingError(
            f"The scorer nli needs the folder of a cross-encoder, got {model!r}. Set the scorer to nli:/path/to/model."
        )
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise ModelMissingError(
            "The scorer nli needs sentence-transformers, which is not installed. Install it: pip install 'undertow[st]'"
        ) from error
    try:
        return CrossEncoder(str(folder), local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelMissingError(
            f"sentence-transformers could not load a cross-encoder from {folder}: {error}"
        ) from error


def _outputs(model: Any, folder: Path) -> tuple[int, int | None]:
    """Return which output means entailment and which contradiction."""
    labels = {int(i): str(label).lower() for i, label in model.config.id2label.items()}
    if len(labels) == 1:
        return 0, None
    against = next((i for i, label in labels.items() if label.startswith(_AGAINST_LABELS)), None)
    for i, label in labels.items():
        if label.startswith(_SUPPORT_LABELS):
            return i, against
    raise ModelMissingError(
        f"The cross-encoder in {folder} has the outputs {', '.join(labels.values())}; "
        f"expected one output, or one that begins with one of {', '.join(_SUPPORT_LABELS)}."
    )
