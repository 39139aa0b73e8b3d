"""Short answers with planted inventions, made from passages, as additional training data.

The annotated answers that the lexical scorer learns from run to about 130 words; assistants often answer in one
to four sentences. Here sentences are taken out of passages (grounded), and then a number is exchanged, a sentence
with an invented figure or name is added, or a sentence of another source slips in (ungrounded).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.groundedness.tokens import NAME, STOPWORDS, tokenize
from undertow.text import sentences

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_OPENINGS = (
    "",
    "",
    "",
    "Yes. ",
    "According to the documents, ",
    "You should know that ",
    "In short, ",
    "Please note: ",
)
_SHORTEST, _LONGEST = 30, 260
_INVENTIONS = (
    "A fee of ${n} applies.",
    "This usually takes {n} days.",
    "The limit is {n} per month.",
    "It costs about ${n} a year.",
    "You have to apply within {n} days.",
    "A discount of {n} percent is offered to students.",
    "The offer ends in {n} weeks.",
    "Call {name} for an appointment.",
    "It was first introduced by {name} in {year}.",
    "The minimum age is {n}.",
    "{name} offers the same for ${n}.",
    "Members of {name} pay nothing.",
    "The service opens at {n}:30.",
    "At least {n} people have to sign.",
    "It is also available in {name}.",
    "Since {year} the rate has been {n} percent.",
    "An additional charge of ${n}.50 is added to the first bill.",
    "Only {name} may approve this.",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One answer with its documents.

    Attributes
    ----------
    group
        Source; rows of one group never stand on both sides of a split.
    spans
        Offsets of what the documents do not support.
    made
        How it was made; empty where people annotated it.
    """

    group: str
    query: str
    documents: tuple[str, ...]
    response: str
    spans: tuple[tuple[int, int], ...]
    made: str = ""


def make_short_answers(rows: Sequence[Row], rng: random.Random) -> list[Row]:
    """Return two grounded and two ungrounded short answers for each source."""
    sources = list({row.group: row for row in rows}.values())
    common = _common_words(rows)
    made = []
    for row in sources:
        stranger = rng.choice(sources)
        for corrupt in (False, False, True, True):
            other = stranger if corrupt and stranger.group != row.group else None
            answer = _answer(row, other, common, rng, corrupt=corrupt)
            if answer is not None:
                made.append(answer)
    return made


def _sentences_of(row: Row) -> list[str]:
    texts = [text[start:end] for text in row.documents for start, end in sentences(text)]
    return [text for text in texts if _SHORTEST <= len(text) <= _LONGEST and text[-1] in ".!"]


def _answer(row: Row, stranger: Row | None, common: Sequence[str], rng: random.Random, *, corrupt: bool) -> Row | None:
    pool = _sentences_of(row)
    if not pool:
        return None
    count = min(len(pool), rng.choice((1, 1, 2, 2, 3)))
    chosen = [(_reword(text, common, rng), False) for text in rng.sample(pool, count)]
    if corrupt:
        _invent(chosen, row, stranger, rng)
    text, spans = rng.choice(_OPENINGS), []
    for sentence, invented in chosen:
        if invented:
            spans.append((len(text), len(text) + len(sentence)))
        text += sentence + " "
    return Row(row.group, row.query, row.documents, text.strip(), tuple(spans), made="short")


def _invent(chosen: list[tuple[str, bool]], row: Row, stranger: Row | None, rng: random.Random) -> None:
    """Put one invention into the chosen sentences, in place."""
    numbered = [i for i, (text, _) in enumerate(chosen) if _NUMBER.search(text)]
    if numbered and rng.random() < 2 / 3:
        at = rng.choice(numbered)
        chosen[at] = (_other_number(chosen[at][0], " ".join(row.documents), rng), True)
        return
    foreign = _sentences_of(stranger) if stranger else []
    if foreign and rng.random() < 1 / 3:
        extra = rng.choice(foreign)
    else:
        extra = _invention(stranger or row, " ".join(row.documents), rng)
    chosen.insert(rng.randint(0, len(chosen)), (extra, True))
    if rng.random() < 1 / 3:
        chosen[:] = [(extra, True)]


def _invention(stranger: Row, known: str, rng: random.Random) -> str:
    names = [
        text[start:end]
        for text in stranger.documents
        for tokens in (tokenize(text),)
        for start, end, kind in zip(tokens.start, tokens.end, tokens.kind, strict=True)
        if kind == NAME and text[start:end] not in known
    ]
    name = rng.choice(names or ["Wetherby"])
    number = _unknown_number(rng.randint(2, 99), known, rng)
    return rng.choice(_INVENTIONS).format(n=number, name=name, year=rng.randint(1950, 2020))


def _unknown_number(near: int, known: str, rng: random.Random) -> int:
    for _ in range(50):
        number = max(2, round(near * rng.choice((0.4, 0.6, 0.8, 1.3, 1.6, 2, 3)) + rng.randint(-2, 3)))
        if not re.search(rf"\b{number}\b", known):
            return number
    return near * 7 + 1013


def _other_number(text: str, known: str, rng: random.Random) -> str:
    match = rng.choice(list(_NUMBER.finditer(text)))
    number = _unknown_number(int(re.sub(r"\D", "", match.group())[:6] or 0), known, rng)
    return text[: match.start()] + str(number) + text[match.end() :]


def _reword(text: str, common: Sequence[str], rng: random.Random) -> str:
    """Drop some function words and exchange some content words for common ones, as a paraphrase would.

    Names and numbers stay: a strange common word is no invention, a strange name or number is.
    """
    if rng.random() < 1 / 3:
        return text
    lost, exchanged = rng.choice(((1 / 5, 0), (1 / 5, 1 / 10), (1 / 4, 1 / 5)))
    words = []
    for word in text.split(" "):
        lower = word.lower()
        if lower in STOPWORDS and lower not in _KEPT and rng.random() < lost:
            continue
        plain = word.isalpha() and word.islower() and lower not in STOPWORDS
        words.append(rng.choice(common) if plain and rng.random() < exchanged else word)
    return " ".join(words)


def _common_words(rows: Sequence[Row]) -> list[str]:
    """Return the commonest content words of all passages."""
    counts = Counter(
        word
        for text in dict.fromkeys(text for row in rows for text in row.documents)
        for word in re.findall(r"\b[a-z]{3,}\b", text)
    )
    return [word for word, _ in counts.most_common(_VOCABULARY) if word not in STOPWORDS]


_KEPT = frozenset("no not never without nor neither".split())
_VOCABULARY = 800
