"""Edits of a sentence that change a fact.

Every one is an exchange of words, so that the same exchange can be made in the document as
well: a claim with "14 days" is wrong beside "30 days" and right beside "14 days". Only a reader who compares the two
can tell, and nothing in the claim alone gives it away.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from groundedness_wordnet import WordNet, inflect, lemmas

from analysis.groundedness.tokens import NAME, STOPWORDS, tokenize

Span = tuple[int, int]

_NUMBER = re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)*(?![\w]|[.,]\d)")
_WORD = re.compile(r"[A-Za-z]+")
_TRIED, _OFFERED = 4, 60

_AUXILIARY = re.compile(
    r"\b(is|are|was|were|has|have|had|can|could|will|would|should|must|may|might|does|do|did)\b"
    r"(?! (?:not|never|no)\b|n't)"
)
_NEGATED = re.compile(
    r"\b(?:(is|are|was|were|has|have|had|could|would|should|must|does|do|did)(?:n't| not)|(can)(?:not|'t| not)"
    r"|(will) not) ",
)
_LISTED = """
    January February March April May June July August September October November December |
    Monday Tuesday Wednesday Thursday Friday Saturday Sunday |
    seconds minutes hours days weeks months years decades centuries |
    second minute hour day week month year decade century | hourly daily weekly monthly yearly annually quarterly |
    miles kilometers meters feet inches yards centimeters millimeters | mile kilometer meter foot inch yard |
    pounds kilograms ounces grams tons milligrams |
    cups tablespoons teaspoons liters gallons pints quarts milliliters |
    hundred thousand million billion trillion | dollars euros cents pounds yen |
    first second third fourth fifth sixth | two three four five six seven eight nine ten eleven twelve |
    Celsius Fahrenheit | north south east west | northern southern eastern western | left right |
    morning afternoon evening night | spring summer autumn winter | red blue green yellow black white brown |
    father mother brother sister son daughter uncle aunt cousin | husband wife | boy girl | man woman | men women |
    more less fewer | most least fewest | higher lower | larger smaller | bigger smaller | older younger |
    longer shorter | faster slower | better worse | best worst | earlier later | before after | above below |
    over under | increase decrease | increased decreased | increases decreases | rise fall | rose fell |
    always never sometimes rarely often | all none some most few | every no | both neither | many few |
    can cannot | must need | may must | will would | maximum minimum | inside outside | up down | with without |
    for against | win lose | won lost | accepted rejected | allowed forbidden | required optional | open closed |
    buy sell | bought sold | start finish | started finished | begins ends | began ended | include exclude |
    includes excludes | including excluding | safe dangerous | public private | legal illegal | free paid |
    rich poor | alive dead | born died | arrived left | told asked | supports opposes | supported opposed |
    agreed refused | confirmed denied | approved rejected | doctor nurse lawyer teacher | only also |
    cold hot warm | dry wet | hard soft | early late | near far | strong weak | acute chronic | internal external |
    upper lower | positive negative | true false | male female | president minister senator governor mayor |
    company government university hospital
"""
_GROUPS = tuple(tuple(group.split()) for group in _LISTED.split("|"))


@dataclass(frozen=True, slots=True)
class Edit:
    """An exchange of words.

    Attributes
    ----------
    start, end
        Of the words taken out, in the sentence before the edit.
    new
        What stands there instead.
    both_ways
        Whether the same exchange in the document makes the edited sentence right.
    """

    start: int
    end: int
    new: str
    both_ways: bool = True

    def apply(self, text: str) -> tuple[str, Span]:
        """Return the edited text and where the new words stand in it."""
        return text[: self.start] + self.new + text[self.end :], (self.start, self.start + max(len(self.new), 1))


@dataclass(frozen=True)
class Nearby:
    """What an edit may borrow from: names, numbers and words of the same document, and names of another."""

    names: Sequence[str]
    numbers: Sequence[str]
    plain: Sequence[str]
    foreign_names: Sequence[str]


@dataclass(frozen=True)
class Surroundings(Nearby):
    """The same with WordNet."""

    words: WordNet


def _members() -> dict[str, list[str]]:
    """Return for every word, as written, the other words of its groups."""
    found: dict[str, list[str]] = {}
    for group in _GROUPS:
        for word in group:
            found.setdefault(word, []).extend(other for other in group if other != word)
    return found


_MEMBERS = _members()


def names_of(text: str) -> list[tuple[str, Span]]:
    """Return the names of a text: runs of capitalised words inside a sentence, with offsets."""
    tokens = tokenize(text)
    found: list[tuple[str, Span]] = []
    for start, end, kind in zip(tokens.start, tokens.end, tokens.kind, strict=True):
        if kind != NAME:
            continue
        if found and text[found[-1][1][1] : start] == " ":
            first = found.pop()[1][0]
            found.append((text[first:end], (first, end)))
        else:
            found.append((text[start:end], (start, end)))
    return [(name, span) for name, span in found if len(name) > 1 and name.lower() not in STOPWORDS]


def numbers_of(text: str) -> list[str]:
    """Return the numbers of a text as they are written."""
    return [match.group() for match in _NUMBER.finditer(text)]


def other_number(old: str, near: Sequence[str], rng: random.Random) -> str:
    """Return another number of the same look: from the document, or made from the old one."""
    alike = [number for number in near if number != old and abs(len(number) - len(old)) <= 1]
    if alike and rng.random() < 0.7:
        return rng.choice(alike)
    digits = re.sub(r"\D", "", old)
    if len(digits) > 1 and digits != digits[::-1] and rng.random() < 0.2:
        turned = iter(digits[::-1])
        return "".join(next(turned) if char.isdigit() else char for char in old)
    if len(digits) == 4 and digits[:2] in ("18", "19", "20") and "," not in old:
        return str(int(digits) + rng.choice((-20, -10, -5, -3, -2, -1, 1, 2, 3, 5, 10)))
    if rng.random() < 0.5 and len(digits) > 1:
        at = rng.choice([i for i, char in enumerate(old) if char.isdigit()])
        return old[:at] + rng.choice([d for d in "123456789" if d != old[at]]) + old[at + 1 :]
    value = float(old.replace(",", "")) if old.replace(",", "").count(".") <= 1 else float(digits)
    changed = value * rng.choice((0.5, 0.6, 0.8, 1.2, 1.5, 2, 3, 10)) + rng.choice((0, 1))
    text = f"{changed:,.0f}" if value >= 10 or value == int(value) else f"{changed:.1f}"
    return text if text != old else str(int(value) + 2)


def edit_number(text: str, around: Nearby, rng: random.Random) -> Edit | None:
    """Exchange a number."""
    found = list(_NUMBER.finditer(text))
    if not found:
        return None
    match = rng.choice(found)
    return Edit(match.start(), match.end(), other_number(match.group(), around.numbers, rng))


def edit_name(text: str, around: Nearby, rng: random.Random) -> Edit | None:
    """Exchange a name for another of the same document or of another one."""
    found = names_of(text)
    if not found:
        return None
    name, (start, end) = rng.choice(found)
    pool = [n for n in around.names if n not in name and name not in n and n not in text]
    if not pool or rng.random() < 0.15:
        pool = [n for n in around.foreign_names if n not in text]
    return Edit(start, end, rng.choice(pool)) if pool else None


def edit_group(text: str, around: Nearby, rng: random.Random) -> Edit | None:
    """Exchange a date, unit, comparative or opposite for another of its group."""
    found = [match for match in _WORD.finditer(text) if match.group() in _MEMBERS]
    if not found:
        return None
    match = rng.choice(found)
    members = _MEMBERS[match.group()]
    shown = [member for member in members if member in around.plain or member in around.names]
    return Edit(match.start(), match.end(), rng.choice(shown if shown and rng.random() < 0.7 else members))


def edit_borrowed(text: str, around: Surroundings, rng: random.Random) -> Edit | None:
    """Exchange a word for one of the same part of speech, in the same form, that stands elsewhere in the document."""
    found = [match for match in _WORD.finditer(text) if match.group().islower() and match.group() not in STOPWORDS]
    rng.shuffle(found)
    for match in found[:_TRIED]:
        form = _form_of(match.group(), around.words)
        if form is None:
            continue
        same = {match.group(), *around.words.synonyms(form[0], form[1])}
        pool = [word for word in rng.sample(around.plain, min(len(around.plain), _OFFERED)) if word not in same]
        pool = [word for word in pool if word not in text and (_form_of(word, around.words) or ("",))[1:] == form[1:]]
        if pool:
            return Edit(match.start(), match.end(), rng.choice(pool))
    return None


def _form_of(word: str, words: WordNet) -> tuple[str, str, str] | None:
    """Return lemma, part of speech and ending of a word."""
    for lemma, ending in lemmas(word, words):
        return lemma, words.parts(lemma)[0], ending
    return None


def plain_words_of(text: str) -> list[str]:
    """Return the distinct words of a text without capitals that carry content."""
    return [word for word in dict.fromkeys(_WORD.findall(text)) if word.islower() and word not in STOPWORDS]


def edit_negation(text: str, around: Nearby, rng: random.Random) -> Edit | None:
    """Put a negation in, or take one out."""
    negated = list(_NEGATED.finditer(text))
    if negated:
        match = rng.choice(negated)
        verb = next(group for group in match.groups() if group)
        return Edit(match.start(), match.end(), verb + " ")
    found = list(_AUXILIARY.finditer(text))
    if not found:
        return None
    match = rng.choice(found)
    verb = match.group()
    if rng.random() < 0.4 and verb not in ("can", "will", "may", "might", "must"):
        return Edit(match.start(), match.end(), verb + "n't")
    return Edit(
        match.start(), match.end(), "cannot" if verb == "can" else f"{verb} {rng.choice(('not', 'not', 'never'))}"
    )


def edit_opposite(text: str, around: Surroundings, rng: random.Random) -> Edit | None:
    """Exchange a word for its opposite."""
    return edit_word(text, rng, around.words, around.words.antonyms)


def edit_sister(text: str, around: Surroundings, rng: random.Random) -> Edit | None:
    """Exchange a word for one of another meaning of the same kind."""
    return edit_word(text, rng, around.words, around.words.sisters)


def edit_roles(text: str, around: Nearby, rng: random.Random) -> Edit | None:
    """Let two names, or two numbers, change places."""
    found = names_of(text)
    if len(found) < 2 or rng.random() < 0.3:
        found = [(match.group(), match.span()) for match in _NUMBER.finditer(text)]
    if len(found) < 2:
        return None
    (one, (a, b)), (two, (c, d)) = sorted(rng.sample(found, 2), key=lambda item: item[1])
    if one == two or b > c:
        return None
    return Edit(a, d, two + text[b:c] + one, both_ways=False)


def edit_word(text: str, rng: random.Random, words: WordNet, related: Callable[[str, str], list[str]]) -> Edit | None:
    """Exchange a word for a related one, in the same form."""
    found = [match for match in _WORD.finditer(text) if match.group().islower() and match.group() not in STOPWORDS]
    rng.shuffle(found)
    for match in found:
        for lemma, ending in lemmas(match.group(), words):
            part = words.parts(lemma)[0]
            pool = related(lemma, part)
            if pool:
                return Edit(match.start(), match.end(), inflect(rng.choice(pool), ending))
    return None


FACT_EDITS: tuple[tuple[str, float, Callable[[str, Surroundings, random.Random], Edit | None]], ...] = (
    ("number", 2.5, edit_number),
    ("name", 3.0, edit_name),
    ("borrowed", 3.0, edit_borrowed),
    ("group", 1.5, edit_group),
    ("negation", 0.8, edit_negation),
    ("opposite", 0.8, edit_opposite),
    ("sister", 0.8, edit_sister),
    ("roles", 1.5, edit_roles),
)


def exchange_one(text: str, around: Nearby, rng: random.Random) -> Edit | None:
    """Return one edit of a kind that needs no WordNet, or None where none can be made."""
    makers = [edit_number, edit_name, edit_group, edit_roles]
    rng.shuffle(makers)
    for make in makers:
        edit = make(text, around, rng)
        if edit is not None and edit.new != text[edit.start : edit.end]:
            return edit
    return None


def change_fact(text: str, around: Surroundings, rng: random.Random) -> Edit | None:
    """Return one edit that changes what a sentence says, or None where none can be made."""
    kinds = list(FACT_EDITS)
    while kinds:
        kind = rng.choices(kinds, [weight for _, weight, _ in kinds])[0]
        edit = kind[2](text, around, rng)
        if edit is not None and edit.new != text[edit.start : edit.end]:
            return edit
        kinds.remove(kind)
    return None
