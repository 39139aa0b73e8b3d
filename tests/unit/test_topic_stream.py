"""In a stream in which subjects grow together or fall apart, the history tells what happened, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from analysis.topics import TopicEvent, TopicModel

D = 32
EACH = 60
OTHERS = ("card", "rate", "account", "debit", "machine", "mortgage", "loan", "cheque")
PLACES = np.linalg.qr(np.random.default_rng(5).normal(size=(D, D)))[0]
STRUCTURE = {"born", "split", "merged", "died"}


def week(apart: float, number: int) -> tuple[np.ndarray, list[str]]:
    """Eight steady subjects and two that lie ``apart`` of the way from their common middle to their own places."""
    rng = np.random.default_rng(1000 + number)
    middle = (PLACES[0] + PLACES[1]) / np.sqrt(2.0)
    centres = [*PLACES[4:12], *((1.0 - apart) * middle + apart * PLACES[own] for own in (0, 1))]
    words = [*OTHERS, "freeze", "limit"]
    X = [centre / np.linalg.norm(centre) + 0.08 * rng.normal(size=(EACH, D)) for centre in centres]
    texts = [f"{word} {letters(number * 100_000 + n * EACH + i)}" for n, word in enumerate(words) for i in range(EACH)]
    return np.vstack(X).astype(np.float32), texts


def letters(number: int) -> str:
    return "".join(chr(97 + int(digit)) for digit in str(number))


def told(weeks: Sequence[float]) -> tuple[TopicModel, list[list[TopicEvent]]]:
    """Return the model after all weeks, and what each refit told about the structure."""
    model = TopicModel().fit(*week(weeks[0], 0))
    events = []
    for number, apart in enumerate(weeks[1:], 1):
        model.refit(*week(apart, number))
        events.append([event for event in model.events_ if event.kind in STRUCTURE])
    return model, events


@pytest.mark.parametrize("weeks", [(1.0, 0.0, 0.0), (1.0, 0.66, 0.33, 0.0, 0.0), (1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0)])
def test_two_subjects_that_become_one_are_told_as_merged_and_nothing_else_is(weeks):
    model, events = told(weeks)
    flat = [event for week_events in events for event in week_events]
    assert {event.kind for event in flat} == {"merged"}
    assert len({event.related for event in flat}) == 1
    assert events[-1] == []
    rows, _ = week(0.0, 99)
    ids = model.assign(rows)[0][-2 * EACH :]
    assert (ids == flat[0].related[0]).mean() > 0.8


def test_a_subject_that_falls_apart_is_told_as_split_into_its_parts():
    model, events = told((0.0, 1.0, 1.0))
    assert [event.kind for event in events[0]] == ["split"]
    assert events[1] == []
    rows, _ = week(1.0, 99)
    ids = model.assign(rows)[0]
    parts = [np.bincount(ids[start : start + EACH] + 1).argmax() - 1 for start in (8 * EACH, 9 * EACH)]
    assert set(parts) == set(events[0][0].related)


def test_a_subject_that_falls_apart_over_five_weeks_is_told_as_split_and_both_parts_are_topics():
    model, events = told((0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.0))
    assert [event.kind for week_events in events for event in week_events] == ["split"]
    rows, _ = week(1.0, 99)
    ids = TopicModel.from_arrays(model.to_arrays()).assign(rows)[0]
    parts = {np.bincount(ids[start : start + EACH] + 1).argmax() - 1 for start in (8 * EACH, 9 * EACH)}
    assert parts == {part for week_events in events for event in week_events for part in event.related}


@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_steady_weeks_keep_every_id_and_tell_nothing(apart):
    model, events = told((apart, apart, apart))
    assert events == [[], []]
    assert model.next_id_ >= len(model.topics_) == (10 if apart else 9)


def test_a_refit_on_nothing_ends_all_topics_and_their_ids_are_not_used_again():
    model = TopicModel().fit(*week(1.0, 0))
    ids = {topic.topic_id for topic in model.topics_}
    model.refit(np.empty((0, D), dtype=np.float32), [])
    assert {event.kind for event in model.events_} == {"died"}
    assert model.topics_ == ()
    model.refit(*week(1.0, 1))
    assert not ids & {topic.topic_id for topic in model.topics_}
