"""Made-up sets of labelled questions, expanded from a grammar.

A helpdesk with round intents, a shop with ragged ones, and an assistant with 150 intents of a hundred questions each
beside questions that are out of its scope.

A line of a grammar in ``topic_sets/`` is ``intent: pattern; pattern; …``. ``(a|b)`` chooses, ``{name}`` fills a
slot, and every text may get an opening and a closing. The helpdesk is balanced; the shop's intents
have sizes that fall by rank.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Labelled = tuple[list[str], NDArray[np.str_]]

_OPENINGS = ("", "", "", "", "hi, ", "hello, ", "please help: ", "quick question, ", "sorry to bother you, ")
_CLOSINGS = ("", "", "", "", " thanks", " please", " thank you", " it is urgent", " as soon as possible")
_CHOICE = re.compile(r"\(([^()]*)\)")
_SLOT = re.compile(r"\{(\w+)\}")
_TRIES = 40

_SLOTS = {
    "app": "the mail client|the calendar|the browser|the spreadsheet program|the chat tool|the ticket system".split(
        "|"
    ),
    "room": "the second floor|the meeting room|my home office|the canteen|the lab|the warehouse|the reception".split(
        "|"
    ),
    "when": "since this morning|since yesterday|after the update|since last week|for two days|all day".split("|"),
    "device": "my laptop|my workstation|my notebook|the new computer|my desktop machine".split("|"),
    "who": "a new colleague|our intern|a contractor|my team mate|the new manager|a working student".split("|"),
    "item": "the jacket|the shoes|the article|the coat|it|my purchase|the pair".split("|"),
    "gift": "my mother|a friend|my nephew|a colleague|my wife|our neighbour".split("|"),
    "place": "Austria|the countryside|an island|my office|a parcel station|Belgium|Finland".split("|"),
    "size": "medium|extra large|size 42|a smaller size|size 38|a bigger size".split("|"),
    "account": "my checking account|my savings account|the joint account|my business account".split("|"),
    "newaccount": "a savings account|a checking account|a joint account|an account for my child".split("|"),
    "money": "fifty dollars|two hundred dollars|1500 dollars|ninety euros|a thousand euros".split("|"),
    "person": "my wife|my boss|Tom|Anna|my brother|my neighbour|Grace|my son".split("|"),
    "time": "today|tomorrow|on friday|this weekend|next week|in july|tonight|on the fifth".split("|"),
    "city": "Rome|Oslo|Chicago|Madrid|Tokyo|Denver|Lisbon|Cairo|Boston|Prague".split("|"),
    "country": "Japan|Brazil|Kenya|Norway|Peru|India|Egypt|Canada".split("|"),
    "spot": "the station|the harbour|the town hall|the zoo|the mall|the stadium|the library".split("|"),
    "store": "the supermarket|the bakery|the toy store|the hardware store|the bookshop|the drugstore".split("|"),
    "bill": "electricity|water|phone|gas|internet|cable".split("|"),
    "goods": "groceries|clothes|fuel|books|coffee|toys".split("|"),
    "dish": "lasagna|pancakes|chicken soup|apple pie|beef stew|risotto|fish tacos|banana bread".split("|"),
    "household": "kitchen|bedroom|living room|hall|basement|bathroom".split("|"),
    "animal": "owls|whales|penguins|horses|bees|foxes|elephants".split("|"),
}


def helpdesk(seed: int = 0, each: int = 90) -> Labelled:
    """Return at most ``each`` distinct texts of each of 24 intents, and their intents."""
    lines = _lines("helpdesk")
    return _expand(lines, [each] * len(lines), random.Random(seed))  # noqa: S311 -- a repeatable set, not a secret


def shop(seed: int = 0, largest: int = 320) -> Labelled:
    """Return the texts of 26 intents, the first with ``largest`` texts and the others with fewer by rank."""
    lines = _lines("shop")
    sizes = [max(20, round(largest / (1 + 0.35 * rank))) for rank in range(len(lines))]
    return _expand(lines, sizes, random.Random(seed))  # noqa: S311 -- a repeatable set, not a secret


def assistant(seed: int = 0, each: int = 100) -> Labelled:
    """Return at most ``each`` distinct texts of each of 150 intents of a household assistant, and their intents."""
    lines = _lines("assistant")
    return _expand(lines, [each] * len(lines), random.Random(seed))  # noqa: S311 -- a repeatable set, not a secret


def out_of_scope(seed: int = 0, each: int = 100) -> list[str]:
    """Return questions that belong to no intent of `assistant`, ``each`` of ten kinds."""
    lines = _lines("out_of_scope")
    return _expand(lines, [each] * len(lines), random.Random(seed))[0]  # noqa: S311 -- a repeatable set, not a secret


SETS = {"made-up helpdesk": helpdesk, "made-up shop": shop, "made-up assistant": assistant}


def _lines(name: str) -> list[tuple[str, list[str]]]:
    grammar = (Path(__file__).parent / "topic_sets" / f"{name}.txt").read_text("utf-8")
    split = (line.split(": ", 1) for line in grammar.splitlines())
    return [(name, patterns.split("; ")) for name, patterns in split]


def _expand(lines: list[tuple[str, list[str]]], sizes: list[int], rng: random.Random) -> Labelled:
    texts: dict[str, str] = {}
    for (name, patterns), size in zip(lines, sizes, strict=True):
        wanted = len(texts) + size
        for _ in range(_TRIES * size):
            texts.setdefault(_text(rng.choice(patterns), rng), name)
            if len(texts) >= wanted:
                break
    return list(texts), np.array(list(texts.values()))


def _text(pattern: str, rng: random.Random) -> str:
    filled = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), pattern)
    filled = _SLOT.sub(lambda found: rng.choice(_SLOTS[found[1]]), filled)
    return f"{rng.choice(_OPENINGS)}{filled}{rng.choice(_CLOSINGS)}"
