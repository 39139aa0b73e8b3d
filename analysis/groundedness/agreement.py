"""Whether the words of a claim stand together in the documents as they do in the claim.

Every word of "the council voted seven to four to close Station Bridge" may be known while the documents close
another bridge. What these features look at is company: whether a number or a name shares a passage with the words
around it, whether something else stands in its place between the same neighbours, whether a negation was put in or
left out, and whether the closest passage says the opposite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from analysis.groundedness.tokens import NAME, NUMBER, Tokens, stem

AGREEMENT_FEATURES = (
    "lone_number", "lone_name", "lone_word", "mean_loneliness", "exchanged_numbers", "exchanged_names",
    "exchanged_words", "turned_words", "opposites", "parted_names",
)  # fmt: skip

NEGATION = frozenset("no not never none neither nor cannot without n't".split())
_REACH = 3
_MOST = 3.0
_OPPOSITES = """
    more less fewer | most least | higher lower | high low | larger smaller | large small | bigger smaller | big little
    older younger | old new young | longer shorter | long short | faster slower | fast slow | better worse | best worst
    good bad | earlier later | early late | before after | above below | over under | increase decrease reduce
    rise fall | rose fell | always never sometimes rarely | all none | many few | must can may | will would
    maximum minimum | inside outside | up down | with without | win lose | won lost | accept reject | allow forbid ban
    require optional | open close | buy sell | bought sold | start finish end | begin end | began ended
    include exclude | safe dangerous | public private | legal illegal | free paid | rich poor | alive dead | born died
    arrive leave | left right | support oppose | agree refuse | confirm deny | approve reject | cold hot warm | dry wet
    hard soft | near far | strong weak | internal external | upper lower | positive negative | true false
    male female | man woman | men women | boy girl | father mother | son daughter | brother sister | husband wife
    north south east west | northern southern eastern western | first second third last
    day week month year hour minute |
    january february march april may june july august september october november december
    monday tuesday wednesday thursday friday saturday sunday | hundred thousand million billion
    daily weekly monthly yearly | morning afternoon evening night | spring summer autumn winter
"""


def _groups() -> dict[str, frozenset[str]]:
    """Return for every form the forms that exclude it."""
    found: dict[str, set[str]] = {}
    for line in _OPPOSITES.splitlines():
        for group in line.split("|"):
            forms = {stem(word) for word in group.split()}
            for form in forms:
                found.setdefault(form, set()).update(forms - {form})
    return {form: frozenset(others) for form, others in found.items()}


_EXCLUDED = _groups()


@dataclass(frozen=True, slots=True)
class Places:
    """Where the words of the documents stand.

    Attributes
    ----------
    passages
        Of a content word: a bit for every passage that holds it.
    around
        Pairs of tokens with one other between them.
    negated, plain
        Content words that stand up to three tokens behind a negation, and those that stand without one.
    """

    passages: dict[str, int]
    around: frozenset[tuple[str, str]]
    negated: frozenset[str]
    plain: frozenset[str]


class PlacesMaker:
    """Collects the places of the words of several texts."""

    def __init__(self) -> None:
        self._passages: dict[str, int] = {}
        self._around: set[tuple[str, str]] = set()
        self._negated: set[str] = set()
        self._plain: set[str] = set()
        self._bit = 1

    def passage(self, forms: Iterable[str]) -> None:
        """Add the content words of one passage."""
        for form in forms:
            self._passages[form] = self._passages.get(form, 0) | self._bit
        self._bit <<= 1

    def text(self, tokens: Tokens) -> None:
        """Add the order of the words of one text."""
        self._around.update(zip(tokens.form, tokens.form[2:], strict=False))
        for word, negated in polarities(tokens):
            (self._negated if negated else self._plain).add(word)

    def places(self) -> Places:
        """Return what was collected."""
        return Places(self._passages, frozenset(self._around), frozenset(self._negated), frozenset(self._plain))


def polarities(tokens: Tokens) -> list[tuple[str, bool]]:
    """Return the content words in order, each with whether a negation stands up to three tokens before it."""
    found, since = [], _REACH
    for form, content in zip(tokens.form, tokens.content, strict=True):
        if form in NEGATION or form.endswith("n't"):
            since = 0
            continue
        since += 1
        if content:
            found.append((form, since <= _REACH))
    return found


def agreement(
    tokens: Tokens,
    places: Places,
    triples: frozenset[tuple[str, str, str]],
    near: frozenset[str],
    weight: Callable[[Sequence[str]], float],
) -> list[float]:
    """Return the features of one claim, in the order of `AGREEMENT_FEATURES`.

    Parameters
    ----------
    tokens
        The claim.
    places
        Those of the documents and the question.
    triples
        All runs of three tokens of the same.
    near
        Content words of the closest passage.
    weight
        Summed rarity of some words.
    """
    content = [
        (form, kind) for form, kind, counts in zip(tokens.form, tokens.kind, tokens.content, strict=True) if counts
    ]
    lonely = _loneliness([form for form, _ in content], places.passages, weight)
    by_kind = {
        wanted: max((value for (_, kind), value in zip(content, lonely, strict=True) if kind == wanted), default=0.0)
        for wanted in (NUMBER, NAME)
    }
    return [
        by_kind[NUMBER],
        by_kind[NAME],
        max(lonely, default=0.0),
        sum(lonely) / max(len(lonely), 1),
        *_exchanged(tokens, places.around, triples),
        min(
            float(sum(word in near and _is_turned(word, places, negated=sign) for word, sign in polarities(tokens))),
            _MOST,
        ),
        min(
            float(sum(form not in near and not near.isdisjoint(_EXCLUDED.get(form, ())) for form in tokens.form)),
            _MOST,
        ),
        _parted([form for form, kind in content if kind == NAME], places.passages),
    ]


def _loneliness(
    forms: Sequence[str], passages: dict[str, int], weight: Callable[[Sequence[str]], float]
) -> list[float]:
    """Return for every content word the share of the known words within three of it that share no passage with it."""
    masks = [passages.get(form, 0) for form in forms]
    weights = [weight((form,)) for form in forms]
    found = []
    for i, mask in enumerate(masks):
        if not mask:
            # Words that are nowhere are counted elsewhere.
            found.append(0.0)
            continue
        around = [j for j in range(max(0, i - _REACH), min(len(forms), i + _REACH + 1)) if j != i and masks[j]]
        total = sum(weights[j] for j in around)
        apart = sum(weights[j] for j in around if not mask & masks[j])
        found.append(apart / total if total else 0.0)
    return found


def _exchanged(
    tokens: Tokens, around: frozenset[tuple[str, str]], triples: frozenset[tuple[str, str, str]]
) -> list[float]:
    """Count numbers, names and other words in whose place, between the same neighbours, a document has another."""
    counts = [0.0, 0.0, 0.0]
    rows = zip(tokens.form, tokens.form[1:], tokens.form[2:], tokens.kind[1:], strict=False)
    for before, form, after, kind in rows:
        if (before, after) in around and (before, form, after) not in triples:
            counts[0 if kind == NUMBER else 1 if kind == NAME else 2] += 1.0
    return [min(count, _MOST) for count in counts]


def _is_turned(word: str, places: Places, *, negated: bool) -> bool:
    return word not in places.negated and word in places.plain if negated else word not in places.plain


def _parted(names: Sequence[str], passages: dict[str, int]) -> float:
    """Return the share of neighbouring known names that no passage holds together."""
    known = [passages[name] for name in names if name in passages]
    pairs = [not a & b for a, b in zip(known, known[1:], strict=False)]
    return sum(pairs) / len(pairs) if pairs else 0.0
