"""Words, numbers and names of a text, in the form in which answer and document are compared."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

WORD, NUMBER, NAME = 0, 1, 2

_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+(?:[.,:]\d+|['’]\d{3}(?!\d))*")
_APOSTROPHE = re.compile(r"['’]s?$")
_THOUSANDS = re.compile(r"(?<=\d)[,'’](?=\d{3}(?:\D|$))")
_LIST_MARKER = re.compile(r"\s*(?:[-*•–]\s+|\(?\d{1,2}[.):]\s*(?=\D)|\(?[a-z][.)]\s+)?")

STOPWORDS = frozenset(
    """a about above across after again against all along also although am among an and another any are as at away
    be because been before being below between both but by can could d did do does doing done down during each
    either else etc even ever every few for from further get gets go had has have having he her here hers herself
    him himself his how however i if in instead into is it its itself just least less let like ll m many may me
    might more most much must my myself neither no nor not now of off often on once one only or other our ours
    ourselves out over own per please quite rather re really s same shall she should since so some still such t
    than that the their theirs them themselves then there these they this those though through thus to together
    too toward under until up upon us use used using ve very via was way we well were what when where whether
    which while who whom whose why will with within without would yes yet you your yours yourself""".split()
)

_NUMBER_WORDS = {
    word: str(value)
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
} | {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "ninety": "90", "hundred": "100"}
# "one" is a pronoun more often than a count.
del _NUMBER_WORDS["one"]


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one text in order; the tuples run in parallel.

    Attributes
    ----------
    start, end
        Character offsets.
    form
        What is compared: the stem of a word, the plain decimal of a number.
    kind
        ``WORD``, ``NUMBER`` or ``NAME`` (capitalised inside a sentence, or with two capitals).
    content
        Whether the token carries content: no stopword.
    """

    start: tuple[int, ...]
    end: tuple[int, ...]
    form: tuple[str, ...]
    kind: tuple[int, ...]
    content: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.form)


def stem(word: str) -> str:
    """Cut the commonest English endings, so that `charged`, `charges` and `charge` meet.

    Much weaker than Porter's algorithm: it errs towards keeping words apart.
    """
    for ending, replacement in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            word = word[: len(word) - len(ending)] + replacement
            break
    if len(word) > _SHORTEST_STEM + 1 and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    return word[:-1] if word.endswith("e") and len(word) > _SHORTEST_STEM else word


_SHORTEST_STEM = 3
_ENDINGS = (
    ("ations", "ate"), ("ation", "ate"), ("ities", "ity"), ("ments", ""), ("ment", ""), ("ings", ""), ("ing", ""),
    ("iest", "y"), ("ied", "y"), ("ies", "y"), ("edly", ""), ("ed", ""), ("ers", ""), ("er", ""), ("ness", ""),
    ("ily", "y"), ("ly", ""), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("ss", "ss"),
    ("us", "us"), ("is", "is"), ("s", ""),
)  # fmt: skip


def plain_number(text: str) -> str:
    """Return one spelling for equal numbers: ``1,200.00``, ``1200.0`` and ``1200`` are the same."""
    text = _THOUSANDS.sub("", text)
    if "." in text and text.count(".") == 1 and ":" not in text:
        text = text.rstrip("0").rstrip(".")
    return text.removesuffix(":00").lstrip("0") or "0"


def tokenize(text: str) -> Tokens:
    """Cut a text into comparable tokens.

    Parameters
    ----------
    text
        Any text; offsets of the result index into it.

    Returns
    -------
    Tokens
        Words, numbers (number words included) and names, in order.
    """
    rows = []
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        form, kind, content, capital = _lexeme(match.group())
        if capital and (kind == NAME or _inside_sentence(text, start)):
            kind = NAME
        rows.append((start, end, form, kind, content))
    if not rows:
        return Tokens((), (), (), (), ())
    return Tokens(*zip(*rows, strict=True))


@lru_cache(maxsize=65_536)
def _lexeme(raw: str) -> tuple[str, int, bool, bool]:
    """Return form, kind, content of a token by itself, and whether its capital may make it a name."""
    if raw[0].isdigit():
        return plain_number(raw), NUMBER, True, False
    lower = raw.lower()
    if lower in _NUMBER_WORDS:
        return _NUMBER_WORDS[lower], NUMBER, True, False
    if raw[-2:-1] in "'’" or raw[-1] in "'’":
        lower = _APOSTROPHE.sub("", lower)
    if lower in STOPWORDS:
        return lower, WORD, False, False
    kind = NAME if raw[0].isupper() and raw[1:2].isupper() else WORD
    return stem(lower), kind, len(lower) > 1, raw[0].isupper()


def _inside_sentence(text: str, start: int) -> bool:
    """Whether the word at `start` follows another word of the same sentence."""
    before = text[max(0, start - 3) : start].rstrip(" ")
    return bool(before) and (before[-1].isalnum() or before[-1] in ",;'’)&")


def claim_start(text: str, start: int, end: int) -> int:
    """Return where a sentence begins after its list marker (`3.`, `-`, `(b)`)."""
    match = _LIST_MARKER.match(text, start, end)
    return match.end() if match else start
