"""Which documents a sentence says that it is taken from: "according to passage 2", "(Document 1)", "[3]"."""

from __future__ import annotations

import re

_KIND = r"(?:passages?|documents?|sources?|excerpts?|references?|contexts?)"
_MORE = rf"(?:\s*(?:,|;|&|and|or)+\s*(?:{_KIND}\s*)?#?\d{{1,2}}\b(?![.,]\d))*"
_CITATION = re.compile(
    rf"\(?\b{_KIND}\s*(?:no\.?|number|\#)?\s*[:\[(]?\d{{1,2}}\b(?![.,]\d){_MORE}[\])]*"
    r"|\[\d{1,2}(?:\s*[,;]\s*\d{1,2})*\]",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+")


def read_citations(sentence: str, documents: int) -> tuple[str, frozenset[int]]:
    """Return the sentence with its citations blanked, and the indexes of the documents that it cites.

    Parameters
    ----------
    sentence
        Any text.
    documents
        How many there are; they are cited by number, from 1 on. What names another number is no citation.

    Returns
    -------
    str
        Of the same length, so that offsets stay.
    frozenset of int
        Counted from 0.
    """
    cited: set[int] = set()

    def blank(match: re.Match[str]) -> str:
        numbers = {int(number) for number in _NUMBER.findall(match.group())}
        if not all(1 <= number <= documents for number in numbers):
            return match.group()
        cited.update(number - 1 for number in numbers)
        return " " * len(match.group())

    return _CITATION.sub(blank, sentence), frozenset(cited)
