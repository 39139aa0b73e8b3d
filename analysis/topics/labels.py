"""Names for topics: a readable phrase, keywords, and the messages at the centre.

A label is read in tables and sentences ("7 % of questions are about *lost or stolen card*"), so it is a phrase
that people really wrote, in their order of words, not a bag of stems. Candidates are runs of one to four words
from the topic's central messages, with articles and possessives left out, that neither begin nor end with a
function word, do not cross punctuation, and have no measure at an edge ("weeks from Brazil", yet "days of leave").
A candidate counts by how many central messages hold it (as stems, so that "card" and "cards" are one), by how much
commoner it is there than in other topics, a little by its length and by what its words are worth alone, and less
where it is cut off ("interest on personal | loan", "bank support | a degree"). Keywords are the best terms by
c-TF-IDF (Grootendorst, 2022).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from math import log1p, sqrt
from typing import NamedTuple

import numpy as np

from analysis.topics.phrases import VAGUE, WORDS_REMEMBERED, clauses, phrases, stem, terms

CENTRAL_MESSAGES = 150
KEYWORDS = 8
EXEMPLARS = 3
# A single word names a topic only if there is nothing to add to it; a phrase says more.
GOOD_COVERAGE = {2: 0.25, 3: 0.2, 4: 0.2}
PAIR_COVERAGE = 0.1
LONGER_KEEPS = {1: 0.35, 2: 0.6, 3: 0.8}
# A lone word gives way to a phrase around it that this part of its messages hold.
PHRASE_KEEPS = 0.15
LENGTH_BONUS = {1: 0.45, 2: 1.0, 3: 1.1, 4: 1.1}
# What is left of the value of a phrase that is cut off wherever it occurs.
WHOLE_FLOOR = 0.5
# How much the mean value of its words adds to a phrase.
WORDS_COUNT = 0.5
# Joins two independent finds in one label; reads well in a sentence and in a table.
JOINT = ", "

# Short messages are read once for all levels; longer ones would fill the memory.
LONGEST_REMEMBERED = 200
MOST_REMEMBERED = 20_000


class Reading(NamedTuple):
    """A message as labels need it: by stems how a phrase reads and whether it is whole, and the terms."""

    phrases: dict[tuple[str, ...], tuple[str, bool]]
    terms: list[str]


class Reader:
    """Reads messages; topics, themes and sub-topics of one fit share one, for they share most central messages."""

    def __init__(self) -> None:
        self._known: dict[str, Reading] = {}

    def __call__(self, text: str) -> Reading:
        """Return the phrases and terms of a message; of several equal phrases the first counts."""
        reading = self._known.get(text)
        if reading is None:
            seen: dict[tuple[str, ...], tuple[str, bool]] = {}
            found = clauses(text)
            for clause in found:
                for stems, shown, whole in phrases(clause):
                    if stems not in seen:
                        seen[stems] = (shown, whole)
            reading = Reading(seen, [term for clause in found for term in terms(clause)])
            if len(text) <= LONGEST_REMEMBERED and len(self._known) < MOST_REMEMBERED:
                self._known[text] = reading
        return reading


@dataclass(frozen=True)
class TopicName:
    """The words for one topic: a label and keywords, most telling first."""

    label: str
    keywords: tuple[str, ...]


@dataclass
class _Found:
    """How a phrase occurs in the messages of a topic: its surface forms, and in how many messages it stands whole."""

    forms: Counter[str] = field(default_factory=Counter)
    whole: int = 0


@dataclass(frozen=True)
class _Phrase:
    stems: tuple[str, ...]
    shown: str
    coverage: float
    value: float


def name_topics(messages: Sequence[Sequence[str]], reader: Reader | None = None) -> list[TopicName]:
    """Name every topic from its messages.

    Parameters
    ----------
    messages
        For each topic its distinct texts, most central first.
    reader
        What reads them, where several levels share messages.

    Returns
    -------
    list of TopicName
        In the order given; labels are unique, and never empty.
    """
    central = [list(texts[:CENTRAL_MESSAGES]) for texts in messages]
    reader = reader or Reader()
    counted, used = [], []
    for texts in central:
        read = [reader(text) for text in texts]
        counted.append(_count_phrases([reading.phrases for reading in read]))
        used.append(Counter(chain.from_iterable(reading.terms for reading in read)))
    spread: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for (counts, _), texts in zip(counted, central, strict=True):
        for stems, number in counts.items():
            spread[stems] += number / max(len(texts), 1)
    taken: set[str] = set()
    names = []
    keywords = _keywords(used)
    for (counts, found), texts, words in zip(counted, central, keywords, strict=True):
        ranked = _rank(counts, found, len(texts), spread, len(central))
        label = _unique(_candidates(ranked, texts), taken)
        taken.add(label.casefold())
        names.append(TopicName(label, words))
    return names


def _count_phrases(
    read: Sequence[Mapping[tuple[str, ...], tuple[str, bool]]],
) -> tuple[Counter[tuple[str, ...]], dict[tuple[str, ...], _Found]]:
    """Return, by stems, in how many texts a phrase occurs, and how it does where that is often enough for a name."""
    counts = Counter(chain.from_iterable(read))
    least = min(2, len(read))
    found = {stems: _Found() for stems, number in counts.items() if number >= least}
    for occurrences in read:
        for stems, (shown, whole) in occurrences.items():
            if stems in found:
                found[stems].forms[shown] += 1
                found[stems].whole += whole
    return counts, found


def _rank(
    counts: Mapping[tuple[str, ...], int],
    found: Mapping[tuple[str, ...], _Found],
    n_texts: int,
    spread: Mapping[tuple[str, ...], float],
    n_topics: int,
) -> list[_Phrase]:
    ranked = []
    for stems, occurs in found.items():
        coverage = counts[stems] / n_texts
        elsewhere = (spread[stems] - coverage) / max(n_topics - 1, 1)
        lift = log1p(coverage / (elsewhere + 0.02))
        whole = WHOLE_FLOOR + (1 - WHOLE_FLOOR) * occurs.whole / counts[stems] if len(stems) > 1 else 1.0
        value = sqrt(coverage) * lift * LENGTH_BONUS[len(stems)] * whole
        ranked.append(_Phrase(stems, occurs.forms.most_common(1)[0][0], coverage, value))
    # Ties by text keep the order the same from run to run.
    return sorted(_with_words(ranked), key=lambda phrase: (-phrase.value, phrase.shown))


def _with_words(phrases: Sequence[_Phrase]) -> list[_Phrase]:
    """Return the phrases with half of the mean value of their words added: a rare one needs telling words."""
    alone = {phrase.stems[0]: phrase.value for phrase in phrases if len(phrase.stems) == 1}
    return [
        replace(
            phrase, value=phrase.value + WORDS_COUNT * sum(alone.get(s, 0.0) for s in phrase.stems) / len(phrase.stems)
        )
        for phrase in phrases
    ]


def _candidates(ranked: Sequence[_Phrase], texts: Sequence[str]) -> list[str]:
    """Return labels from best to last resort."""
    if not ranked:
        return [_shortened(texts[0]) if texts else "unnamed topic"]
    telling = [phrase for phrase in ranked if not _is_vague(phrase)] or list(ranked)
    best = _longest_equal(telling)
    others = [p for p in telling if not set(p.stems) & set(best.stems) and p.coverage >= PAIR_COVERAGE]
    whole = (_longest_equal(others[place:]) for place in range(min(len(others), 5)))
    pairs = [best.shown + JOINT + other.shown for other in dict.fromkeys(whole)]
    if len(best.stems) > 1 and best.coverage >= GOOD_COVERAGE[len(best.stems)]:
        return [best.shown, *pairs]
    return [*pairs, best.shown]


def _is_vague(phrase: _Phrase) -> bool:
    return all(word.casefold() in VAGUE for word in phrase.shown.split())


def _longest_equal(ranked: Sequence[_Phrase]) -> _Phrase:
    """Return the best phrase, or a longer one around it that a good part of its messages hold."""
    best = ranked[0]
    for other in ranked[1:]:
        longer = len(other.stems) > len(best.stems) and set(best.stems) < set(other.stems)
        if longer and other.coverage >= LONGER_KEEPS[len(best.stems)] * best.coverage:
            best = other
    if len(best.stems) > 1:
        return best
    around = (p for p in ranked if len(p.stems) > 1 and best.stems[0] in p.stems)
    return next((p for p in around if p.coverage >= PHRASE_KEEPS * best.coverage), best)


def _shortened(text: str, limit: int = 40) -> str:
    """Return a message cut at a word, for topics whose script has no separable words."""
    line = " ".join(text.split())
    if not line:
        return "empty messages"
    if len(line) <= limit:
        return line
    head = line[:limit]
    return (head.rsplit(" ", 1)[0] if " " in head else head) + "…"


def _unique(candidates: Sequence[str], taken: set[str]) -> str:
    for label in candidates:
        if label.casefold() not in taken:
            return label
    number = 2
    while f"{candidates[0]} ({number})".casefold() in taken:
        number += 1
    return f"{candidates[0]} ({number})"


def _keywords(counts: Sequence[Counter[str]]) -> list[tuple[str, ...]]:
    """Return the eight best words and word pairs of every topic by c-TF-IDF, words inside pairs left out."""
    # As objects: among fixed widths one message of a hundred thousand letters would make every term as wide.
    every = np.array(sorted(set().union(*counts)), dtype=object)
    if not len(every):
        return [() for _ in counts]
    column = {term: place for place, term in enumerate(every.tolist())}
    table = np.zeros((len(counts), len(every)))
    for row, found in zip(table, counts, strict=True):
        row[[column[term] for term in found]] = list(found.values())
    frequency = table / np.maximum(table.sum(axis=1, keepdims=True), 1.0)
    weight = np.log1p(table.sum() / max(len(counts), 1) / np.maximum(table.sum(axis=0), 1.0))
    return [_best_terms(row, every) for row in frequency * weight]


def _best_terms(values: np.ndarray, terms: np.ndarray) -> tuple[str, ...]:
    chosen: list[str] = []
    for column in np.argsort(-values, kind="stable")[: 4 * KEYWORDS]:
        term = str(terms[column])
        stems = _stems(term)
        if values[column] <= 0 or len(chosen) == KEYWORDS:
            break
        if not any(stems <= _stems(other) for other in chosen):
            chosen = [other for other in chosen if not _stems(other) < stems] + [term]
    return tuple(chosen)


@lru_cache(maxsize=WORDS_REMEMBERED)
def _stems(term: str) -> frozenset[str]:
    return frozenset(stem(word) for word in term.split())
