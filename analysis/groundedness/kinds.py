"""Which sentences state something that documents could support, and which texts are English."""

from __future__ import annotations

import re
import unicodedata

from analysis.groundedness.tokens import STOPWORDS
from analysis.metrics.refusal import find_refusal
from undertow.text import detect_language

_OFFER_WORDS = (
    r"(?:please )?(?:let me know|feel free)",
    r"(?:i )?hope (?:this|that|it)",
    r"is there anything",
    r"if you (?:have|need) (?:any|more|further|other|anything)",
    r"i(?:'d| would| am|'m)? ?(?:be )?(?:happy|glad) to",
    r"how (?:can|may) i",
)
_GREETING_WORDS = (
    r"hi|hello|hey|greetings|good (?:morning|afternoon|evening)|dear \w+|welcome",
    r"sure|certainly|of course|absolutely|great question|good question|no problem|my pleasure|happy to help",
    r"thanks?|thank you|you(?:'re| are) (?:very )?welcome|have a (?:great|nice|good)|(?:best|kind) regards",
    r"sorry|i(?: am|'m)(?: (?:so|very|really))? sorry|i apologi[sz]e|apologies|please note the following",
    r"here(?:'s| is| are) (?:what|the|a|some|how)",
    r"(?:(?:yes|no),? )?(?:that|this|it)(?:'s| is) (?:not )?(?:possible|correct|right|true|fine)[.!]?$",
)
_OFFERS = re.compile(rf"^\W*(?:{'|'.join(_OFFER_WORDS)})\b", re.IGNORECASE)
_SMALL_TALK = re.compile(rf"^\W*(?:{'|'.join(_GREETING_WORDS)})(?!\w)", re.IGNORECASE)
_TURN = re.compile(r"\b(?:but|however|although|though|instead)\b", re.IGNORECASE)
_FENCE = "```"
_SHORT_TALK_WORDS = 9
_LONGEST_LEAD_IN = 22
_FOREIGN = frozenset(
    """der die das und ist nicht ein eine einen sie wir ihr mit auf für von dem des zu im wird werden kann können
    auch bei aus nach oder wie le la les des une est et dans pour que qui sur avec vous nous pas ce cette
    sont votre vos du au aux el los las una es y en por para con que su sus del se lo como más está puede il
    lo gli della di che è sono per una nel con non i dei het een van en niet zijn voor met op aan dat u o os
    um uma não em do da dos das ao você seu och att det som på är av för med inte och jest nie się na w z do
    że og ikke til""".split()
) - (STOPWORDS | {"die", "pour", "van", "per", "con", "on"})
_FEWEST_FOREIGN = 2
# English prose is 40-50 % function words; where they are plenty, the slower classifier need not be asked.
_PLENTY, _FEWEST_ENGLISH = 0.25, 12
_WORDS = re.compile(r"[^\W\d_]+")
_HEAD = 2000
_LATIN_SHARE = 0.7


def is_claim(sentence: str) -> bool:
    """Whether a sentence states something about the world that a document could support.

    Questions, greetings, offers of help, refusals, the beginning of a block of code, and lines that only introduce
    what follows do not.
    """
    if sentence.lstrip().startswith(_FENCE):
        return False
    words = re.findall(r"[^\W_]+(?:['’][^\W_]+)*", sentence)
    if any(word[0].isdigit() for word in words):
        return True
    plain = sentence.replace("’", "'").strip()
    if not any(word.lower() not in STOPWORDS for word in words) or plain.endswith("?"):
        return False
    if plain.endswith(":") and len(words) <= _LONGEST_LEAD_IN:
        return False
    if _OFFERS.match(plain) or (_SMALL_TALK.match(plain) and len(words) <= _SHORT_TALK_WORDS):
        return False
    refusal = find_refusal(plain)
    return refusal is None or _TURN.search(plain, refusal.end) is not None


def looks_english(text: str) -> bool:
    """Whether a text is English; a text too short to tell passes when it is in Latin letters."""
    head = text[:_HEAD]
    words = [word.lower() for word in _WORDS.findall(head)]
    english = sum(word in STOPWORDS for word in words)
    foreign = sum(word in _FOREIGN for word in words)
    if english >= _PLENTY * max(len(words), _FEWEST_ENGLISH) and english > 2 * foreign:
        return True
    letters = [char for char in head if char.isalpha()]
    latin = sum(char.isascii() or unicodedata.name(char, "").startswith("LATIN") for char in letters)
    if letters and latin / len(letters) < _LATIN_SHARE:
        return False
    language = detect_language(head)
    if language is not None:
        return language == "en"
    return foreign < _FEWEST_FOREIGN or foreign <= english
