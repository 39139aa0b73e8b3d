"""Questions from a grammar: meanings with slots, said in several ways, with the slips that people make."""

from __future__ import annotations

import itertools
import random
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.knowledge import CUSTOMER, STAFF

FILES = {CUSTOMER: "customer", STAFF: "staff"}
EVENT_FILE = "events"

_GREETINGS = ("Hi, ", "Hello, ", "Good morning, ", "Hello there. ")
_THANKS = (" Thanks.", " Thank you.", " Thanks a lot.")
_SAME_AGAIN = ("Sorry, again: ", "So: ", "Once more, ")
_SHORTEST_TO_MISTYPE = 4


@dataclass(frozen=True)
class Question:
    """One text that somebody may ask.

    Attributes
    ----------
    family : number of the meaning with its slots filled; texts of one family say the same thing.
    """

    text: str
    intent: str
    family: int


@dataclass(frozen=True)
class Pool:
    """All texts of one intent.

    Attributes
    ----------
    families : texts that say the same thing, by family; weights : how often each family is asked, unnormalised.
    """

    intent: str
    weight: float
    families: tuple[tuple[Question, ...], ...]
    weights: tuple[float, ...]

    @property
    def size(self) -> int:
        """Number of texts."""
        return sum(len(family) for family in self.families)


def build_pools(name: str, rng: random.Random) -> tuple[Pool, ...]:
    """Expand one file of `questions/` into pools of texts, the same for the same state of `rng`."""
    text = (Path(__file__).parent / "questions" / f"{name}.toml").read_text("utf-8")
    return tuple(_pool(row, rng) for row in tomllib.loads(text)["intent"])


def _pool(row: dict[str, Any], rng: random.Random) -> Pool:
    slips = not row.get("clean", False)
    families = []
    for number, phrases in enumerate(_families(row["meaning"])):
        texts = phrases
        if slips:
            texts = [_surface(phrase, rng) for phrase in phrases for _ in range(2)]
            texts.append(_near_duplicate(rng.choice(phrases), rng))
        families.append(tuple(Question(text, row["name"], number) for text in dict.fromkeys(texts)))
    ranks = list(range(len(families)))
    rng.shuffle(ranks)
    return Pool(row["name"], float(row.get("weight", 1)), tuple(families), tuple(1 / (rank + 4) for rank in ranks))


def _families(meanings: list[dict[str, Any]]) -> Iterator[list[str]]:
    """Yield the phrases of every meaning with every choice of its slots."""
    for meaning in meanings:
        slots: dict[str, list[str]] = meaning.get("slots", {})
        for values in itertools.product(*slots.values()):
            filled = dict(zip(slots, values, strict=True))
            yield [_sentence(phrase.format(**filled)) for phrase in meaning["phrases"]]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _surface(text: str, rng: random.Random) -> str:
    """Say a phrase as one person would type it."""
    roll = rng.random()
    if roll < 0.10:
        text = mistype(text, rng)
    elif roll < 0.22:
        text = _careless(text)
    elif roll < 0.30:
        text = rng.choice(_GREETINGS) + _lower_first(text)
    elif roll < 0.36:
        text += rng.choice(_THANKS)
    return text


def _near_duplicate(text: str, rng: random.Random) -> str:
    """Say a text once more, nearly in the same words."""
    if rng.random() < 0.5:
        return mistype(text, rng)
    return rng.choice(_SAME_AGAIN) + _lower_first(text)


def mistype(text: str, rng: random.Random) -> str:
    """Swap or drop one letter inside one longer word; text without such a word comes back as it is."""
    words = text.split(" ")
    candidates = [i for i, word in enumerate(words) if len(word) > _SHORTEST_TO_MISTYPE and word.isalpha()]
    if not candidates:
        return text
    index = rng.choice(candidates)
    word = words[index]
    at = rng.randrange(1, len(word) - 2)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    words[index] = swapped if rng.random() < 0.6 and swapped != word else word[:at] + word[at + 1 :]
    return " ".join(words)


def _careless(text: str) -> str:
    return text.rstrip("?.").lower()


def _lower_first(text: str) -> str:
    """Lower the first letter, unless it begins the word I, a name or an abbreviation."""
    first = text.split(" ", 1)[0]
    if first.startswith(("I", "Tr")) or (len(first) > 1 and first[1].isupper()):
        return text
    return text[0].lower() + text[1:]
