"""A subject is news once, whatever later fits make of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analysis.topics import Topic
from analysis.topics.watch import YOUNG, TopicWatch

D, SUBJECTS = 32, 8
NAMES = ["card", "rate", "account", "debit", "cash", "loan", "branch", "fee", "outage"]
DAY = np.datetime64("2026-03-02")


def rows(subjects: np.ndarray, seed: int) -> tuple[np.ndarray, list[str]]:
    """Unit rows (n, d) around fixed orthogonal directions, with texts that are all distinct."""
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(np.random.default_rng(3).normal(size=(D, D)))[0]
    X = centres[subjects] + 0.08 * rng.normal(size=(len(subjects), D))
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    return X, [f"{NAMES[s]} {chr(97 + n % 26)}{chr(97 + n // 26)}{seed}" for n, s in enumerate(subjects)]


PAST = np.arange(800) % SUBJECTS
TODAY = np.r_[np.arange(160) % SUBJECTS, np.full(40, SUBJECTS)]


@pytest.fixture(scope="module")
def stored() -> tuple[Any, Any]:
    X, texts = rows(PAST, 1)
    started = TopicWatch.start(X, texts, X)
    assert len(look(started, DAY)) == 1
    return started.to_arrays(), started.map.to_arrays()


@pytest.fixture
def watch(stored: tuple[Any, Any]) -> TopicWatch:
    """A subject has just emerged."""
    return TopicWatch.from_arrays(*stored)


def look(watch: TopicWatch, day: np.datetime64) -> list[tuple[Topic, tuple[int, ...]]]:
    (before, _), (today, texts) = rows(PAST, 1), rows(TODAY, 2)
    groups = np.arange(len(before)), np.arange(len(today))
    return watch.look(before, today, texts, reference_groups=groups[0], current_groups=groups[1], day=day)


def refit(watch: TopicWatch) -> None:
    (before, first), (today, second) = rows(PAST, 1), rows(TODAY, 2)
    watch.refit(np.concatenate([before, today]), first + second)


def test_a_subject_is_no_news_when_its_day_is_looked_at_again_after_a_refit(watch):
    refit(watch)
    assert not watch.provisional
    assert look(watch, DAY) == []


def test_a_provisional_topic_is_promoted_under_its_id(watch):
    (provisional,) = watch.provisional
    refit(watch)
    assert provisional in {topic.topic_id for topic in watch.model.topics_}
    today, _ = rows(TODAY, 2)
    ids = watch.assign(today)[0]
    assert (ids[TODAY == SUBJECTS] == provisional).mean() > 0.8


def test_a_subject_is_no_news_in_another_space_and_stays_provisional(watch, monkeypatch):
    monkeypatch.setattr("analysis.topics.map.FEWEST_ROWS_FOR_UMAP", 10**6)
    (provisional,) = watch.provisional
    (before, first), (today, second) = rows(PAST, 1), rows(TODAY, 2)
    X = np.concatenate([before, today])
    turned = X[:, ::-1]
    watch.move(turned, first + second, turned, watch.assign(X)[0])
    assert watch.provisional == {provisional}
    assert (watch.assign(today[:, ::-1])[0][TODAY == SUBJECTS] == provisional).mean() > 0.8
    groups = {"reference_groups": np.arange(len(before)), "current_groups": np.arange(len(today))}
    assert watch.look(before[:, ::-1], today[:, ::-1], second, day=DAY + 1, **groups) == []


def test_a_later_day_of_the_same_subject_is_no_second_topic(watch):
    assert look(watch, DAY + 1) == []
    assert len(watch.provisional) == 1


def test_a_subject_is_no_news_after_a_refit_that_dropped_its_topic(watch):
    refit(watch)
    model = watch.model
    others = np.flatnonzero(model.partition_.ids != watch.emerged.ids[0])
    model.partition_ = model.partition_.part(others)
    model.topics_ = tuple(topic for topic in model.topics_ if topic.topic_id != watch.emerged.ids[0])
    assert look(watch, DAY + 1) == []


def test_what_emerged_is_remembered_where_the_watch_is_stored(watch):
    refit(watch)
    again = TopicWatch.from_arrays(watch.to_arrays(), watch.map.to_arrays())
    assert look(again, DAY) == []


def test_a_subject_that_comes_again_when_it_is_old_is_left_to_the_reference(watch):
    refit(watch)
    assert len(look(watch, DAY + YOUNG)) == 1


def shifts(watch: TopicWatch, current: np.ndarray, day: np.datetime64) -> list[tuple[str, str]]:
    before, now = rows(PAST, 1)[0], rows(current, 4)[0]
    groups = np.arange(len(before)), np.arange(len(now))
    events = watch.shifts(before, now, reference_groups=groups[0], current_groups=groups[1], day=day)
    return [(event.kind, event.sentence) for event in events]


def test_a_topic_that_nobody_asks_about_any_more_fades_once(watch):
    without = np.arange(600) % (SUBJECTS - 1)
    ((kind, sentence),) = shifts(watch, without, DAY)
    assert kind == "shrank"
    assert sentence.startswith("Nobody asked about “")
    assert "in the week to 2026-03-02" in sentence
    again = TopicWatch.from_arrays(watch.to_arrays(), watch.map.to_arrays())
    assert shifts(again, without, DAY + 1) == []
    assert len(shifts(again, without, DAY + YOUNG)) == 1


def test_a_topic_that_triples_has_grown_and_the_others_have_not_faded(watch):
    current = np.r_[np.arange(600) % SUBJECTS, np.zeros(200, dtype=int)]
    assert [kind for kind, _ in shifts(watch, current, DAY)] == ["grew"]


def test_the_same_mix_shifts_nothing(watch):
    assert shifts(watch, np.arange(600) % SUBJECTS, DAY) == []
    assert shifts(watch, np.zeros(0, dtype=int), DAY) == []


def test_ids_begin_where_they_are_told_to():
    X, texts = rows(PAST, 1)
    low, high = TopicWatch.start(X, texts, X), TopicWatch.start(X, texts, X, first_id=100)
    assert [topic.topic_id + 100 for topic in low.model.topics_] == [topic.topic_id for topic in high.model.topics_]
    ids = low.assign(X)[0]
    assert np.array_equal(high.assign(X)[0], np.where(ids >= 0, ids + 100, -1))
    assert [replace(topic, topic_id=0) for topic in low.model.topics_] == [
        replace(topic, topic_id=0) for topic in high.model.topics_
    ]
    assert high.model.next_id_ == low.model.next_id_ + 100
