"""Every engine of CLUSTERERS keeps the same promises."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import homogeneity_score

from analysis.topics.clusterers import CLUSTERERS, Clusterer, load_clusterer


def blobs(k: int, n: int, dimensions: int = 32, spread: float = 0.08, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, dimensions))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    y = np.repeat(np.arange(k), n)
    X = centres[y] + spread * rng.normal(size=(k * n, dimensions)) / np.sqrt(dimensions) * 4
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), y


@pytest.fixture(scope="module", params=CLUSTERERS, ids=lambda engine: engine.name)
def engine(request: pytest.FixtureRequest) -> type[Clusterer]:
    return request.param


@pytest.fixture(scope="module")
def fitted(engine: type[Clusterer]) -> tuple[Clusterer, np.ndarray, np.ndarray]:
    X, _ = blobs(6, 60)
    clusterer = engine(min_cluster_size=5, seed=0)
    return clusterer, clusterer.fit_predict(X), X


def test_the_engine_is_documented_and_found_by_its_name(engine):
    assert engine.__doc__
    assert isinstance(load_clusterer(engine.name, 5, 0), engine)


def test_separated_blobs_are_found_and_never_mixed(fitted):
    clusterer, labels, _ = fitted
    _, y = blobs(6, 60)
    assert labels.max() + 1 >= 6
    for layer in (labels, *clusterer.layers_):
        inside = layer >= 0
        assert inside.mean() > 0.5
        if layer.max() + 1 >= 6:
            assert homogeneity_score(y[inside], layer[inside]) > 0.9


def test_labels_and_layers_are_int64_vectors_numbered_without_gaps(fitted):
    clusterer, labels, X = fitted
    for layer in (labels, *clusterer.layers_):
        assert layer.shape == (len(X),)
        assert layer.dtype == np.int64
        present = np.unique(layer[layer >= 0])
        assert present.tolist() == list(range(len(present)))
        assert layer.min() >= -1


def test_no_cluster_is_smaller_than_the_minimum(fitted):
    for layer in fitted[0].layers_:
        assert np.bincount(layer[layer >= 0]).min() >= 5


def test_layers_run_from_fine_to_coarse(fitted):
    counts = [int(layer.max(initial=-1)) for layer in fitted[0].layers_]
    assert counts == sorted(counts, reverse=True)


def test_the_labels_are_one_of_the_layers(fitted):
    clusterer, labels, _ = fitted
    assert any(np.array_equal(labels, layer) for layer in clusterer.layers_)


def test_the_same_seed_gives_the_same_labels(engine, fitted):
    _, labels, X = fitted
    again = engine(min_cluster_size=5, seed=0).fit_predict(X)
    assert np.array_equal(labels, again)


def test_the_input_is_left_unchanged(engine, fitted):
    _, _, X = fitted
    before = X.copy()
    engine(min_cluster_size=5, seed=0).fit_predict(X)
    assert np.array_equal(before, X)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="unknown clusterer 'kmeans'; known are: ward"):
        load_clusterer("kmeans", 5, 0)
