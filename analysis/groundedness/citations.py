"""Which documents a sentence says that it is taken from: "according to passage 2", "(Document 1)", "[3]"."""

from __future__ import annotations

import re
from itertools import pairwise, takewhile

_KIND = r"(?:passages?|documents?|sources?|excerpts?|references?|contexts?)"
_MORE = rf"(?:(?:\s*(?:[,;&–-]|and|or))+\s*(?:{_KIND}\s*)?#?\d{{1,2}}\b(?![.,]\d))*"
_CITATION = re.compile(
    rf"\(?\b{_KIND}\s*(?:(?:no\.?|number|\#)\s*)?[:\[(]?\d{{1,2}}\b(?![.,]\d){_MORE}[\])]*"
    r"|\[\^?\d{1,2}(?:\s*[,;–-]\s*\d{1,2})*\]",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+")
_RANGE = re.compile(r"\s*[–-]\s*")
# OpenAI's file search: the numbers are of its own message and chunk.
_MARK = re.compile(r"【\d[^【】]{0,80}†[^【】]{0,200}】")


def read_citations(sentence: str, documents: int) -> tuple[str, frozenset[int]]:
    """Return the sentence with its citations blanked, and the indexes of the documents that it cites.

    Parameters
    ----------
    sentence
        Any text.
    documents
        How many there are; they are cited by number, from 1 on. Another number is no citation, nor is what follows
        it ("according to passage 1, 10 minutes"); brackets that hold one are none.

    Returns
    -------
    str
        Of the same length, so that offsets stay.
    frozenset of int
        Counted from 0.
    """
    cited: set[int] = set()

    def blank(match: re.Match[str]) -> str:
        text = match.group()
        numbers = list(_NUMBER.finditer(text))
        told = list(takewhile(lambda number: 1 <= int(number.group()) <= documents, numbers))
        if not told or (len(told) < len(numbers) and text.startswith("[")):
            return text
        cited.update(int(number.group()) - 1 for number in told)
        for before, after in pairwise(told):
            if _RANGE.fullmatch(text, before.end(), after.start()):
                cited.update(range(int(before.group()), int(after.group()) - 1))
        end = len(text) if len(told) == len(numbers) else told[-1].end()
        return " " * end + text[end:]

    plain = _MARK.sub(lambda match: " " * len(match.group()), sentence)
    return _CITATION.sub(blank, plain), frozenset(cited)
