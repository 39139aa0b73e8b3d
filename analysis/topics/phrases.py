"""Phrases of a message: runs of one to four words that could name a subject.

Articles and possessives are left out, punctuation is never crossed, neither edge is a function word, and a measure
stands at an edge only beside what it measures ("days of leave", not "weeks from Brazil").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from analysis.topics.stopwords import CONNECTIVES, FILLERS, FUNCTION_WORDS, OPENERS, PARTICLES, PARTITIVES, VERBS

LONGEST_PHRASE = 4
SHORTEST_PHRASE = 3
WORDS_REMEMBERED = 1 << 15
# Measures of time and number: they may stand in a phrase, but alone they say nothing about a subject.
VAGUE = frozenset(
    "week weeks day days month months year years hour hours minute minutes time times today tomorrow yesterday "
    "tonight morning evening monday tuesday wednesday thursday friday saturday sunday number numbers name names "
    "new old good bad different first last next long much many right wrong thing case part lot yes".split()
)

# Apostrophes stay inside words, hyphens only after a single letter ("e-mail", but "top up" for "top-up").
_WORD = re.compile(r"(?:\b[^\W\d_]-)?[^\W\d_]+(?:'[^\W\d_]+)*")
_CLAUSE_END = re.compile(r"[.,;:!?()\n。，、；：！？（）…¿¡]+")


class Word(NamedTuple):
    """A word and what it may do in a phrase; ``carries`` says that it may itself be a subject."""

    folded: str
    stem: str
    shown: str
    filler: bool
    begins: bool
    ends: bool
    ends_alone: bool
    function: bool
    connective: bool
    partitive: bool
    vague: bool
    opener: bool
    carries: bool


class Occurrence(NamedTuple):
    """A phrase as it stands in a message; ``whole`` unless it is cut off before a word that belongs to it."""

    stems: tuple[str, ...]
    shown: str
    whole: bool


def clauses(text: str) -> list[list[Word]]:
    """Return the words of every clause of a message, fillers included."""
    return [[_word(word) for word in _WORD.findall(part)] for part in _CLAUSE_END.split(text.replace("’", "'"))]


def phrases(clause: Sequence[Word]) -> Iterator[Occurrence]:
    """Yield the phrases of a clause."""
    kept = [(word, place) for place, word in enumerate(clause) if not word.filler]
    words = [word for word, _ in kept]
    for start, first in enumerate(words):
        if not first.begins:
            continue
        for end in range(start + 1, _limit(words, start) + 1):
            phrase = words[start:end]
            if _may_end(phrase):
                after = kept[end - 1][1] + 1
                whole = after == len(clause) or not _goes_on(phrase, clause[after])
                yield Occurrence(tuple(w.stem for w in phrase), " ".join(w.shown for w in phrase), whole)


def terms(clause: Sequence[Word]) -> Iterator[str]:
    """Yield the words of a clause that may be subjects, and pairs of neighbours that could be phrases."""
    words = [word for word in clause if not word.filler]
    for word in words:
        if not word.function and len(word.folded) > 1:
            yield word.folded
    for pair in zip(words, words[1:], strict=False):
        if pair[0].begins and pair[0].folded != pair[1].folded and _may_end(pair):
            yield f"{pair[0].folded} {pair[1].folded}"


def stem(word: str) -> str:
    """Return a crude stem that joins plural and verb forms of Latin-script words; never for display."""
    word = word.casefold().removesuffix("'s")
    for suffix in ("ing", "ed", "es", "s"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3 and not word.endswith("ss"):
            word = word[: -len(suffix)]
            break
    if word.endswith("y") and len(word) > 3:
        word = word[:-1] + "i"
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


@lru_cache(maxsize=WORDS_REMEMBERED)
def _word(word: str) -> Word:
    folded = word.casefold()
    function, vague = folded in FUNCTION_WORDS, folded in VAGUE
    filler = folded in FILLERS
    return Word(
        folded=folded,
        stem=stem(word),
        # Words that are written in capitals keep them (PIN, IBAN).
        shown=word if len(word) > 1 and word.isupper() else word.lower(),
        filler=filler,
        begins=not function or folded in VERBS,
        ends=not function or folded in PARTICLES,
        ends_alone=not function,
        function=function,
        connective=folded in CONNECTIVES,
        partitive=folded in PARTITIVES,
        vague=vague,
        opener=folded in OPENERS,
        carries=not (function or filler or vague),
    )


def _limit(words: Sequence[Word], start: int) -> int:
    """Return the end of the longest phrase from ``start``: no word twice, one function word inside, a connective."""
    seen = {words[start].folded}
    inside = 0
    for end in range(start + 1, min(start + LONGEST_PHRASE, len(words))):
        if end > start + 1 and words[end - 1].function:
            inside += 1
            if inside > 1 or not words[end - 1].connective:
                return end
        if words[end].folded in seen:
            return end
        seen.add(words[end].folded)
    return min(start + LONGEST_PHRASE, len(words))


def _may_end(phrase: Sequence[Word]) -> bool:
    first, last = phrase[0], phrase[-1]
    if not (last.ends if len(phrase) > 1 else last.ends_alone):
        return False
    if (first.vague or last.vague) and any(word.function and not word.partitive for word in phrase[1:-1]):
        return False
    return sum(len(word.folded) for word in phrase) >= SHORTEST_PHRASE


def _goes_on(phrase: Sequence[Word], following: Word) -> bool:
    """Say whether a phrase is cut off before ``following``: before the object of a verb, or amid a complement."""
    return following.opener or (len(phrase) > 2 and phrase[-2].connective and following.carries)
