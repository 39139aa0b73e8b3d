"""Which answers refuse or say that they do not know.

A list of English phrases, read at the beginning of each sentence's main clause. Its limits: English only; a
refusal in unusual words is missed; an answer that quotes somebody's refusal ("the bank told him: we cannot help")
may be taken for one. It reads wording, not policy: whether a refusal was right is another question.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

RefusalKind = Literal["declined", "unknown"]

_ABLE = r"(?:can(?:no|')?t|can not|could(?: not|n't)|(?:am|'m|was|are) (?:not able|unable)|won't|will not)"
_HELP = (
    r"(?:help|assist|provide|share|discuss|answer|give|disclose|comply|fulfill?|do that|support|offer|talk"
    r"|recommend|advise|process|complete|reveal|engage|continue)"
)
_KNOW = (
    r"(?:know|have (?:any |enough |sufficient |that |the |this |access)|find|locate|see (?:any|that)|determine"
    r"|confirm|verify|say|tell)"
)
_ADJECTIVE = r"(?:given|provided|available|retrieved|supplied|above|three)"
_SOURCE = (
    rf"(?:the |these |those |any of the |my |our |your )?(?:{_ADJECTIVE} )*"
    r"(?:documents?|passages?|context|sources?|texts?|excerpts?|information|knowledge base|handbook|articles?"
    r"|materials?)"
)
_MENTION = (
    r"(?:mention|contain|include|provide|say|state|specify|cover|address|give|answer|discuss|describe|explain|offer"
    r"|appear to)"
)
_MENTIONED = r"(?:mentioned|stated|specified|provided|covered|given|found|described|available|discussed)"
_NOT = r"(?:do not|does not|don't|doesn't|did not|didn't)"

_DECLINED = re.compile(
    rf"\b(?:i|we)(?: am|'m)? ?(?:sorry,? (?:but )?)?(?:i |we )?{_ABLE}(?: to)?(?: \w+ly)? {_HELP}\b"
    r"|\b(?:i|we) (?:must|have to|need to) (?:decline|refuse)\b"
    r"|\b(?:against|not allowed (?:by|under)|violates?) (?:my|our|the) (?:policy|policies|guidelines|programming)\b"
    r"|\bas an ai\b[^.!?]{0,60}\b(?:can(?:no|')?t|not able|unable|do not|don't)\b"
    r"|\bi(?: am|'m) not (?:allowed|permitted|authori[sz]ed) to\b",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(
    rf"\b(?:i|we) (?:really |just |currently )?(?:{_NOT}|{_ABLE}) (?:to )?{_KNOW}\b"
    r"|\b(?:i|we) (?:have|found|see) no (?:information|details|answer|record|data|mention|idea)\b"
    r"|\bi(?: am|'m) not (?:sure|certain|aware)\b"
    rf"|\b{_SOURCE} (?:provided )?{_NOT} (?:\w+ly )?{_MENTION}\b"
    rf"|\b(?:is|are|was) (?:not|nothing) (?:\w+ly )?{_MENTIONED} (?:in|by|within) {_SOURCE}\b"
    r"|\bthere (?:is|was) (?:no|not enough|insufficient) (?:\w+ )?(?:information|mention|detail|data|answer)\b"
    r"|\b(?:unable|not possible|impossible) to (?:answer|determine|find|provide|say)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The phrase by which a text refuses.

    Attributes
    ----------
    kind
        `declined` (will not) or `unknown` (does not know, finds nothing).
    start, end
        Character offsets of the phrase.
    """

    kind: RefusalKind
    start: int
    end: int


def find_refusal(text: str) -> Refusal | None:
    """Return the first refusing phrase of a text, if there is one."""
    plain = text.replace("’", "'")
    found = [
        Refusal(kind, match.start(), match.end())
        for kind, pattern in _PATTERNS
        if (match := pattern.search(plain)) is not None
    ]
    return min(found, key=lambda refusal: refusal.start, default=None)


def is_refusal(response: str) -> bool:
    """Whether an answer as a whole refuses: the phrase stands in its first 200 characters and little follows.

    An answer that says what it does not know and then answers the rest at length is no refusal.
    """
    refusal = find_refusal(response)
    return refusal is not None and refusal.start < _OPENING and len(response) - refusal.end < _LONGEST_REMAINDER


_PATTERNS: tuple[tuple[RefusalKind, re.Pattern[str]], ...] = (("declined", _DECLINED), ("unknown", _UNKNOWN))
_OPENING = 200
_LONGEST_REMAINDER = 400
