"""Which sentences state something that documents could support, and which texts are English."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from analysis.groundedness.tokens import STOPWORDS
from analysis.metrics.refusal import Refusal, find_refusal
from undertow.text import Span, detect_language, sentences

_TELLING = r"(?:confirm|say|report|announce|(?:tell|inform) you) that\b"
_OFFER_WORDS = (
    r"(?:please )?(?:let me know|feel free)",
    r"(?:i )?hope (?:this|that|it)",
    r"is there anything",
    r"if you (?:have|need) (?:any|more|further|other|anything)",
    r"(?:please )?(?:don't|do not) hesitate",
    rf"i(?:'d| would| am|'m)? ?(?:be )?(?:happy|glad) to(?! {_TELLING})",
    r"how (?:can|may) i",
)
_PAUSE = r"(?=\s*(?:[,.!:;–—-]|$)| (?:i|we|let|here)\b)"
_GREETING_WORDS = (
    r"(?:hi|hello|hey)(?!-)|greetings|good (?:morning|afternoon|evening)|dear \w+|welcome (?:to|back|aboard)",
    r"great question|good question|no (?:problem|worries)|my pleasure|happy to help",
    rf"(?:i(?:'m| am) )?glad (?:i|to(?! {_TELLING}))",
    rf"(?:sure|certainly|of course|absolutely|definitely|ok(?:ay)?|all ?right|got it|understood|perfect|great){_PAUSE}",
    rf"(?:congratulations|welcome|good ?bye|bye|cheers|take care|see you(?: \w+)?){_PAUSE}",
    rf"(?:just )?(?:one|a) moment(?:,? please)?{_PAUSE}|(?:that )?sounds (?:good|great)|let's (?:get started|begin)",
    r"thanks?|thank you|you(?:'re| are) (?:very )?welcome|have a (?:great|nice|good)|(?:best|kind) regards",
    r"sorry|i(?: am|'m)(?: (?:so|very|really))? sorry|i apologi[sz]e|(?:my )?apologies|please note the following",
    r"here(?:'s| is| are) (?:what|the|a|some|how)|i(?: can|'ll| will) (?:\w+ly )?(?:help|assist|answer)|let me \w+",
    r"my name is|i(?: am|'m) (?:your|an?|the) (?:\w+ )?(?:assistant|chatbot)",
    r"i (?:\w+ly )?(?:understand (?:your|how|that you)|see your (?:point|concern|problem))",
    r"i (?:did not|didn't|do not|don't) (?:quite |fully )?(?:understand|catch|get|follow) (?:your?|that)",
    r"(?:(?:yes|no),? )?(?:that|this|it)(?:'s| is) (?:not )?(?:possible|correct|right|true|fine)[.!]?$",
)
_OFFERS = re.compile(rf"^\W*(?:{'|'.join(_OFFER_WORDS)})\b", re.IGNORECASE)
_SMALL_TALK = re.compile(rf"^\W*(?:but |and )?(?:{'|'.join(_GREETING_WORDS)})(?!\w)", re.IGNORECASE)
_TURN = re.compile(r"\b(?:but|however|although|though|instead)\b|;", re.IGNORECASE)
_BREAK = re.compile(r"[,;:–—]\s*")
_SET_APART = ("```", "~~~", "<think>", "<thinking>", "<reasoning>")
# Possessive, and an open block runs to the end, so that the time stays linear.
_BLOCK = re.compile(
    r"^[ \t]*+(?:(```|~~~)[^`\n]*+\n(?s:.*?)(?:^[ \t]*\1[^\n]*$|\Z)"
    r"|<(think|thinking|reasoning)>(?s:.*?)(?:</\2>|\Z))",
    re.MULTILINE,
)
_SHORT_TALK_WORDS = 9
_SHORTEST_STATEMENT_WORDS = 3
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
_SAID = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_HEAD = 2000
_LATIN_SHARE = 0.7


def what_is_missing(response: str, documents: Sequence[str]) -> str:
    """Return what there is nothing of to judge by, or an empty string."""
    if not response.strip():
        return "the response is empty"
    if not any(document.strip() for document in documents):
        return "no documents with text were given" if documents else "no documents were given"
    return ""


def response_sentences(response: str) -> list[Span]:
    """Split a response into sentences as `undertow.text.sentences` does; a block of code or of thoughts is one."""
    spans: list[Span] = []
    start = 0
    for block in _BLOCK.finditer(response):
        spans += _sentences_within(response, start, block.start())
        code = block.group()
        spans.append((block.start() + len(code) - len(code.lstrip()), block.start() + len(code.rstrip())))
        start = block.end()
    return spans + _sentences_within(response, start, len(response))


def _sentences_within(text: str, start: int, end: int) -> list[Span]:
    return [(start + first, start + last) for first, last in sentences(text[start:end])]


def is_claim(sentence: str) -> bool:
    """Whether a sentence states something about the world that a document could support.

    Questions, greetings, offers of help, refusals, blocks of code or of a model's thoughts, and lines that only
    introduce what follows do not.
    """
    if sentence.lstrip().startswith(_SET_APART):
        return False
    words = _SAID.findall(sentence)
    plain = sentence.replace("’", "'").strip()
    refusal = find_refusal(plain)
    if any(word[0].isdigit() for word in words):
        return refusal is None or _holds_a_figure(plain, refusal)
    lead_in = plain.endswith(":") and len(words) <= _LONGEST_LEAD_IN
    if all(word.lower() in STOPWORDS for word in words) or plain.endswith("?") or lead_in or _OFFERS.match(plain):
        return False
    greeting = _SMALL_TALK.match(plain) if len(words) <= _SHORT_TALK_WORDS else None
    if greeting:
        return _states(plain[greeting.end() :])
    return refusal is None or _TURN.search(plain, refusal.end) is not None


def _states(behind: str) -> bool:
    """Whether what stands behind a greeting and a pause is a statement: "Hello, the card is free"."""
    pause = _BREAK.search(behind)
    said = behind[pause.end() :] if pause else ""
    return len(_SAID.findall(said)) >= _SHORTEST_STATEMENT_WORDS and is_claim(said)


def _holds_a_figure(plain: str, refusal: Refusal) -> bool:
    """Whether a refusing sentence with figures states one, and not only names what it does not know."""
    if any(char.isdigit() for char in plain[: refusal.start]) or _TURN.search(plain, refusal.end):
        return True
    pause = _BREAK.search(plain, refusal.end)
    return pause is not None and any(char.isdigit() for char in plain[pause.end() :])


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
