"""Which documents a sentence says that it is taken from: "according to passage 2", "(Document 1)", "[3]"."""

from __future__ import annotations

import re
from itertools import pairwise, takewhile

_KIND = r"(?:passages?|documents?|docs?|sources?|excerpts?|snippets?|chunks?|references?|contexts?)"
_MORE = rf"(?:(?:\s*(?:[,;&–-]|and|or))+\s*(?:{_KIND}\s*)?#?\d{{1,2}}\b(?![.,]\d))*"
_CITATION = re.compile(
    rf"\(?\b{_KIND}\s*(?:(?:no\.?|number|\#)\s*)?[:\[(]?\d{{1,2}}\b(?![.,]\d){_MORE}[\])]*"
    r"|\[\^?\d{1,2}(?:\s*[,;–-]\s*\d{1,2})*\](?P<link>\((?:https?://|#)[^()\s]{0,1000}\))?",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+")
_RANGE = re.compile(r"\s*[–-]\s*")
# OpenAI's file search: the numbers are of its own message and chunk.
_MARK = re.compile(r"【\d[^【】]{0,80}†[^【】]{0,200}】")


def first_number(response: str, documents: int) -> int:
    """Return the number by which a response calls the first of n documents: 0 where it cites "[0]" and no "[n]".

    Parameters
    ----------
    response
        Any text.
    documents
        How many there are.

    Returns
    -------
    int
        0 or 1.
    """
    cited = [{int(number.group()) for number in _numbers(match)} for match in _CITATION.finditer(response)]
    from_zero = any(0 in numbers and max(numbers) < documents for numbers in cited)
    return 0 if from_zero and not any(documents in numbers for numbers in cited) else 1


def _numbers(match: re.Match[str]) -> list[re.Match[str]]:
    """Return the numbers of a citation, not those in the address that it links to."""
    end = match.start("link") if match["link"] else match.end()
    return list(_NUMBER.finditer(match.group(), 0, end - match.start()))


def read_citations(sentence: str, documents: int, first: int = 1) -> tuple[str, frozenset[int]]:
    """Return the sentence with its citations blanked, and the indexes of the documents that it cites.

    Parameters
    ----------
    sentence
        Any text.
    documents
        How many there are; they are cited by number. Another number is no citation, nor is what follows it ("according
        to passage 1, 10 minutes"); brackets that hold one are none.
    first
        Number of the first document; see `first_number`.

    Returns
    -------
    str
        Of the same length, so that offsets stay.
    frozenset of int
        Counted from 0.
    """
    cited: set[int] = set()

    def blank(match: re.Match[str]) -> str:
        text, numbers = match.group(), _numbers(match)
        told = list(takewhile(lambda number: 0 <= int(number.group()) - first < documents, numbers))
        if not told or (len(told) < len(numbers) and text.startswith("[")):
            return text
        cited.update(int(number.group()) - first for number in told)
        for before, after in pairwise(told):
            if _RANGE.fullmatch(text, before.end(), after.start()):
                cited.update(range(int(before.group()) - first + 1, int(after.group()) - first))
        end = len(text) if len(told) == len(numbers) else told[-1].end()
        return " " * end + text[end:]

    plain = _MARK.sub(lambda match: " " * len(match.group()), sentence)
    return _CITATION.sub(blank, plain), frozenset(cited)
