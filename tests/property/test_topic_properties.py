"""What holds for topics whatever the data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import silhouette_score

from analysis.topics.dedup import distinct, text_key
from analysis.topics.fading import holm
from analysis.topics.geometry import fill_noise, mean_directions, mean_silhouette, unit_rows
from analysis.topics.identity import match
from analysis.topics.labels import name_topics
from analysis.topics.partition import partition_from_labels

matrices = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 30), st.integers(2, 6)),
    elements=st.floats(-1, 1, width=32),
)
label_vectors = st.lists(st.integers(-1, 5), min_size=1, max_size=60).map(lambda v: np.array(v, dtype=np.int64))


@given(matrices)
def test_unit_rows_have_length_one_or_zero(X):
    lengths = np.linalg.norm(unit_rows(X), axis=1)
    assert np.all(np.isclose(lengths, 1.0, atol=1e-4) | (lengths < 1e-4))


@given(matrices, st.data())
def test_assigned_rows_have_membership_of_at_least_one_half_and_no_novelty(X, data):
    rows = unit_rows(X)
    labels = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows))), dtype=np.int64)
    labels = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    k = int(labels.max()) + 1
    ids, membership, novelty = partition_from_labels(rows, labels, np.arange(k) + 7).assign(rows)
    assert np.array_equal(ids >= 0, membership >= 0.5)
    assert np.array_equal(ids >= 0, novelty == 0)
    assert set(ids.tolist()) <= {-1, *range(7, 7 + k)}


@given(label_vectors)
def test_a_partition_matches_itself_whatever_its_numbering(labels):
    shuffled = np.where(labels >= 0, (labels * 5 + 3) % 7, -1)
    assert match(labels, shuffled) == {int((i * 5 + 3) % 7): int(i) for i in np.unique(labels[labels >= 0])}


@given(label_vectors, st.data())
def test_matching_is_one_to_one(old, data):
    new = np.array(data.draw(st.lists(st.integers(-1, 5), min_size=len(old), max_size=len(old))), dtype=np.int64)
    matched = match(old, new)
    assert len(set(matched.values())) == len(matched)


@given(matrices, st.data())
def test_filling_noise_changes_no_other_label(X, data):
    rows = unit_rows(X)
    labels = np.array(data.draw(st.lists(st.integers(-1, 0), min_size=len(rows), max_size=len(rows))), dtype=np.int64)
    filled = fill_noise(rows, labels)
    assert np.array_equal(filled[labels >= 0], labels[labels >= 0])
    assert (filled >= 0).all() or (labels < 0).all()


@given(st.lists(st.text(max_size=20), max_size=40))
def test_distinct_groups_cover_all_texts_and_share_a_key(texts):
    first, group, keys = distinct(texts)
    assert len(first) == len(keys) == len(set(keys.tolist()))
    for text, number in zip(texts, group, strict=True):
        assert text_key(text) == int(keys[number])


@given(st.text(min_size=1, max_size=30))
def test_case_and_outer_space_do_not_make_a_text_distinct(text):
    assert text_key(text) == text_key(f"  {text} ")


@given(hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1)))
def test_holm_is_monotone_and_never_below_the_raw_p_value(p):
    corrected = holm(p)
    assert np.all(corrected >= p - 1e-15)
    assert np.all(corrected <= 1)
    assert np.all(np.diff(corrected[np.argsort(p, kind="stable")]) >= -1e-15)


@settings(deadline=None)
@given(st.lists(st.lists(st.text(max_size=30), max_size=6), max_size=5))
def test_any_text_gives_unique_labels_that_are_not_empty(messages):
    labels = [name.label for name in name_topics(messages)]
    assert all(labels)
    assert len({label.casefold() for label in labels}) == len(messages)


@given(matrices)
def test_the_mean_direction_of_one_label_is_its_unit_mean(X):
    rows = unit_rows(X)
    mean = rows.mean(axis=0, dtype=np.float64)
    got = mean_directions(rows, np.zeros(len(rows), dtype=np.int64), 1)[0]
    if np.linalg.norm(mean) > 1e-3:
        assert np.allclose(got, mean / np.linalg.norm(mean), atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 12))
def test_the_silhouette_from_sums_is_that_from_all_pairs(seed, clusters):
    rng = np.random.default_rng(seed)
    rows = unit_rows(rng.normal(size=(30, 6)) + 0.5)
    rows[0] = 0.0
    labels = np.r_[np.arange(clusters), rng.integers(0, clusters, 30 - clusters)]
    assert mean_silhouette(rows, labels) == pytest.approx(silhouette_score(rows, labels, metric="cosine"), abs=1e-5)
