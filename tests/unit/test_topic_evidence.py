"""A refit changes the structure of topics where the rows prove it, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.topics import TopicModel
from analysis.topics.clusterers import load_clusterer
from analysis.topics.evidence import is_one_cloud
from analysis.topics.geometry import IntArray, mean_directions, unit_rows
from analysis.topics.granularity import choose_labels
from analysis.topics.layers import Layering
from analysis.topics.memory import LARGEST_MEMORY, Memory
from analysis.topics.partition import Partition, partition_from_labels

D = 32


def rows(counts: dict[int, int], seed: int, spread: float = 0.07) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(np.random.default_rng(5).normal(size=(D, D)))[0]
    y = np.repeat(list(counts), list(counts.values()))
    X = centres[y] + spread * rng.normal(size=(len(y), D))
    letters = [chr(97 + seed) + "".join(chr(97 + int(c)) for c in str(n)) for n in range(len(y))]
    return X.astype(np.float32), [f"subject {chr(97 + i)} {word}" for i, word in zip(y, letters, strict=True)]


@pytest.fixture(scope="module")
def past() -> tuple[np.ndarray, list[str]]:
    return rows(dict.fromkeys(range(6), 60), 1)


def test_a_clusterer_that_draws_other_borders_changes_nothing(past):
    class Engine:
        def fit_predict(self, X: np.ndarray) -> IntArray:
            base = load_clusterer("linkage", 5, 0).fit_predict(X)
            return np.where(base >= 0, 2 * base + (X[:, 3] > 0), -1)

    model = TopicModel("linkage").fit(*past)
    later = TopicModel.from_arrays(model.to_arrays(), Engine())
    ids = [topic.topic_id for topic in model.topics_]
    later.refit(*rows(dict.fromkeys(range(6), 70), 2))
    assert [topic.topic_id for topic in later.topics_] == ids
    assert later.events_ == ()


def test_a_refit_on_rows_already_seen_moves_nothing(past):
    X, texts = past
    model = TopicModel("linkage").fit(X, texts)
    chosen = np.sort(np.random.default_rng(0).choice(len(X), int(0.8 * len(X)), replace=False))
    later = TopicModel.from_arrays(model.to_arrays()).refit(X[chosen], [texts[i] for i in chosen])
    assert np.array_equal(model.assign(X)[0], later.assign(X)[0])


def test_shares_before_and_after_are_counted_by_the_same_rule(past):
    model = TopicModel("linkage").fit(*past)
    wide = TopicModel.from_arrays(model.to_arrays())
    wide.partition_.radii[0] *= 0.4  # most rows of this topic count as outliers from here on, before and after
    topic = int(wide.partition_.ids[0])
    wide.refit(*rows(dict.fromkeys(range(6), 70), 3))
    assert [event for event in wide.events_ if event.topic_id == topic and event.kind in ("grew", "shrank")] == []


def test_a_model_stored_without_a_memory_is_read_and_keeps_its_topics(past):
    model = TopicModel("linkage").fit(*past)
    arrays = {
        k: v
        for k, v in model.to_arrays().items()
        if k not in ("memory", "memory_weights", "origin", "origin_ids", "chosen_on")
    }
    later = TopicModel.from_arrays(arrays).refit(*rows(dict.fromkeys(range(6), 60), 4))
    assert {t.topic_id for t in later.topics_} == {t.topic_id for t in model.topics_}


def test_the_memory_is_bounded_and_knows_how_often_each_row_was_said():
    X = np.random.default_rng(0).normal(size=(LARGEST_MEMORY + 10, 4)).astype(np.float32)
    memory = Memory.of(X, np.full(len(X), 3), seed=0)
    assert len(memory.rows) == LARGEST_MEMORY
    assert set(memory.weights.tolist()) == {3}


def test_the_layer_on_which_two_halves_agree_is_chosen(past):
    X = past[0]
    truth = np.repeat(np.arange(6), 60)
    engine = Layering("ward", None, 0)
    halved = truth * 2 + np.random.default_rng(0).integers(0, 2, len(X))
    labels, _ = choose_labels(X, [halved, truth, truth // 3], engine)
    assert np.array_equal(labels, truth)


def cloud(place: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return unit_rows(place + 0.1 * rng.normal(size=(n, len(place))))


def test_pieces_of_one_cloud_are_one_and_two_clouds_are_two():
    rng = np.random.default_rng(0)
    one, other = np.eye(2, 24)
    vectors = cloud(one, 120, rng)
    side = (vectors[:, 2] > 0).astype(np.int64)
    assert is_one_cloud(vectors, mean_directions(vectors, side, 2))
    both = np.vstack([vectors[:60], cloud(one + other, 60, rng)])
    assert not is_one_cloud(both, mean_directions(both, np.repeat([0, 1], 60), 2))


def test_radii_hold_most_new_rows_of_small_topics_too():
    rng = np.random.default_rng(0)
    places = np.linalg.qr(rng.normal(size=(64, 64)))[0][:20]
    y = np.repeat(np.arange(20), 12)
    vectors = np.vstack([cloud(place, 12, rng) for place in places])
    partition = partition_from_labels(vectors, y, np.arange(20))
    new = np.vstack([cloud(place, 50, rng) for place in places])
    covered = (partition.assign(new)[0] >= 0).mean()
    assert 0.9 <= covered <= 0.98


def test_a_topic_grew_only_if_its_old_borders_say_so_too():
    vectors = np.vstack([np.tile([1.0, 0.0], (80, 1)), np.tile([0.0, 1.0], (20, 1))]).astype(np.float32)
    memory = Memory.of(vectors, np.ones(100, dtype=np.int64), 0)
    ids, radii = np.array([7]), np.array([0.1], dtype=np.float32)
    old, new = (Partition(ids, np.array([place], dtype=np.float32), radii) for place in ([1.0, 0.0], [0.0, 1.0]))
    assert memory.closest_shares((old, new), {7: 0.75})[7][0] == pytest.approx(0.8)
    assert memory.closest_shares((old, new), {7: 0.1})[7][0] == pytest.approx(0.2)
