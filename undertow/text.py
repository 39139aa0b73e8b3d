"""Text as the rest of Undertow sees it: identity, sentences, chunks, language.

Importing this module costs milliseconds; the language model is loaded at the first call that needs it.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Any

Span = tuple[int, int]


def normalise(text: str) -> str:
    """Return the text in Unicode's composed form (NFC), lone surrogates replaced by ``?``.

    UTF-8 cannot hold a lone surrogate, and neither the store nor a tokenizer takes one.
    """
    return _utf8(text).decode()


def one_line(text: str, width: int) -> str:
    """Return a text on one line of at most `width` characters, without those that could steer a terminal."""
    line = "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
    return line if len(line) <= width else line[: width - 1] + "…"


def checked_texts(texts: Sequence[str]) -> list[str]:
    """Return the texts of a list, or of an array of NumPy, pandas or Arrow, as a list.

    Raises
    ------
    TypeError
        When there is one string instead of several, or something among them is no string.
    """
    if isinstance(texts, str):
        raise TypeError("texts is one string, expected a sequence of strings")
    said = texts.to_pylist() if hasattr(texts, "to_pylist") else list(texts)
    wrong = next((row for row, text in enumerate(said) if not isinstance(text, str)), None)
    if wrong is not None:
        raise TypeError(f"texts[{wrong}] is {said[wrong]!r}, expected a string")
    return said


def content_hash(text: str) -> str:
    """Return the identity of a text: SHA-256 in hex of its normalised UTF-8 bytes."""
    return hashlib.sha256(_utf8(text)).hexdigest()


def _utf8(text: str) -> bytes:
    return unicodedata.normalize("NFC", text).encode("utf-8", "replace")


def chunks(n_tokens: int, max_tokens: int) -> list[Span]:
    """Cut a run of tokens into as few pieces as possible, all of nearly the same length.

    Parameters
    ----------
    n_tokens : int
        Length of the whole run.
    max_tokens : int
        Longest piece allowed, at least 1.

    Returns
    -------
    list of (start, end)
        Adjoining half-open ranges that cover the run; one empty range when it is empty.
    """
    pieces = max(1, -(-n_tokens // max_tokens))
    bounds = [n_tokens * index // pieces for index in range(pieces + 1)]
    return list(zip(bounds[:-1], bounds[1:], strict=True))


# --- Sentences ---------------------------------------------------------------------------------------

_ABBREVIATIONS = frozenset(
    # English
    "adm al apt approx ave bldg blvd capt cf cl co col corp dept dist div dr ed eds eq esp est etc ext ff fig "
    "figs fl fwd gen gov hon hr hrs inc incl jr lt ltd max messrs min misc mr mrs ms mt no nos nr op para pp "
    "pres prof pt ref refs rep rev sec sen sgt sr st univ viz vol vols vs "
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat "
    # German, French, Spanish, Italian, Portuguese, Dutch
    "abs bzw bspw ca evtl ggf inkl mind mio mrd nr str tel usw vgl zzgl art bd env av sr sra srta ud uds pág "
    "núm sig dott ing avv pag fra bijv mevr dhr".split()
)
# These also end sentences: the next word's capital decides.
_ABBREVIATIONS_THAT_MAY_END = frozenset("etc al inc ltd co corp jr sr usw ca approx no min max".split())

# Quantifiers are possessive and runs are taken from their first character, so that the time stays linear.
_CLOSERS = r"""(?:["'”’»)\]}*_`」』】）]|\[\d+\])*+"""
_END = re.compile(
    rf"[。！？｡]++{_CLOSERS}"  # needs no space after it
    rf"|(?<![.!?…])[.!?…‽؟।॥။።]++{_CLOSERS}(?=\s|$)"
)
_ITEM = r"(?:[-*+•◦▪‣–—·]|\(?\d{1,3}[.)]|\(?[A-Za-z][.)]|#{1,6}|\||>)[ \t]"
_LINE_BREAK = re.compile(rf"\n[ \t\r]*+(?:\n\s*+|(?={_ITEM}))")
_LINE = re.compile(r"[^\n]*")
_ITEM_START = re.compile(rf"[ \t]*{_ITEM}")
_LAST_WORD = re.compile(r"[^\s(\[{\"'“‘«*_]*$")
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")


def sentences(text: str) -> list[Span]:
    """Split a text into sentences.

    Knows common abbreviations, initials, decimals, list items, headings, and scripts that put no space
    between sentences. A single line break inside a paragraph does not end a sentence.

    Parameters
    ----------
    text : str
        Any text, also empty.

    Returns
    -------
    list of (start, end)
        Character offsets of each sentence without the space around it: ordered, disjoint, and covering
        everything but white space.
    """
    spans = []
    start = 0
    for end in sorted({*_block_ends(text), *_sentence_ends(text), len(text)}):
        piece = text[start:end]
        bare = piece.strip()
        if bare:
            left = start + len(piece) - len(piece.lstrip())
            spans.append((left, left + len(bare)))
        start = end
    return spans


def _block_ends(text: str) -> Iterator[int]:
    """Yield the offsets at which a paragraph, a list item or a heading ends."""
    for match in _LINE_BREAK.finditer(text):
        yield match.start()
    for match in _LINE.finditer(text):
        if match.end() > match.start() and _ITEM_START.match(text, match.start(), match.end()):
            following = text[match.end() + 1 : match.end() + 2]
            # A continuation of a list item is indented.
            if following and not following.isspace():
                yield match.end()


def _sentence_ends(text: str) -> Iterator[int]:
    for match in _END.finditer(text):
        if _really_ends(text, match):
            yield match.end()


def _really_ends(text: str, match: re.Match[str]) -> bool:
    mark = match.group()
    if mark[0] not in ".…" and not mark.endswith(("”", '"', "»", "’", "'")):
        return True
    following = text[match.end() : match.end() + 40].lstrip()[:1]
    if mark[0] != "." or mark.startswith(".."):
        # "Really?" he asked; and then ... it went on.
        return not following.islower()
    return _full_stop_ends(text[max(0, match.start() - 40) : match.start()], following)


def _full_stop_ends(before: str, following: str) -> bool:
    """Decide on one full stop from the word before it and the first character after it."""
    found = _LAST_WORD.search(before)
    word = found.group() if found else ""
    folded = word.lower()
    if _is_item_number(before, word):
        return False
    if folded in _ABBREVIATIONS:
        return folded in _ABBREVIATIONS_THAT_MAY_END and following.isupper()
    if len(word) == 1 and word.isalpha() and word != "I":
        return False
    if _DOTTED.fullmatch(word):
        # e.g., i.e., U.S., p.m.: only the lower-case ones end a sentence before a capital.
        return folded in {"a.m", "p.m"} and following.isupper()
    if word.isdigit() and len(word) <= 2:
        return not following.islower()
    return True


def _is_item_number(before: str, word: str) -> bool:
    """Tell whether the word numbers a list item: alone on its line so far, or after a mark that ends something."""
    if not (word.isdigit() and len(word) <= 3):
        return False
    ahead = before.removesuffix(word).rstrip(" \t(*_#>")
    return not ahead or ahead[-1] in "\n.!?:;"


# --- Language ----------------------------------------------------------------------------------------

_MIN_LETTER_BYTES = 12
_MIN_CONFIDENCE = 0.5
_MAX_CHARACTERS = 240


def detect_language(text: str) -> str | None:
    """Name the language of a text.

    Parameters
    ----------
    text : str
        Any text; only its beginning is read.

    Returns
    -------
    str or None
        ISO 639-1 code, or None when the text is too short, the classifier unsure, or the language has no
        two-letter code.
    """
    head = text[:_MAX_CHARACTERS]
    # Counted in bytes, because one Chinese character says as much as several Latin letters.
    if len("".join(filter(str.isalpha, head)).encode("utf-8", "replace")) < _MIN_LETTER_BYTES:
        return None
    return _classified(head)


@lru_cache(maxsize=8192)  # a trace is assembled again with every late part of it
def _classified(head: str) -> str | None:
    code, confidence = _identifier().classify(head)
    return str(code) if confidence >= _MIN_CONFIDENCE and len(code) == 2 else None


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_DIR, MODEL_FILE, LanguageIdentifier
    from py3langid.modelio import load_model

    weights, prior, classes, moves, rows, outputs = load_model(MODEL_DIR / MODEL_FILE)
    # Stored in half precision, the weights would be widened anew for every text; only the wide ones are kept.
    wide = weights.astype("float32")
    return LanguageIdentifier(wide, prior, classes, moves, outputs, norm_probs=True, tk_row=rows)
