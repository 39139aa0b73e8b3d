"""Names for topics: a readable phrase, keywords, and the messages at the centre.

A label is read in tables and sentences ("7 % of questions are about *lost or stolen card*"), so it is a phrase
that people really wrote, in their order of words, not a bag of stems. Candidates are runs of one to four words
from the topic's central messages, with articles and possessives left out, that neither begin nor end with a
function word. A candidate counts by how many central messages hold it (as stems, so that "card" and "cards"
are one), by how much commoner it is there than in other topics, and a little by its length. Keywords are the
best terms by c-TF-IDF (Grootendorst, 2022).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.topics.stopwords import CONNECTIVES, FILLERS, FUNCTION_WORDS, PARTICLES

CENTRAL_MESSAGES = 150
LONGEST_PHRASE = 4
KEYWORDS = 8
EXEMPLARS = 3
# A single word names a topic only if there is nothing to add to it; a phrase says more.
GOOD_COVERAGE = {2: 0.25, 3: 0.2, 4: 0.2}
PAIR_COVERAGE = 0.1
LONGER_KEEPS = {1: 0.35, 2: 0.6, 3: 0.8}
# A lone word gives way to a phrase around it that this part of its messages hold.
PHRASE_KEEPS = 0.15
LENGTH_BONUS = {1: 0.45, 2: 1.0, 3: 1.1, 4: 1.1}
# Measures of time and number: they may stand in a phrase, but alone they say nothing about a subject.
VAGUE = frozenset(
    "week weeks day days month months year years hour hours minute minutes time times today tomorrow yesterday "
    "tonight morning evening monday tuesday wednesday thursday friday saturday sunday number numbers name names "
    "new old good bad different first last next long much many right wrong thing case part lot yes".split()
)
# Joins two independent finds in one label; reads well in a sentence and in a table.
JOINT = ", "

# Apostrophes stay inside words, hyphens only after a single letter ("e-mail", but "top up" for "top-up").
_WORD = re.compile(r"(?:\b[^\W\d_]-)?[^\W\d_]+(?:'[^\W\d_]+)*")


@dataclass(frozen=True)
class TopicName:
    """The words for one topic: a label and keywords, most telling first."""

    label: str
    keywords: tuple[str, ...]


@dataclass(frozen=True)
class _Phrase:
    stems: tuple[str, ...]
    shown: str
    coverage: float
    value: float


def name_topics(messages: Sequence[Sequence[str]]) -> list[TopicName]:
    """Name every topic from its messages.

    Parameters
    ----------
    messages
        For each topic its distinct texts, most central first.

    Returns
    -------
    list of TopicName
        In the order given; labels are unique, and never empty.
    """
    central = [list(texts[:CENTRAL_MESSAGES]) for texts in messages]
    counted = [_count_phrases(texts) for texts in central]
    spread: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for counts, texts in zip(counted, central, strict=True):
        for stems, forms in counts.items():
            spread[stems] += sum(forms.values()) / max(len(texts), 1)
    taken: set[str] = set()
    names = []
    keywords = _keywords(central)
    for counts, texts, words in zip(counted, central, keywords, strict=True):
        ranked = _rank(counts, len(texts), spread, len(central))
        label = _unique(_candidates(ranked, texts), taken)
        taken.add(label.casefold())
        names.append(TopicName(label, words))
    return names


def _tokens(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.replace("’", "'")) if word.casefold() not in FILLERS]


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


def _count_phrases(texts: Sequence[str]) -> dict[tuple[str, ...], Counter[str]]:
    """Return, by stems, the surface forms of every phrase and in how many texts each occurs."""
    counts: dict[tuple[str, ...], Counter[str]] = {}
    for text in texts:
        words = _tokens(text)
        stems = [stem(word) for word in words]
        seen: dict[tuple[str, ...], str] = {}
        for start in range(len(words)):
            for end in range(start + 1, min(start + LONGEST_PHRASE, len(words)) + 1):
                if _is_phrase(words[start:end]):
                    seen.setdefault(tuple(stems[start:end]), _surface(words[start:end]))
        for key, shown in seen.items():
            counts.setdefault(key, Counter())[shown] += 1
    return counts


def _is_phrase(words: Sequence[str]) -> bool:
    folded = [word.casefold() for word in words]
    ends_well = folded[-1] not in FUNCTION_WORDS or (len(folded) > 1 and folded[-1] in PARTICLES)
    if folded[0] in FUNCTION_WORDS or not ends_well or len(set(folded)) < len(folded):
        return False
    inside = [word for word in folded[1:-1] if word in FUNCTION_WORDS]
    return len(inside) <= 1 and CONNECTIVES.issuperset(inside) and len("".join(folded)) > 2


def _surface(words: Sequence[str]) -> str:
    """Return the phrase in lower case, except for words that are written in capitals (PIN, IBAN)."""
    return " ".join(word if len(word) > 1 and word.isupper() else word.lower() for word in words)


def _rank(
    counts: dict[tuple[str, ...], Counter[str]],
    n_texts: int,
    spread: Mapping[tuple[str, ...], float],
    n_topics: int,
) -> list[_Phrase]:
    phrases = []
    for stems, forms in counts.items():
        total = sum(forms.values())
        if total < min(2, n_texts):
            continue
        coverage = total / n_texts
        elsewhere = (spread[stems] - coverage) / max(n_topics - 1, 1)
        lift = np.log1p(coverage / (elsewhere + 0.02))
        value = float(np.sqrt(coverage) * lift * LENGTH_BONUS[len(stems)])
        phrases.append(_Phrase(stems, forms.most_common(1)[0][0], coverage, value))
    # Ties by text keep the order the same from run to run.
    return sorted(phrases, key=lambda phrase: (-phrase.value, phrase.shown))


def _candidates(ranked: Sequence[_Phrase], texts: Sequence[str]) -> list[str]:
    """Return labels from best to last resort."""
    if not ranked:
        return [_shortened(texts[0]) if texts else "unnamed topic"]
    telling = [phrase for phrase in ranked if not _is_vague(phrase)] or list(ranked)
    best = _longest_equal(telling)
    others = [p for p in telling if not set(p.stems) & set(best.stems) and p.coverage >= PAIR_COVERAGE]
    pairs = [best.shown + JOINT + other.shown for other in others[:5]]
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


def _keywords(messages: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the eight best words and word pairs of every topic by c-TF-IDF, words inside pairs left out."""
    from sklearn.feature_extraction.text import CountVectorizer

    documents = [text for texts in messages for text in texts]
    owner = np.repeat(np.arange(len(messages)), [len(texts) for texts in messages])
    vectorizer = CountVectorizer(analyzer=_terms)
    try:
        counts = vectorizer.fit_transform(documents)
    except ValueError:  # no text holds a word
        return [() for _ in messages]
    from scipy.sparse import csr_matrix

    member = csr_matrix((np.ones(len(owner)), (owner, np.arange(len(owner)))), shape=(len(messages), len(owner)))
    table = (member @ counts).toarray().astype(np.float64)
    frequency = table / np.maximum(table.sum(axis=1, keepdims=True), 1.0)
    weight = np.log1p(table.sum() / max(len(messages), 1) / np.maximum(table.sum(axis=0), 1.0))
    terms = vectorizer.get_feature_names_out()
    return [_best_terms(row, terms) for row in frequency * weight]


def _terms(text: str) -> list[str]:
    words = [word.casefold() for word in _tokens(text)]
    singles = [word for word in words if word not in FUNCTION_WORDS and len(word) > 1]
    pairs = [f"{a} {b}" for a, b in zip(words, words[1:], strict=False) if _is_phrase([a, b])]
    return singles + pairs


def _best_terms(values: np.ndarray, terms: np.ndarray) -> tuple[str, ...]:
    chosen: list[str] = []
    for column in np.argsort(-values, kind="stable")[: 4 * KEYWORDS]:
        term = str(terms[column])
        stems = {stem(word) for word in term.split()}
        if values[column] <= 0 or len(chosen) == KEYWORDS:
            break
        if not any(stems <= {stem(word) for word in other.split()} for other in chosen):
            chosen = [other for other in chosen if not {stem(w) for w in other.split()} < stems] + [term]
    return tuple(chosen)
