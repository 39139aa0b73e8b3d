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

_ABLE = (
    r"(?:can(?:no|')?t|can not|could(?: not|n't)|(?:am|'m|was|are) (?:not able|unable)"
    r"|(?:won't|will not)(?: be able)?)"
)
_HELP = (
    r"(?:help|assist|provide|share|discuss|answer|give|disclose|comply|fulfill?|do that|support|offer|talk"
    r"|recommend|advise|process|complete|reveal|engage|continue|comment|look (?:up|into)|make that decision)"
)
_KNOW = (
    r"(?:know|have (?:any |enough |sufficient |that |the |this |access)|find|locate|see (?:any|that)|determine"
    r"|confirm|verify|say|tell)"
)
_ADJECTIVE = r"(?:given|provided|available|retrieved|supplied|above|three)"
_SOURCE = (
    rf"(?:the |these |those |any of the |my |our |your )?(?:{_ADJECTIVE} ){{0,3}}"
    r"(?:documents?|passages?|context|sources?|texts?|excerpts?|information|knowledge base|handbook|articles?"
    r"|materials?)"
)
_MENTION = (
    r"(?:mention|contain|include|provide|say|state|specify|cover|address|give|answer|discuss|describe|explain|offer"
    r"|appear to)"
)
_MENTIONED = r"(?:mentioned|stated|specified|provided|covered|given|found|described|available|discussed)"
_NOT = r"(?:do not|does not|don't|doesn't|did not|didn't)"
_IS = r"(?:is|are|was|were)"
_CANNOT = r"(?:can(?:no|')t|can not|could(?: not|n't))"
_KNOWLEDGE = r"(?:information|details?|data|answers?|mention|records?|results?)"
_OF_DATA = r"(?:allowance|cap|charge|fee|limit|loss|plan|roaming|transfer)s?"

_DECLINED = re.compile(
    rf"\b(?:i|we)(?: am|'m)? ?(?:sorry,? (?:but )?)?(?:i |we )?{_ABLE}(?: to)?(?: \w+ly)? {_HELP}\b"
    r"|\b(?:i|we) (?:must|have to|need to) (?:decline|refuse)\b"
    r"|\b(?:against|not allowed (?:by|under)|violates?) (?:my|our|the) (?:policy|policies|guidelines|programming)\b"
    r"|\bas an ai\b[^.!?]{0,60}\b(?:can(?:no|')?t|not able|unable|do not|don't)\b"
    r"|\bi(?: am|'m) (?:just |only )?an? (?:\w+ )?(?:assistant|chatbot|model)\b[^.!?]{0,60}\b(?:can(?:no|')?t|unable)\b"
    r"|\bi(?: am|'m) not (?:allowed|permitted|authori[sz]ed|in a position) to\b|\bi(?:'d| would) rather not\b"
    r"|\b(?:outside|beyond) (?:of )?(?:what (?:i|we) can|(?:my|our) (?:knowledge|scope|expertise|abilities))\b",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(
    rf"\b(?:i|we) (?:really |just |currently )?(?:{_NOT}|{_ABLE}) (?:to )?{_KNOW}\b"
    r"|\b(?:i|we) (?:have|found|see) no (?:information|details|answer|record|data|mention|idea)\b"
    r"|\bi(?: am|'m) not (?:sure|certain|aware)\b"
    rf"|\b{_SOURCE} (?:provided )?{_NOT} (?:\w+ly )?{_MENTION}\b"
    rf"|(?:\b{_IS}(?: not|n't| nothing)|^\W*not) (?:\w+ly )?{_MENTIONED}(?: \w+ly)? (?:in|by|within) {_SOURCE}\b"
    rf"|\bthere(?:'s| {_IS}) (?:no|not enough|insufficient|nothing) (?:\w+ )?"
    rf"(?:{_KNOWLEDGE}(?! {_OF_DATA}\b)|in {_SOURCE})\b"
    rf"|\bno (?:\w+ )?{_KNOWLEDGE} (?:\w+ )?(?:{_IS}|could be|has been)"
    r" (?:found|available|retrieved|(?:given|provided)(?! to))\b"
    rf"|\b{_SOURCE} (?:says?|mentions?|contains?|ha(?:s|ve)|gives?|offers?) (?:nothing|no {_KNOWLEDGE})\b"
    rf"|\b{_SOURCE} {_IS} silent\b|\bnothing in {_SOURCE} (?:\w+ly )?(?:{_MENTION})s?\b"
    rf"|\b(?:answer|information|that|this|it) {_IS}(?: not|n't) (?:\w+ly )?in {_SOURCE}\b"
    rf"|\b(?:that|this|the|such) information {_IS}(?: not|n't) available\b(?! to (?!me\b|us\b))"
    rf"|\b(?:i|we) lack (?:the |any )?(?:\w+ )?{_KNOWLEDGE}\b"
    rf"|\b(?:question|it|this|that) {_CANNOT} be (?:answered|determined|confirmed|told)"
    rf"(?=\W*$| (?:from|by|with|using|based on|in|within) {_SOURCE}\b)"
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
    lower = plain.lower()
    if not any(cue in lower for cue in _CUES):
        return None
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
# Every phrase holds one of them; most sentences hold none, and the expressions are slow.
_CUES = (
    "n't", "not", "unable", "cant", "no ", "lack", "decline", "refuse", "silent", "outside", "beyond", "against",
    "violat", "impossible", "insufficient", "rather",
)  # fmt: skip
_OPENING = 200
_LONGEST_REMAINDER = 400
