"""Frozen records that topic methods return."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

EventKind = Literal["born", "grew", "shrank", "split", "merged", "died"]


@dataclass(frozen=True)
class Topic:
    """One topic of one fit.

    Attributes
    ----------
    topic_id
        Never reused, kept across refits.
    label
        A short name that can stand in a sentence: "7 % of questions are about *label*".
    keywords
        Words and word pairs that set the topic apart, most telling first.
    parent_id
        The topic that holds this sub-topic, or the theme that holds this topic; None for a theme, and for topics
        where there are no themes.
    level
        -1 for a theme, 0 for a topic, 1 for a sub-topic.
    size
        Rows of the last fit, repeats included.
    share
        ``size`` divided by all rows of the last fit, in [0, 1].
    exemplars
        Row indices into the last fit, most central first.
    x, y
        Position on the map; None before `TopicModel.locate`.
    """

    topic_id: int
    label: str
    keywords: tuple[str, ...]
    parent_id: int | None
    level: int
    size: int
    share: float
    exemplars: tuple[int, ...]
    x: float | None = None
    y: float | None = None


@dataclass(frozen=True)
class TopicEvent:
    """Something that happened to a topic between two fits.

    Attributes
    ----------
    kind
        What happened. ``split`` stands at the topic that was divided, ``merged`` at the one that was absorbed.
    topic_id
        The topic it happened to.
    related
        The parts of a split, or the topic that absorbed this one; otherwise empty.
    size_before, size_after
        Rows of the topic in the earlier and in the later fit.
    sentence
        The same in words.
    """

    kind: EventKind
    topic_id: int
    related: tuple[int, ...]
    size_before: int
    size_after: int
    sentence: str


def renamed(topics: Iterable[Topic], names: Mapping[int, str]) -> tuple[Topic, ...]:
    """Topics with the names that people gave them, by id."""
    return tuple(replace(topic, label=names.get(topic.topic_id, topic.label)) for topic in topics)
