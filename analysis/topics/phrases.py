"""Phrases of a message: runs of one to four words that could name a subject.

Articles and possessives are left out, punctuation is never crossed, neither edge is a function word, and a measure
stands at an edge only beside what it measures ("days of leave", not "weeks from Brazil").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
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


# A phrase as it stands in a message: its stems, how it reads, and whether it is whole, not cut off before a word that
# belongs to it.
Occurrence = tuple[tuple[str, ...], str, bool]


def clauses(text: str) -> list[list[Word]]:
    """Return the words of every clause of a message, fillers included."""
    return [[_word(word) for word in _WORD.findall(part)] for part in _CLAUSE_END.split(text.replace("’", "'"))]


def phrases(clause: Sequence[Word]) -> Iterator[Occurrence]:
    """Yield the phrases of a clause."""
    kept = [place for place, word in enumerate(clause) if not word.filler]
    words = [clause[place] for place in kept]
    for start, first in enumerate(words):
        if not first.begins:
            continue
        for end in range(start + 1, _limit(words, start) + 1):
            if _may_end(words, start, end):
                phrase, after = words[start:end], kept[end - 1] + 1
                whole = after == len(clause) or not _goes_on(phrase, clause[after])
                yield tuple([word.stem for word in phrase]), " ".join([word.shown for word in phrase]), whole


def terms(clause: Sequence[Word]) -> list[str]:
    """Return the words of a clause that may be subjects, and pairs of neighbours that could be phrases."""
    words = [word for word in clause if not word.filler]
    found = [word.folded for word in words if not word.function and len(word.folded) > 1]
    for place, (one, other) in enumerate(pairwise(words)):
        if one.begins and other.ends and one.folded != other.folded and _may_end(words, place, place + 2):
            found.append(f"{one.folded} {other.folded}")
    return found


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


def _may_end(words: Sequence[Word], start: int, end: int) -> bool:
    """Say whether ``words[start:end]`` may be a phrase as far as its last word and its measures go."""
    first, last, length = words[start], words[end - 1], end - start
    if not (last.ends if length > 1 else last.ends_alone):
        return False
    if length < SHORTEST_PHRASE:
        return len(first.folded) + (len(last.folded) if length > 1 else 0) >= SHORTEST_PHRASE
    if first.vague or last.vague:
        return not any(word.function and not word.partitive for word in words[start + 1 : end - 1])
    return True


def _goes_on(phrase: Sequence[Word], following: Word) -> bool:
    """Say whether a phrase is cut off before ``following``: before the object of a verb, or amid a complement."""
    return following.opener or (len(phrase) > 2 and phrase[-2].connective and following.carries)
