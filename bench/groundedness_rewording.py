"""Edits of a sentence that change words and no fact."""

from __future__ import annotations

import random
import re

from groundedness_edits import Edit, Span, Surroundings, edit_word
from groundedness_wordnet import WordNet

_WORD = re.compile(r"[A-Za-z]+")
_SAME = tuple(
    (re.compile(pattern), new)
    for pattern, new in (
        (r"\b(is|are|was|were|has|have|had|could|would|should|does|do|did) not\b", r"\1n't"),
        (r"\b(is|are|was|were|has|have|had|could|would|should|does|do|did)n't\b", r"\1 not"),
        (r"\bcannot\b", "can't"),
        (r"\bcan't\b", "cannot"),
        (r"\bwon't\b", "will not"),
        (r"\bwill not\b", "won't"),
        (r"\b([Ii]t) is\b", r"\1's"),
        (r"\b([Tt]hey) are\b", r"\1're"),
        (r"\b([Yy]ou) are\b", r"\1're"),
        (r"\b([Tt]here) is\b", r"\1's"),
        (r"\b([Ii]t)'s\b", r"\1 is"),
        (r"\b([Yy]ou)'re\b", r"\1 are"),
        (r"(\d),(\d{3})\b", r"\1\2"),
        (r"\b(\d{1,3})(\d{3})\b(?=[^-/])", r"\1,\2"),
        (r"(\d) ?%", r"\1 percent"),
        (r"(\d) (?:percent|per cent)\b", r"\1%"),
        (r"\$(\d+)(?![\d.,])", r"\1 dollars"),
        (r"(\d)\.0\b", r"\1"),
        (r"\bapproximately\b", "about"),
        (r"\babout (?=\d)", "around "),
        (r"\bUnited States\b", "US"),
        (r"\bU\.S\.", "US"),
        (r"\band\b", "as well as"),
        (r"\bbecause\b", "since"),
        (r"\bbut\b", "however,"),
        (r"\balso\b ?", ""),
        (r"\bmany\b", "numerous"),
        (r"\bin order to\b", "to"),
        (r"\bper\b", "a"),
        (r"\bsuch as\b", "like"),
        (r"\bmore than (?=\d)", "over "),
        (r"\bover (?=\d)", "more than "),
        (r"\bless than (?=\d)", "under "),
        (r"\bat least (?=\d)", "a minimum of "),
        (r"\bup to (?=\d)", "at most "),
        (r"\bhas to\b", "must"),
        (r"\bhave to\b", "must"),
        (r"\buse\b", "make use of"),
        (r"\bshow\b", "indicate"),
        (r"\bhelps?\b(?= [a-z])", "can help"),
        (r"\bsaid\b", "stated"),
        (r"\btold\b", "informed"),
        (r"\bkids\b", "children"),
        (r"\bget\b", "receive"),
        (r"\bneeds?\b(?= a)", "requires"),
        (r"\bfor example\b", "for instance"),
        (r"\busually\b", "typically"),
        (r"\bdied\b", "passed away"),
        (r"\bwhich\b", "that"),
        (r"\bwhile\b", "whereas"),
        (r"\bvery\b ?", ""),
        (r"\bwhole\b", "entire"),
    )
)
_DIGITS = dict(zip("two three four five six seven eight nine ten eleven twelve".split(), range(2, 13), strict=True))
_ASIDE = re.compile(r" \([^()]{3,80}\)|, (?:which|who|where|including|such as|especially)\b[^,.;]{5,90}(?=[,.])")
_TAIL = re.compile(
    r",? (?:because|while|although|but|after|before|when|so that|according to|as|with|for|since)\b"
    r" [^.;]{12,120}(?=[.!]?$)"
)
_LEAD = re.compile(r"^((?:In|On|At|After|Before|When|If|While|During|For|According to|As)\b[^,.;]{4,80}), (?=\w)")
_OPENINGS = (
    "According to the passage, ",
    "The document states that ",
    "Based on the given information, ",
    "In short, ",
    "Overall, ",
    "It is said that ",
)


def keep_facts(text: str, around: Surroundings, rng: random.Random, keep: Span = (0, 0)) -> tuple[str, Span]:
    """Reword a sentence without changing what it says.

    Parameters
    ----------
    text
        The sentence.
    around
        Gives WordNet.
    rng
        Source of chance.
    keep
        Characters that stay as they are.

    Returns
    -------
    text, keep
        The new sentence and where the kept characters stand now.
    """
    for _ in range(rng.choice((1, 1, 2, 3))):
        edit = rng.choice((_synonym, _synonym, _synonym, _respell, _respell, _drop, _move))(text, around.words, rng)
        if edit is None or (edit.start < keep[1] and edit.end > keep[0]):
            continue
        text, _ = edit.apply(text)
        if edit.end <= keep[0] and keep != (0, 0):
            shift = len(edit.new) - (edit.end - edit.start)
            keep = (keep[0] + shift, keep[1] + shift)
    if rng.random() < 0.08:
        opening = rng.choice(_OPENINGS)
        text = opening + text
        keep = (keep[0] + len(opening), keep[1] + len(opening)) if keep != (0, 0) else keep
    return text, keep


def _synonym(text: str, words: WordNet, rng: random.Random) -> Edit | None:
    return edit_word(text, rng, words, words.synonyms)


def _respell(text: str, words: WordNet, rng: random.Random) -> Edit | None:
    pool = [(match, new) for pattern, new in _SAME for match in pattern.finditer(text)]
    edits = [Edit(match.start(), match.end(), match.expand(new)) for match, new in pool]
    edits += [
        Edit(match.start(), match.end(), str(_DIGITS[match.group()]))
        for match in _WORD.finditer(text)
        if match.group() in _DIGITS
    ]
    return rng.choice(edits) if edits else None


def _drop(text: str, words: WordNet, rng: random.Random) -> Edit | None:
    """Leave out an aside, a leading phrase or a trailing one."""
    found = [*_ASIDE.finditer(text), *_TAIL.finditer(text), *_LEAD.finditer(text)]
    if not found:
        return None
    match = rng.choice(found)
    if match.start() == 0:
        # What follows the lead becomes the beginning.
        return Edit(0, match.end() + 1, text[match.end()].upper())
    return Edit(match.start(), match.end(), "")


def _move(text: str, words: WordNet, rng: random.Random) -> Edit | None:
    """Move the leading phrase of a sentence to its end."""
    match = _LEAD.match(text)
    if not match or text[-1] not in ".!":
        return None
    rest = text[match.end() : -1]
    lead = match.group(1)
    return Edit(0, len(text), f"{rest[0].upper()}{rest[1:]} {lead[0].lower()}{lead[1:]}{text[-1]}")
