"""A subject is news once, whatever later fits make of it."""

from __future__ import annotations

from dataclasses import replace

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


@pytest.fixture
def watch() -> TopicWatch:
    X, texts = rows(PAST, 1)
    started = TopicWatch.start(X, texts, X)
    assert len(look(started, DAY)) == 1
    return started


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
