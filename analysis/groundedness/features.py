"""What a sentence says that its documents do not: the features of the lexical scorer."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.groundedness.agreement import AGREEMENT_FEATURES, NEGATION, Places, PlacesMaker, agreement
from analysis.groundedness.tokens import NAME, NUMBER, Tokens, tokenize

Floats = NDArray[np.float64]
Span = tuple[int, int]

SENTENCE_FEATURES = (
    # new words
    "new_word_weight", "new_word_share", "new_word_count", "rarest_new_word", "new_stem_share",
    # numbers and names
    "new_numbers", "has_number", "new_names", "evidence_new_numbers", "evidence_new_names", "unpaired_numbers",
    # new sequences
    "new_pairs", "new_triples", "longest_new_run", "copied_run",
    # distance to the closest passage
    "document_gap", "evidence_gap", "window_gap", "evidence_negation",
    # length, position and manner
    "content_words", "query_share", "position", "first", "last", "sentences", "list_item", "hedge", "closing", "meta",
    # the documents that it names as its source
    "cited", "cited_gap", "miscited",
    *AGREEMENT_FEATURES,
)  # fmt: skip

_PLACE_AND_MANNER = frozenset(
    (
        "query_share",
        "position",
        "first",
        "last",
        "sentences",
        "list_item",
        "hedge",
        "closing",
        "meta",
        "cited",
        "cited_gap",
        "miscited",
    )
)
EXCHANGE_FEATURES = tuple(name for name in SENTENCE_FEATURES if name not in _PLACE_AND_MANNER)
"""Those that compare words alone: made answers with an exchanged fact are short, and would teach the rest wrongly."""
EXCHANGE_AT = [SENTENCE_FEATURES.index(name) for name in EXCHANGE_FEATURES]

_HEDGE = re.compile(
    r"\b(?:may|might|could|usually|typically|generally|often|commonly|likely|probably|always|never|ensure"
    r"|important|essential|recommended?|consult|remember|note|additionally|furthermore|moreover)\b",
    re.IGNORECASE,
)
_CLOSING = re.compile(r"^\W*(?:overall|in (?:conclusion|summary|general)|to summari[sz]e|therefore|thus)\b", re.I)
_META = re.compile(
    r"\b(?:passages?|documents?|context|provided|given|according|mentioned|states?|stated|information)\b", re.IGNORECASE
)
_RARITY_OF_STRANGERS = 1.0
_STRANGER_THOUSANDTHS = 1000
_MOST = 3


@dataclass(frozen=True, slots=True)
class Passage:
    """One sentence of one document: where it is and what it says."""

    document: int
    start: int
    end: int
    forms: frozenset[str]
    negated: bool


@dataclass(frozen=True, slots=True)
class Reference:
    """Everything that the documents (and the question) say, prepared once per response."""

    forms: frozenset[str]
    prefixes: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    triples: frozenset[tuple[str, str, str]]
    number_contexts: frozenset[tuple[str, str]]
    documents: tuple[frozenset[str], ...]
    passages: tuple[Passage, ...]
    places: Places
    query: frozenset[str]
    n_tokens: int


@dataclass(frozen=True, slots=True)
class SentenceFacts:
    """The features of one sentence, the passage closest to it, and the stems of its content words."""

    values: list[float]
    passage: Passage | None
    n_tokens: int
    forms: frozenset[str]


def number_contexts(tokens: Tokens) -> list[tuple[str, str]]:
    """Pair every number with the next content word, which is nearly always its unit or its object."""
    pairs = []
    for i, kind in enumerate(tokens.kind):
        if kind != NUMBER:
            continue
        for j in range(i + 1, min(i + 4, len(tokens))):
            if tokens.content[j]:
                pairs.append((tokens.form[i], tokens.form[j]))
                break
    return pairs


def content_forms(tokens: Tokens) -> list[str]:
    """Return the forms of the tokens that carry content, in order."""
    return [form for form, content in zip(tokens.form, tokens.content, strict=True) if content]


def read_reference(
    documents: Sequence[str], document_sentences: Sequence[Sequence[Span]], query: str | None
) -> Reference:
    """Prepare documents and question for comparison.

    Parameters
    ----------
    documents
        Texts of the documents.
    document_sentences
        For each document the offsets of its sentences.
    query
        The question; its words count as given, not as invented.
    """
    parts = [tokenize(text) for text in documents]
    asked = tokenize(query or "")
    pairs: set[tuple[str, str]] = set()
    triples: set[tuple[str, str, str]] = set()
    numbers: set[tuple[str, str]] = set()
    places = PlacesMaker()
    for tokens in (*parts, asked):
        places.text(tokens)
        content = content_forms(tokens)
        pairs.update(zip(content, content[1:], strict=False))
        triples.update(zip(tokens.form, tokens.form[1:], tokens.form[2:], strict=False))
        numbers.update(number_contexts(tokens))
    documents_forms = tuple(frozenset(content_forms(tokens)) for tokens in parts)
    query_forms = frozenset(content_forms(asked))
    forms = frozenset().union(*documents_forms, query_forms)
    passages = [
        passage
        for number, (tokens, spans) in enumerate(zip(parts, document_sentences, strict=True))
        for passage in _passages(number, tokens, spans)
    ]
    for told in (*(passage.forms for passage in passages), query_forms):
        places.passage(told)
    return Reference(
        forms=forms,
        prefixes=frozenset(form[:5] for form in forms),
        pairs=frozenset(pairs),
        triples=frozenset(triples),
        number_contexts=frozenset(numbers),
        documents=documents_forms,
        passages=tuple(passages),
        places=places.places(),
        query=query_forms,
        n_tokens=sum(map(len, parts)),
    )


def _passages(document: int, tokens: Tokens, spans: Sequence[Span]) -> list[Passage]:
    found, i = [], 0
    for start, end in spans:
        forms, negated = [], False
        while i < len(tokens) and tokens.start[i] < end:
            if tokens.content[i]:
                forms.append(tokens.form[i])
            elif tokens.form[i] in NEGATION or tokens.form[i].endswith("n't"):
                negated = True
            i += 1
        found.append(Passage(document, start, end, frozenset(forms), negated))
    return found


class FeatureReader:
    """Turns sentences and responses into feature vectors.

    Parameters
    ----------
    rarity
        Inverse document frequency of word stems, scaled so that a word never seen has 1.
    """

    def __init__(self, rarity: Mapping[str, float]) -> None:
        self.rarity = rarity
        # Whole thousandths add up to the same sum in any order, and sets have no order.
        self._thousandths = {form: round(1000 * value) for form, value in rarity.items()}

    def weight(self, forms: Sequence[str] | frozenset[str]) -> float:
        """Return the summed rarity of some forms."""
        get = self._thousandths.get
        return sum(get(form, _STRANGER_THOUSANDTHS) for form in forms) / 1000

    def sentence(
        self,
        text: str,
        place: tuple[int, int],
        reference: Reference,
        *,
        listed: bool = False,
        cited: frozenset[int] = frozenset(),
    ) -> SentenceFacts:
        """Compare one sentence with the reference.

        Parameters
        ----------
        text
            The sentence without its list marker and its citations.
        place
            Its index and the number of sentences.
        reference
            The prepared documents.
        listed
            Whether a list marker stood before it.
        cited
            Indexes of the documents that it names as its source.
        """
        tokens = tokenize(text)
        content = content_forms(tokens)
        distinct = frozenset(content)
        passage, gaps = self._gaps(tokens, distinct, reference)
        near = passage.forms if passage else frozenset()
        values = [
            *self._new_words(content, distinct, reference),
            *_numbers_and_names(tokens, reference, near),
            *_sequences(tokens, content, reference),
            *gaps,
            math.log1p(len(content)),
            _share(sum(form in reference.query for form in distinct), len(distinct)),
            *_position(*place),
            float(listed),
            *_manner(text),
            *self._citation(distinct, cited, reference),
            *agreement(tokens, reference.places, reference.triples, near, self.weight),
        ]
        return SentenceFacts(values, passage, len(tokens), distinct)

    def _new_words(self, content: list[str], distinct: frozenset[str], reference: Reference) -> list[float]:
        new = [form for form in content if form not in reference.forms]
        weight = self.weight(frozenset(new))
        return [
            weight,
            weight / (self.weight(distinct) or 1.0),
            math.log1p(len(new)),
            max((self.rarity.get(form, _RARITY_OF_STRANGERS) for form in new), default=0.0),
            _share(sum(form[:5] not in reference.prefixes for form in distinct), len(distinct)),
        ]

    def _gaps(
        self, tokens: Tokens, distinct: frozenset[str], reference: Reference
    ) -> tuple[Passage | None, list[float]]:
        """Return the closest passage and how much of the sentence's weight document, passage and window lack."""
        weight = self.weight(distinct) or 1.0
        passage, covered, window = self._closest(distinct, reference)
        document = max((self.weight(distinct & forms) for forms in reference.documents), default=0.0)
        negated = any(form in NEGATION or form.endswith("n't") for form in tokens.form)
        mismatch = float(passage is not None and negated != passage.negated)
        return passage, [1 - document / weight, 1 - covered / weight, 1 - window / weight, mismatch]

    def _citation(self, distinct: frozenset[str], cited: frozenset[int], reference: Reference) -> list[float]:
        """Return whether documents are cited, how much they lack, and how much of that another one has."""
        if not cited:
            return [0.0, 0.0, 0.0]
        weight = self.weight(distinct) or 1.0
        covers = [self.weight(distinct & forms) / weight for forms in reference.documents]
        told = max(covers[i] for i in cited)
        return [1.0, 1 - told, max(covers) - told]

    def _closest(self, forms: frozenset[str], reference: Reference) -> tuple[Passage | None, float, float]:
        """Return the passage that covers most of the weight, its cover, and that of it with one neighbour."""
        best, best_at = 0.0, -1
        covers = []
        for i, passage in enumerate(reference.passages):
            common = forms & passage.forms
            cover = self.weight(common) if common else 0.0
            covers.append(cover)
            if cover > best:
                best, best_at = cover, i
        if best_at < 0:
            return None, 0.0, 0.0
        window = best
        chosen = reference.passages[best_at]
        for i in (best_at - 1, best_at + 1):
            if 0 <= i < len(covers) and reference.passages[i].document == chosen.document:
                window = max(window, self.weight(forms & (reference.passages[i].forms | chosen.forms)))
        return chosen, best, window


def _numbers_and_names(tokens: Tokens, reference: Reference, near: frozenset[str]) -> list[float]:
    """Count numbers and names that are nowhere, or not in the closest passage; at most three of each."""
    numbers = [form for form, kind in zip(tokens.form, tokens.kind, strict=True) if kind == NUMBER]
    names = [form for form, kind in zip(tokens.form, tokens.kind, strict=True) if kind == NAME]
    counts = (
        sum(form not in reference.forms for form in numbers),
        bool(numbers),
        sum(form not in reference.forms for form in names),
        sum(form not in near for form in numbers),
        sum(form not in near for form in names),
        sum(pair not in reference.number_contexts for pair in number_contexts(tokens)),
    )
    return [float(min(count, _MOST)) for count in counts]


def _sequences(tokens: Tokens, content: list[str], reference: Reference) -> list[float]:
    pairs = list(zip(content, content[1:], strict=False))
    triples = list(zip(tokens.form, tokens.form[1:], tokens.form[2:], strict=False))
    run, copied = _runs(tokens, reference)
    return [
        _share(sum(pair not in reference.pairs for pair in pairs), len(pairs)),
        _share(sum(triple not in reference.triples for triple in triples), len(triples)),
        math.log1p(run),
        _share(copied, len(tokens)),
    ]


def _position(index: int, total: int) -> list[float]:
    return [index / max(total - 1, 1), float(index == 0), float(index == total - 1 and total > 1), math.log(total)]


def _manner(sentence: str) -> list[float]:
    hedges, mentions = len(_HEDGE.findall(sentence)), len(_META.findall(sentence))
    return [float(min(hedges, _MOST)), float(bool(_CLOSING.match(sentence))), float(min(mentions, _MOST))]


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0


def _runs(tokens: Tokens, reference: Reference) -> tuple[int, int]:
    """Return the longest run of new content words and the longest run of copied triples (in tokens)."""
    run = longest = 0
    for form, content in zip(tokens.form, tokens.content, strict=True):
        if content:
            run = run + 1 if form not in reference.forms else 0
            longest = max(longest, run)
    copied = best = 0
    for triple in zip(tokens.form, tokens.form[1:], tokens.form[2:], strict=False):
        copied = copied + 1 if triple in reference.triples else 0
        best = max(best, copied)
    return longest, best + 2 if best else 0
