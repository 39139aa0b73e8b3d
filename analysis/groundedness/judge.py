"""A language model as scorer: one call per response, with its claims and the passages of its documents numbered.

It is the only scorer that sends texts to another process, and only where an address is configured. Nothing of it was
calibrated here: the risk is the probability that the least supported claim is not supported, shifted to the prior, and
the threshold is one half.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from analysis.groundedness.base import Answer, Claim, Evidence, Groundedness, Status, Verdict
from analysis.groundedness.head import log_odds, sigmoid
from analysis.groundedness.kinds import is_claim, response_sentences, what_is_missing
from analysis.groundedness.tokens import claim_start
from analysis.judge.client import Judge, NotJudged, Question
from undertow.settings import Settings
from undertow.text import sentences

PROMPT_VERSION = "1"
DEFAULT_PRIOR = 0.5
_VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
_BOUND = 1e-6
_PASSAGE_CHARS = 600
_EVEN = 0.5

_TASK = """\
You check whether the claims of an answer are supported by the passages that it was given. "claims" are sentences of
the answer, "passages" are parts of the documents, "question" is what was asked; what the question itself says counts as
given. Judge every claim by the passages alone, never by what you know:
- supported: some passage states it or directly implies it, with all its numbers, names, dates, units and conditions.
- contradicted: some passage says otherwise.
- unsupported: the passages say nothing, or not all of it.
- not_a_claim: it states nothing about the world: a greeting, an offer, a question, a refusal, "I do not know"."""

_FORM = """\
{"claims": [{"n": number of the claim, "verdict": "supported" | "unsupported" | "contradicted" | "not_a_claim",
"support": probability from 0 to 1 that the passages support it, "passage": number of the deciding passage, or null}]}
with one entry for each claim."""

_ENTRY = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "verdict": {"type": "string", "enum": list(_VERDICTS)},
        "support": {"type": "number"},
        "passage": {"type": ["integer", "null"]},
    },
    "required": ["n", "verdict", "support", "passage"],
    "additionalProperties": False,
}
_SCHEMA = {
    "type": "object",
    "properties": {"claims": {"type": "array", "items": _ENTRY}},
    "required": ["claims"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class _Passage:
    document: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Said:
    verdict: Verdict
    support: float
    passage: int | None


class JudgeScorer:
    """Scores groundedness by asking a language model; languages are those of the model.

    Parameters
    ----------
    prior
        Share of ungrounded responses where the scorer is used, in (0, 1); default one half, which shifts nothing.
    settings
        Where the model is; by default those of the environment and ``undertow.toml``.
    judge
        Asks; by default one made from the settings.

    Raises
    ------
    ConfigError
        No address is configured.
    ModelMissingError
        The package ``openai`` is not installed.
    ValueError
        The prior is out of range.
    """

    name = "judge"
    threshold = 0.5

    def __init__(
        self, prior: float | None = None, settings: Settings | None = None, judge: Judge | None = None
    ) -> None:
        self.prior = DEFAULT_PRIOR if prior is None else prior
        if not 0 < self.prior < 1:
            raise ValueError(
                f"prior must lie between 0 and 1, got {self.prior}: give the expected share of ungrounded responses"
            )
        self._judge = judge or _opened(settings)
        self.version = f"{self._judge.settings.model}-{PROMPT_VERSION}"

    def score(self, response: str, documents: Sequence[str], query: str | None = None) -> Groundedness:
        """Judge one response; what the model does not answer in time, form and budget is not evaluated."""
        lacking = what_is_missing(response, documents)
        if lacking:
            return self._result(None, (), "not_evaluated", lacking)
        spans = [(claim_start(response, *span), span[1]) for span in response_sentences(response)]
        asked = [span for span in spans if is_claim(response[slice(*span)])]
        passages = [passage for i, text in enumerate(documents) for passage in _passages(i, text)]
        try:
            said = self._ask(response, documents, query, asked, passages) if asked else []
        except NotJudged as error:
            return self._result(None, (), "not_evaluated", str(error))
        claims = _claims(response, documents, spans, dict(zip(asked, said, strict=True)), passages)
        weakest = min((claim.support for claim in claims if claim.support is not None), default=1.0)
        risk = float(sigmoid(log_odds(float(np.clip(1 - weakest, _BOUND, 1 - _BOUND))) + log_odds(self.prior)))
        return self._result(risk, claims, "evaluated", "")

    def score_many(self, answers: Sequence[Answer]) -> list[Groundedness]:
        """Judge responses with as many calls at a time as configured."""
        with ThreadPoolExecutor(self._judge.settings.concurrency) as pool:
            return list(pool.map(lambda answer: self.score(*answer), answers))

    def _ask(
        self,
        response: str,
        documents: Sequence[str],
        query: str | None,
        asked: Sequence[tuple[int, int]],
        passages: Sequence[_Passage],
    ) -> list[_Said]:
        material = {
            "question": query or "",
            "claims": [{"n": n, "text": response[a:b]} for n, (a, b) in enumerate(asked, 1)],
            "passages": [{"n": n, "text": documents[p.document][p.start : p.end]} for n, p in enumerate(passages, 1)],
        }

        def check(value: Any) -> list[_Said]:
            return checked(value, len(asked), len(passages))

        return self._judge.ask(Question(self.name, PROMPT_VERSION, _TASK, _FORM, _SCHEMA, material, check))

    def _result(self, risk: float | None, claims: tuple[Claim, ...], status: Status, reason: str) -> Groundedness:
        return Groundedness(risk, self.threshold, claims, self.name, self.version, status, reason)


def checked(value: Any, claims: int, passages: int) -> list[_Said]:
    """Return what was said of each claim, in order.

    Raises
    ------
    ValueError
        A claim is missing or doubled, or a value is out of its range; the message quotes no text.
    """
    entries = value.get("claims") if isinstance(value, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("'claims' must be a list of objects")
    numbers = [entry.get("n") for entry in entries]
    if any(type(number) is not int for number in numbers) or sorted(numbers) != list(range(1, claims + 1)):
        raise ValueError(f"'claims' must hold each of the numbers 1 to {claims} once")
    return [_entry(entry, passages) for entry in sorted(entries, key=lambda entry: int(entry["n"]))]


def _entry(entry: dict[str, Any], passages: int) -> _Said:
    n, verdict, support, passage = (entry.get(name) for name in ("n", "verdict", "support", "passage"))
    if verdict not in _VERDICTS:
        raise ValueError(f"claim {n}: 'verdict' must be one of {', '.join(_VERDICTS)}")
    if isinstance(support, bool) or not isinstance(support, int | float) or not 0 <= support <= 1:
        raise ValueError(f"claim {n}: 'support' must be a number from 0 to 1")
    if passage is not None and (type(passage) is not int or not 1 <= passage <= passages):
        raise ValueError(f"claim {n}: 'passage' must be null or a number from 1 to {passages}")
    if verdict != "not_a_claim" and (verdict == "supported") != (support > _EVEN):
        raise ValueError(f"claim {n}: 'support' is above 0.5 if and only if the verdict is supported")
    return _Said(verdict, float(support), passage)


def _claims(
    response: str,
    documents: Sequence[str],
    spans: Sequence[tuple[int, int]],
    said: dict[tuple[int, int], _Said],
    passages: Sequence[_Passage],
) -> tuple[Claim, ...]:
    claims = []
    for start, end in spans:
        found = said.get((start, end))
        if found is None or found.verdict == "not_a_claim":
            claims.append(Claim(start, end, response[start:end], None, "not_a_claim", None, None))
            continue
        passage = passages[found.passage - 1] if found.passage else None
        evidence = (
            Evidence(passage.start, passage.end, documents[passage.document][passage.start : passage.end])
            if passage
            else None
        )
        document = passage.document if passage else None
        claims.append(Claim(start, end, response[start:end], found.support, found.verdict, document, evidence))
    return tuple(claims)


def _passages(document: int, text: str) -> list[_Passage]:
    """Cut a document at ends of sentences into passages of up to 600 characters; a longer sentence stays whole."""
    found: list[_Passage] = []
    start: int | None = None
    end = 0
    for first, last in sentences(text):
        if start is not None and last - start > _PASSAGE_CHARS:
            found.append(_Passage(document, start, end))
            start = None
        start = first if start is None else start
        end = last
    if start is not None:
        found.append(_Passage(document, start, end))
    return found


def _opened(settings: Settings | None) -> Judge:
    from analysis.judge.start import open_judge
    from undertow.config import load_settings

    return open_judge(settings or load_settings().settings)
