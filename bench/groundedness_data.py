"""Training examples of the encoder: annotated answers, and answers made from passages."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from groundedness_edits import Surroundings, change_fact, names_of, numbers_of, plain_words_of
from groundedness_rewording import keep_facts
from groundedness_wordnet import WordNet

from analysis.groundedness.features import FeatureReader, read_reference
from analysis.groundedness.kinds import is_claim
from analysis.groundedness.lexical import bundled_weights
from analysis.groundedness.tokens import STOPWORDS, claim_start
from analysis.groundedness.windows import WindowMaker, WordPieces
from undertow.text import sentences

Span = tuple[int, int]
SEED = 20261122
HELD_OUT = 0.25
WICE_HELD_OUT = 0.5
_SHORTEST, _LONGEST = 30, 280
_LOOKED_AT = 8000
_SAID_SHARE = 0.5
_TWIN_SHARE = 0.75
_FUSED_SHARE = 0.35
_JOINTS = (", while ", " and ", ", and ", "; ", ", but ")
_PRONOUN = re.compile(r"(?:He|She|It|They|His|Its|Their)\b")
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
        Word pieces; see `Window`.
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
    """The documents of one source and true sentences about them.

    Attributes
    ----------
    source, query, documents
        As of the answers.
    claims
        Sentences of the documents and supported ones of the answers.
    said
        Those of the answers alone, which are reworded and fused already; of the documents' where there are none.
    resolved
        Sentences whose pronoun was replaced by the name that the sentence before begins with: text, end of the name.
    """

    source: str
    query: str
    documents: tuple[str, ...]
    claims: tuple[str, ...]
    said: tuple[str, ...]
    resolved: tuple[tuple[str, int], ...]


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
        told = [text for text in dict.fromkeys(said) if _usable(text)]
        claims = list(dict.fromkeys((*told, *filter(_usable, read))))
        if claims:
            found.append(
                Material(
                    source, group[0].query, group[0].documents, tuple(claims), tuple(told or claims),
                    tuple(_resolved(read)),
                )
            )  # fmt: skip
    return found


def _usable(text: str) -> bool:
    return _SHORTEST <= len(text) <= _LONGEST and is_claim(text) and text[-1] in ".!"


def _resolved(read: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Put the name that a sentence begins with in place of the pronoun that the next one begins with."""
    for before, text in pairwise(read):
        pronoun = _PRONOUN.match(text)
        named = [name for name, (start, _) in names_of(f"So {before}") if start == 3]
        if pronoun and named and _usable(text):
            name = named[0] + ("'s" if pronoun.group() in ("His", "Her", "Its", "Their") else "")
            yield name + text[pronoun.end() :], len(name)


class AnswerWriter:
    """Makes answers from material: right ones reworded, wrong ones with one fact changed."""

    def __init__(self, material: Sequence[Material], rng: random.Random, words: WordNet) -> None:
        self.material, self.rng, self.words = material, rng, words

    def write(self) -> list[Answer]:
        """Return a made answer of one to three sentences, and most wrong ones beside the right one."""
        rng = self.rng
        chosen, other = rng.sample(self.material, 2)
        documents = list(chosen.documents)
        rng.shuffle(documents)
        around = self._surroundings(chosen, other)
        pool = chosen.said if rng.random() < _SAID_SHARE else chosen.claims
        claims = rng.sample(pool, min(len(pool), rng.choice((1, 1, 2, 2, 3))))
        sentences_, exchanges = [], []
        for claim in claims:
            sentence, wrong, exchange = self._sentence(claim, chosen, other, around)
            sentences_.append((sentence, wrong))
            exchanges += [exchange] if exchange else []
        for pattern, new in exchanges:
            literal = new.replace("\\", r"\\")
            documents = [pattern.sub(literal, document) for document in documents]
        query = chosen.query if rng.random() < 0.5 else ""
        written = [sentences_]
        if not exchanges and any(wrong for _, wrong in sentences_) and rng.random() < _TWIN_SHARE:
            written.append([(keep_facts(claim, around, rng)[0], None) for claim in claims])
        return [self._answer(chosen, query, documents, said) for said in written]

    def _surroundings(self, chosen: Material, other: Material) -> Surroundings:
        """Return what an edit may borrow from the documents, and from those of another source."""
        whole = " ".join(chosen.documents)[:_LOOKED_AT]
        foreign = " ".join(other.documents)[: _LOOKED_AT // 2]
        return Surroundings(
            [name for name, _ in names_of(whole)],
            numbers_of(whole),
            plain_words_of(whole),
            [name for name, _ in names_of(foreign)],
            self.words,
        )

    def _answer(
        self, chosen: Material, query: str, documents: Sequence[str], said: Sequence[tuple[str, Span | None]]
    ) -> Answer:
        """Join sentences, two of them sometimes into one."""
        text, spans = "", []
        fused = len(said) > 1 and self.rng.random() < _FUSED_SHARE
        for i, (sentence, wrong) in enumerate(said):
            if i == 1 and fused:
                text = text.rstrip(" .!") + self.rng.choice(_JOINTS)
            if wrong:
                spans.append((len(text) + wrong[0], len(text) + wrong[1]))
            begins_low = i == 1 and fused and sentence.split()[0].lower() in STOPWORDS
            text += (sentence[0].lower() + sentence[1:] if begins_low else sentence) + " "
        return Answer(chosen.source, query, tuple(documents), text.strip(), tuple(spans), bool(spans))

    def _sentence(
        self, claim: str, chosen: Material, other: Material, around: Surroundings
    ) -> tuple[str, Span | None, tuple[re.Pattern[str], str] | None]:
        """Return a sentence, where it is wrong, and what to exchange in the documents."""
        rng = self.rng
        draw = rng.random()
        mixed = self._mixed(draw, claim, chosen, other, around)
        if mixed:
            return (*mixed, None)
        edit = change_fact(claim, around, rng) if draw < 0.64 else None
        if edit is None:
            return (keep_facts(claim, around, rng)[0] if rng.random() < 0.85 else claim), None, None
        old = claim[edit.start : edit.end]
        exchange = re.compile(rf"(?<!\w){re.escape(old)}(?!\w)")
        shown = edit.both_ways and any(exchange.search(document) for document in chosen.documents)
        if shown and draw < 0.26:
            return edit.apply(claim)[0], None, (exchange, edit.new)
        if shown and draw < 0.36:
            return claim, (edit.start, edit.end), (exchange, edit.new)
        sentence, wrong = edit.apply(claim)
        if rng.random() < 0.6:
            sentence, wrong = keep_facts(sentence, around, rng, keep=wrong)
        return sentence, wrong, None

    def _mixed(
        self, draw: float, claim: str, chosen: Material, other: Material, around: Surroundings
    ) -> tuple[str, Span | None] | None:
        """Return a sentence made of several, or None where the draw or the material has none."""
        if draw < 0.03:
            stranger = self.rng.choice(other.claims)
            return stranger, (0, len(stranger))
        if draw < 0.12:
            return self._merge(claim, self.rng.choice((chosen if self.rng.random() < 0.7 else other).claims))
        if draw < 0.20 and chosen.resolved:
            return self._named(*self.rng.choice(chosen.resolved), around)
        return None

    def _named(self, text: str, end: int, around: Surroundings) -> tuple[str, Span | None]:
        """Leave the name that a pronoun stood for, or put another one of the documents there."""
        others = [name for name in around.names if name not in text[:end] and text[:end] not in name]
        if not others or self.rng.random() < 0.5:
            return text, None
        name = self.rng.choice(others) + ("'s" if text[:end].endswith("'s") else "")
        return name + text[end:], (0, len(name))

    def _merge(self, one: str, two: str) -> tuple[str, Span] | None:
        """Give the predicate of one sentence to the subject of another."""
        subject, predicate = _PREDICATE.search(one), _PREDICATE.search(two)
        if not subject or not predicate or one == two or one[: subject.start()] == two[: predicate.start()]:
            return None
        start = subject.start()
        return one[:start] + two[predicate.start() :], (start + 1, start + len(two) - predicate.start())
