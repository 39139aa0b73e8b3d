"""Topics are found, assigned, kept through refits, and stored."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.validation import check_is_fitted

from analysis.topics import TopicMap, TopicModel

D = 32
SUBJECTS = ["lost card", "exchange rate", "closed account", "direct debit", "cash machine", "joint mortgage"]


def directions(k: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(5).normal(size=(D, D)))[0][:k]


def traffic(counts: dict[int, int], seed: int, spread: float = 0.08) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Rows around fixed orthogonal directions, with texts that are all distinct."""
    rng = np.random.default_rng(seed)
    y = np.repeat(list(counts), list(counts.values()))
    X = directions(D)[y] + spread * rng.normal(size=(len(y), D))
    texts = [f"{SUBJECTS[i % 6]} {word(seed * 1000 + n)}" for n, i in enumerate(y)]
    return X.astype(np.float32), texts, y


def word(number: int) -> str:
    return "".join(chr(97 + int(digit)) for digit in str(number))


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, list[str], np.ndarray]:
    return traffic(dict.fromkeys(range(5), 60), seed=1)


@pytest.fixture(scope="module")
def model(data) -> TopicModel:
    return TopicModel("linkage").fit(data[0], data[1])


def test_the_default_engine_finds_separated_subjects(data):
    X, texts, y = data
    fitted = TopicModel().fit(X, texts)
    inside = fitted.labels_ >= 0
    assert len(fitted.topics_) == 5
    assert inside.mean() > 0.87
    assert adjusted_rand_score(y[inside], fitted.labels_[inside]) > 0.99


def test_labels_equal_the_assignment_of_the_same_rows(data, model):
    ids, membership = model.assign(data[0])
    assert np.array_equal(ids, model.labels_)
    assert ids.dtype == np.int64
    assert np.all((membership >= 0) & (membership <= 1))


def test_topics_stand_in_the_order_of_their_centroids(model):
    assert len(model.topics_) == len(model.centroids_) == len(model.radii_) == 5
    for topic, centroid in zip(model.topics_, model.centroids_, strict=True):
        assert model.assign(centroid[None])[0][0] == topic.topic_id


def test_a_topic_carries_size_share_label_and_central_messages(data, model):
    _, texts, _ = data
    for topic in model.topics_:
        assert topic.size == int((model.labels_ == topic.topic_id).sum())
        assert topic.share == pytest.approx(topic.size / len(texts))
        assert all(topic.label in texts[row] for row in topic.exemplars)
        assert len(topic.exemplars) == 3
    assert {topic.label for topic in model.topics_} == set(SUBJECTS[:5])


def test_most_rows_are_covered_and_foreign_rows_are_rejected_as_novel(data, model):
    X, _, _ = data
    foreign, _, _ = traffic({20: 40}, seed=3)
    assert (model.assign(X)[0] >= 0).mean() > 0.87
    assert (model.assign(foreign)[0] == -1).mean() > 0.9
    assert np.all(model.novelty(foreign) > 0)
    assert np.array_equal(model.novelty(X) == 0, model.labels_ >= 0)


def test_a_new_fit_reports_one_birth_for_each_topic(model):
    assert [event.kind for event in model.events_] == ["born"] * 5


def test_repeated_texts_do_not_become_topics_of_their_own(data):
    X, texts, y = data
    rows = np.r_[np.arange(len(X)), np.repeat([0, 70, 140], 300)]
    fitted = TopicModel("linkage").fit(X[rows], [texts[i] for i in rows])
    assert len(fitted.topics_) == 5
    assert sum(topic.size for topic in fitted.topics_) == (fitted.labels_ >= 0).sum() > 1000


@pytest.mark.parametrize("engine", ["ward", "evoc", "linkage"])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 49, 50])
def test_small_inputs_fit_and_assign(engine, n):
    X, texts, _ = traffic({0: n}, seed=2)
    fitted = TopicModel(engine).fit(X.reshape(n, D), texts)
    assert fitted.labels_.shape == (n,)
    assert len(fitted.topics_) <= 1 + n // 10
    assert fitted.assign(np.zeros((2, D)))[0].tolist() == [-1, -1]


def test_identical_rows_give_no_topic_and_do_not_fail():
    fitted = TopicModel().fit(np.ones((200, D)), ["Hello."] * 200)
    assert fitted.topics_ == ()
    assert fitted.labels_.tolist() == [-1] * 200
    assert np.all(fitted.novelty(np.ones((3, D))) == 1)


def test_distinct_texts_with_identical_vectors_do_not_fail():
    fitted = TopicModel().fit(np.ones((80, D)), [word(i) for i in range(80)])
    assert len(fitted.topics_) <= 1


def test_a_refit_on_later_traffic_keeps_ids(model, data):
    later = TopicModel.from_arrays(model.to_arrays())
    X, texts, y = traffic(dict.fromkeys(range(5), 50), seed=9)
    before = later.assign(X)[0]
    later.refit(X, texts)
    assert {t.topic_id for t in later.topics_} == {t.topic_id for t in model.topics_}
    assert adjusted_rand_score(before, later.labels_) > 0.9
    assert later.events_ == ()


def test_a_model_of_one_subject_learns_the_others_and_keeps_its_own_id(data):
    X, texts, y = data
    for known in (1, 2):
        early = TopicModel("linkage").fit(X[y < known], texts[: (y < known).sum()])
        ids = {topic.topic_id for topic in early.topics_}
        assert len(ids) == known
        later = early.refit(X, texts)
        assert len(later.topics_) == 5
        assert set(later.labels_[y < known].tolist()) - {-1} == ids
        assert sum(event.kind == "born" for event in later.events_) == 5 - known


def test_a_new_subject_is_born_with_a_new_id_and_a_vanished_one_dies(model):
    later = TopicModel.from_arrays(model.to_arrays())
    gone = int(later.assign(directions(1))[0][0])
    X, texts, _ = traffic({1: 60, 2: 60, 3: 60, 4: 60, 5: 60}, seed=4)
    later.refit(X, texts)
    events = {(event.kind, event.topic_id) for event in later.events_}
    assert ("died", gone) in events
    assert [kind for kind, topic in events if topic > max(t.topic_id for t in model.topics_)] == ["born"]
    again = later.refit(*traffic(dict.fromkeys(range(5), 60), seed=6)[:2])
    assert gone not in {topic.topic_id for topic in again.topics_}, "an id is never reused"


def test_topics_stay_with_their_rows_in_another_space(model, data):
    X, texts, y = data
    elsewhere = X[:, ::-1][:, :24]
    other = TopicModel.from_arrays(model.to_arrays()).move(elsewhere, texts, np.where(y == 4, -1, model.labels_))
    (gone,) = set(model.labels_[y == 4].tolist()) - {-1}
    assert {topic.topic_id for topic in other.topics_} == {topic.topic_id for topic in model.topics_} - {gone}
    kept = (y < 4) & (model.labels_ >= 0)
    assert (other.labels_[kept] == model.labels_[kept]).mean() > 0.9
    assert np.array_equal(other.assign(elsewhere)[0], other.labels_)
    assert [(event.kind, event.topic_id) for event in other.events_] == [("died", gone)]
    with pytest.raises(ValueError, match="32 columns, but the model was fitted on 24"):
        other.assign(X)
    later = other.refit(elsewhere, texts)
    assert gone not in {topic.topic_id for topic in later.topics_}, "an id is never reused"
    with pytest.raises(ValueError, match=f"X has {len(X)} rows, but there are 5 earlier topics"):
        later.move(X, texts, y[:5])


def test_a_model_without_topics_finds_some_in_another_space(data):
    X, texts, _ = data
    model = TopicModel("linkage").fit(X[:3], texts[:3])
    assert model.topics_ == ()
    assert model.move(X[:, :24], texts, np.full(len(X), -1)).topics_


def test_growth_is_reported_with_both_sizes_under_the_name_that_a_person_gave(model):
    later = TopicModel.from_arrays(model.to_arrays())
    grown = int(later.assign(directions(1))[0][0])
    later.rename({grown: "My name", 99: "of none"})
    later = TopicModel.from_arrays(later.to_arrays())
    later.refit(*traffic({0: 240, 1: 60, 2: 60, 3: 60, 4: 60}, seed=8)[:2])
    event = next(e for e in later.events_ if e.topic_id == grown)
    assert (event.kind, event.size_before) == ("grew", model.topics_[grown].size)
    assert event.size_after > 200
    assert "“My name” grew from" in event.sentence
    assert [topic.topic_id for topic in later.topics_ if topic.label == "My name"] == [grown]


def split_traffic(apart: bool, seed: int) -> tuple[np.ndarray, list[str]]:
    """Four subjects and a fifth that is one subject or two, in the same place."""
    X, texts, y = traffic({0: 60, 1: 60, 2: 60, 3: 60, 4: 120}, seed=seed, spread=0.05)
    rows = np.flatnonzero(y == 4)
    sign = np.where(np.arange(len(rows)) % 2, 1.0, -1.0) if apart else np.zeros(len(rows))
    X[rows] += (0.75 * sign[:, None] * directions(D)[10]).astype(np.float32)
    texts = [f"{text} {'abroad' if i in rows[1::2] and apart else ''}" for i, text in enumerate(texts)]
    return X, texts


def test_a_split_and_its_reversal_are_reported():
    model = TopicModel("linkage").fit(*split_traffic(False, 1))
    parent = int(model.assign(directions(5)[4:5])[0][0])
    model.partition_.radii[:] = 0.5
    model.refit(*split_traffic(True, 2))
    split = next(event for event in model.events_ if event.kind == "split")
    assert split.topic_id == parent
    assert len(split.related) == 2
    model.partition_.radii[:] = 0.5
    model.refit(*split_traffic(False, 3))
    merged = [event for event in model.events_ if event.kind == "merged"]
    assert len(model.topics_) == 5
    assert len(merged) == 1
    assert {merged[0].topic_id, *merged[0].related} == set(split.related)


def test_state_survives_npz_without_pickle(model, data):
    buffer = io.BytesIO()
    np.savez(buffer, **model.to_arrays())
    buffer.seek(0)
    with np.load(buffer, allow_pickle=False) as arrays:
        loaded = TopicModel.from_arrays(arrays)
    assert loaded.topics_ == model.topics_
    assert loaded.get_params() == model.get_params()
    assert all(np.array_equal(a, b) for a, b in zip(loaded.assign(data[0]), model.assign(data[0]), strict=True))
    refitted = [m.refit(data[0], data[1]).topics_ for m in (loaded, TopicModel.from_arrays(model.to_arrays()))]
    assert refitted[0] == refitted[1]


def test_a_model_stored_when_the_usual_engine_was_chosen_by_size_is_refitted_under_its_ids(data):
    X, texts, _ = data
    model = TopicModel().fit(X, texts)
    arrays = model.to_arrays()
    records = {**json.loads(str(arrays["records"])), "clusterer": "auto"}
    arrays["records"] = np.array(json.dumps({name: value for name, value in records.items() if name != "names"}))
    older = {name: value for name, value in arrays.items() if not name.startswith("origin")}
    later = TopicModel.from_arrays(older).refit(X, texts)
    assert [topic.topic_id for topic in later.topics_] == [topic.topic_id for topic in model.topics_]
    assert later.events_ == ()


def test_another_schema_version_is_refused(model):
    arrays = {**model.to_arrays(), "schema_version": np.array(99)}
    with pytest.raises(ValueError, match="schema version 99, expected 1"):
        TopicModel.from_arrays(arrays)


def test_an_engine_object_is_used_unchanged_and_asked_for_when_loading(data):
    class Halves:
        def fit_predict(self, X):
            self.layers_ = ((X[:, 0] > 0).astype(int),)
            return self.layers_[0]

    engine = Halves()
    fitted = TopicModel(engine).fit(data[0], data[1])
    assert len(fitted.topics_) == 2
    assert not hasattr(engine, "layers_")
    with pytest.raises(ValueError, match="pass it as clusterer"):
        TopicModel.from_arrays(fitted.to_arrays())
    assert TopicModel.from_arrays(fitted.to_arrays(), engine).clusterer is engine


def test_the_constructor_only_stores_and_clone_works():
    model = TopicModel("linkage", min_topic_size=9, seed=3)
    assert vars(model) == {"clusterer": "linkage", "min_topic_size": 9, "seed": 3}
    assert clone(model).get_params() == model.get_params()
    with pytest.raises(ValueError, match="Invalid parameter 'k'"):
        model.set_params(k=3)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)


@pytest.mark.parametrize("kind", ["list", "numpy", "pandas", "arrow"])
def test_rows_and_texts_come_as_any_kind_of_array(kind, data, model):
    X, texts, _ = data
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), D)
    rows, said = {
        "list": (X.tolist(), tuple(texts)),
        "numpy": (7 * X.astype(np.float64), np.array(texts)),
        "pandas": (pd.Series(list(X), index=range(9, 9 + len(X))), pd.Series(texts, index=range(9, 9 + len(X)))),
        "arrow": (pa.chunked_array([vectors]), pa.array(texts)),
    }[kind]
    fitted = TopicModel("linkage").fit(rows, said)
    assert fitted.topics_ == model.topics_
    assert np.array_equal(fitted.assign(rows)[0], model.labels_)
    assert fitted.assign([])[0].shape == (0,)


@pytest.mark.parametrize("texts", [["a", None], ["a", float("nan")], "ab"])
def test_what_is_no_text_is_refused_by_its_place(texts):
    with pytest.raises(TypeError, match=r"texts\[1\] is (None|nan), expected|one string, expected"):
        TopicModel().fit(np.ones((2, 4)), texts)


@pytest.mark.parametrize(
    ("X", "texts", "message"),
    [
        (np.ones((3, 4)), ["a"], "3 rows, but there are 1 texts"),
        (np.ones(3), ["a"] * 3, r"shape \(n, d\), got shape \(3,\)"),
        (np.full((2, 4), np.nan), ["a", "b"], "2 of 2 rows hold NaN"),
    ],
)
def test_bad_input_says_what_was_got(X, texts, message):
    with pytest.raises(ValueError, match=message):
        TopicModel().fit(X, texts)


def test_an_unfitted_model_and_foreign_dimensions_are_refused(model):
    with pytest.raises(ValueError, match="not fitted"):
        TopicModel().assign(np.ones((1, 4)))
    with pytest.raises(ValueError, match="4 columns, but the model was fitted on 32"):
        model.assign(np.ones((1, 4)))
    with pytest.raises(ValueError, match="unknown clusterer"):
        TopicModel("kmeans").fit(np.ones((3, 4)), list("abc"))


def test_subtopics_divide_a_topic_and_name_their_parent():
    rng = np.random.default_rng(0)
    X, texts, y = traffic(dict.fromkeys(range(4), 120), seed=1, spread=0.04)
    sub = rng.integers(0, 3, len(y))
    X = X + 0.35 * directions(D)[8 + 3 * y + sub]
    fitted = TopicModel().fit(X, texts)
    parents = {topic.parent_id for topic in fitted.subtopics_}
    assert parents <= {topic.topic_id for topic in fitted.topics_}
    assert all(topic.level == 1 for topic in fitted.subtopics_)
    for parent in parents:
        assert sum(topic.parent_id == parent for topic in fitted.subtopics_) >= 2
    ids, _ = fitted.assign_subtopics(X)
    assert set(ids.tolist()) - {-1} == {topic.topic_id for topic in fitted.subtopics_}


def test_the_map_is_frozen_and_places_rows_among_their_neighbours(data, model):
    X, _, y = data
    fitted = TopicMap(seed=0).fit(X)
    places = fitted.place(X)
    assert places.shape == (len(X), 2)
    loaded = TopicMap.from_arrays(fitted.to_arrays())
    assert np.allclose(loaded.place(X), places, atol=1e-3)
    near = fitted.place(directions(5))
    centres = np.array([places[y == i].mean(axis=0) for i in range(5)])
    assert np.array_equal(np.linalg.norm(near[:, None] - centres[None], axis=2).argmin(axis=1), np.arange(5))
    located = TopicModel.from_arrays(model.to_arrays()).locate(fitted)
    assert all(topic.x is not None and topic.y is not None for topic in located.topics_)


@pytest.mark.parametrize("n", [0, 1, 2, 12])
def test_a_map_of_few_rows_needs_no_layout_engine(n):
    X, _, _ = traffic({0: n}, seed=1)
    fitted = TopicMap().fit(X.reshape(n, D))
    assert fitted.points_.shape == (n, 2)
    assert np.isfinite(fitted.place(np.eye(3, D))).all()


def test_an_unfitted_map_and_another_version_are_refused():
    with pytest.raises(ValueError, match="not fitted"):
        TopicMap().place(np.ones((1, 4)))
    arrays = {**TopicMap().fit(np.eye(3)).to_arrays(), "schema_version": np.array(7)}
    with pytest.raises(ValueError, match="schema version 7"):
        TopicMap.from_arrays(arrays)
