"""Training examples of the encoder: annotated answers, and answers made from passages."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from groundedness_edits import Surroundings, change_fact, names_of, numbers_of
from groundedness_rewording import keep_facts
from groundedness_wordnet import WordNet

from analysis.groundedness.features import FeatureReader, read_reference
from analysis.groundedness.kinds import is_claim
from analysis.groundedness.lexical import bundled_weights
from analysis.groundedness.tokens import claim_start
from analysis.groundedness.windows import WindowMaker, WordPieces
from undertow.text import sentences

Span = tuple[int, int]
SEED = 20261122
HELD_OUT = 0.25
WICE_HELD_OUT = 0.5
_SHORTEST, _LONGEST = 30, 280
_LOOKED_AT = 8000
_PREDICATE = re.compile(r" (?:is|are|was|were|has|have|had|will|can|must|should|may)\b ")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response with its documents.

    Attributes
    ----------
    source
        Rows of one source never stand on both sides of a split.
    spans
        Offsets of what the documents do not support.
    label
        Whether anything is unsupported.
    located
        Whether `spans` says where; without it only the whole response is labelled.
    """

    source: str
    query: str
    documents: tuple[str, ...]
    response: str
    spans: tuple[Span, ...]
    label: bool
    located: bool = True


@dataclass(frozen=True, slots=True)
class Example:
    """One window with its labels.

    Attributes
    ----------
    ids, types
        Word pieces; 1 marks those of the response.
    at, sentence
        Positions of the response's word pieces and the sentence of each, counted from 0.
    token_labels
        One for each of `at`; empty where it is not known which words are wrong.
    sentence_labels
        One for each sentence.
    """

    ids: tuple[int, ...]
    types: tuple[int, ...]
    at: tuple[int, ...]
    sentence: tuple[int, ...]
    token_labels: tuple[int, ...]
    sentence_labels: tuple[int, ...]


def read_answers(path: Path) -> list[Answer]:
    """Read a file of annotated answers."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        Answer(
            str(r["source_id"]), r["query"], tuple(r["context"]), r["response"], tuple(map(tuple, r["spans"])),
            bool(r["label"]), bool(r["spans"]) or not r["label"],
        )
        for r in rows
    ]  # fmt: skip


def held_sources(sources: Collection[str], share: float) -> set[str]:
    """Return the sources that are never trained on."""
    drawn = sorted(sources)
    random.Random(SEED).shuffle(drawn)
    return set(drawn[: round(share * len(drawn))])


def split(answers: Sequence[Answer], share: float) -> tuple[list[Answer], list[Answer]]:
    """Return what is trained on and what is held out, by source."""
    held = held_sources({answer.source for answer in answers}, share)
    return [a for a in answers if a.source not in held], [a for a in answers if a.source in held]


class ExampleMaker:
    """Turns answers into labelled windows."""

    def __init__(self) -> None:
        self.pieces = WordPieces()
        self._weight = FeatureReader(bundled_weights().rarity).weight

    def __call__(self, answer: Answer, evidence_tokens: int) -> Iterator[Example]:
        """Yield the windows of one answer."""
        documents = answer.documents
        reference = read_reference(documents, [sentences(text) for text in documents], answer.query)
        spans = [
            (claim_start(answer.response, *span), span[1])
            if is_claim(answer.response[claim_start(answer.response, *span) : span[1]])
            else None
            for span in sentences(answer.response)
        ]
        windows = WindowMaker(self.pieces, self._weight, evidence_tokens)(
            answer.response, spans, documents, reference, answer.query
        )
        if not answer.located and (len(windows) != 1 or len(set(windows[0].sentence)) != 1):
            return
        for window in windows:
            order = {index: i for i, index in enumerate(dict.fromkeys(window.sentence))}
            tokens = tuple(int(_touches(span, answer.spans)) for span in window.spans)
            wrong = [False] * len(order)
            for token, index in zip(tokens, window.sentence, strict=True):
                wrong[order[index]] |= bool(token)
            labels = tuple(map(int, wrong)) if answer.located else (int(answer.label),)
            yield Example(
                window.ids, window.types, window.at, tuple(order[i] for i in window.sentence),
                tokens if answer.located else (), labels,
            )  # fmt: skip


def _touches(span: Span, spans: Sequence[Span]) -> bool:
    return any(min(b, span[1]) > max(a, span[0]) for a, b in spans)


@dataclass(frozen=True)
class Material:
    """The documents of one source and true sentences about them."""

    source: str
    query: str
    documents: tuple[str, ...]
    claims: tuple[str, ...]


def gather(answers: Sequence[Answer]) -> list[Material]:
    """Collect, per source, its documents' sentences and the answers' supported ones."""
    by_source: dict[str, list[Answer]] = {}
    for answer in answers:
        by_source.setdefault(answer.source, []).append(answer)
    found = []
    for source, group in by_source.items():
        said = [
            a.response[claim_start(a.response, *span) : span[1]]
            for a in group
            if a.located
            for span in sentences(a.response)
            if not _touches(span, a.spans)
        ]
        read = [text[i:j] for text in group[0].documents for i, j in sentences(text)]
        # Documents that run to hundreds of sentences would crowd out the others.
        read = read[:40]
        claims = [
            text
            for text in dict.fromkeys((*said, *read))
            if _SHORTEST <= len(text) <= _LONGEST and is_claim(text) and text[-1] in ".!"
        ]
        if claims:
            found.append(Material(source, group[0].query, group[0].documents, tuple(claims)))
    return found


class AnswerWriter:
    """Makes answers from material: right ones reworded, wrong ones with one fact changed."""

    def __init__(self, material: Sequence[Material], rng: random.Random, words: WordNet) -> None:
        self.material, self.rng, self.words = material, rng, words

    def write(self) -> Answer:
        """Return one made answer of one to three sentences."""
        rng = self.rng
        chosen, other = rng.sample(self.material, 2)
        documents = list(chosen.documents)
        rng.shuffle(documents)
        whole = " ".join(documents)
        foreign = " ".join(other.documents)[: _LOOKED_AT // 2]
        around = Surroundings(
            [name for name, _ in names_of(whole[:_LOOKED_AT])],
            numbers_of(whole[:_LOOKED_AT]),
            [name for name, _ in names_of(foreign)],
            self.words,
        )
        count = min(len(chosen.claims), rng.choice((1, 1, 2, 2, 3)))
        text, spans = "", []
        for claim in rng.sample(chosen.claims, count):
            sentence, wrong, exchange = self._sentence(claim, chosen, other, around)
            if exchange:
                documents = [exchange[0].sub(lambda _, new=exchange[1]: new, document) for document in documents]
            if wrong:
                spans.append((len(text) + wrong[0], len(text) + wrong[1]))
            text += sentence + " "
        query = chosen.query if rng.random() < 0.5 else ""
        return Answer(chosen.source, query, tuple(documents), text.strip(), tuple(spans), bool(spans))

    def _sentence(
        self, claim: str, chosen: Material, other: Material, around: Surroundings
    ) -> tuple[str, Span | None, tuple[re.Pattern[str], str] | None]:
        """Return a sentence, where it is wrong, and what to exchange in the documents."""
        rng = self.rng
        draw = rng.random()
        if draw < 0.05:
            stranger = rng.choice(other.claims)
            return stranger, (0, len(stranger)), None
        if draw < 0.12:
            merged = self._merge(claim, rng.choice(rng.choice((chosen, other)).claims))
            if merged:
                return merged[0], merged[1], None
        edit = change_fact(claim, around, rng) if draw < 0.64 else None
        if edit is None:
            return (keep_facts(claim, around, rng)[0] if rng.random() < 0.85 else claim), None, None
        old = claim[edit.start : edit.end]
        exchange = re.compile(rf"(?<!\w){re.escape(old)}(?!\w)")
        shown = edit.both_ways and any(exchange.search(document) for document in chosen.documents)
        if shown and draw < 0.23:
            return edit.apply(claim)[0], None, (exchange, edit.new)
        if shown and draw < 0.34:
            return claim, (edit.start, edit.end), (exchange, edit.new)
        sentence, wrong = edit.apply(claim)
        if rng.random() < 0.5:
            sentence, wrong = keep_facts(sentence, around, rng, keep=wrong)
        return sentence, wrong, None

    def _merge(self, one: str, two: str) -> tuple[str, Span] | None:
        """Give the predicate of one sentence to the subject of another."""
        subject, predicate = _PREDICATE.search(one), _PREDICATE.search(two)
        if not subject or not predicate or one == two or one[: subject.start()] == two[: predicate.start()]:
            return None
        start = subject.start()
        return one[:start] + two[predicate.start() :], (start + 1, start + len(two) - predicate.start())
