from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from undertow.errors import StoreError
from undertow.search import load_vectors, nearest, pack_vectors
from undertow.store import open_store


def unit_vectors(n: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class OneTable:
    """A store whose every answer is one given table."""

    url = "memory:"

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def query(self, sql: str, params: Any = None) -> pa.Table:
        return self.table


@pytest.mark.parametrize("n", [1, 7, 300, 16_384, 40_000])
def test_the_nearest_rows_are_those_of_a_full_sort(n: int):
    matrix, queries = unit_vectors(n), unit_vectors(5, seed=1)
    indices, similarities = nearest(queries, matrix, 6)
    expected = np.argsort(-(queries @ matrix.T), axis=1, kind="stable")[:, :6]
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(similarities, np.take_along_axis(queries @ matrix.T, expected, 1), atol=1e-6)


def test_many_queries_are_answered_block_by_block():
    matrix = unit_vectors(600)
    indices, similarities = nearest(matrix, matrix, 1)
    np.testing.assert_array_equal(indices[:, 0], np.arange(600))
    np.testing.assert_allclose(similarities, 1, atol=1e-5)


def test_half_precision_rows_are_searched_too():
    matrix = unit_vectors(500)
    wide, _ = nearest(matrix[:20], matrix, 1)
    half, _ = nearest(matrix[:20], matrix.astype(np.float16), 1)
    np.testing.assert_array_equal(wide, half)


def test_asking_for_more_neighbours_than_rows_returns_all_rows():
    indices, _ = nearest(unit_vectors(2), unit_vectors(3), 10)
    assert indices.shape == (2, 3)
    assert nearest(unit_vectors(2), np.empty((0, 16), np.float32), 10)[0].shape == (2, 0)
    assert nearest(np.empty((0, 16), np.float32), unit_vectors(3), 2)[0].shape == (0, 2)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0), ("float16", 1e-3)])
def test_packed_vectors_come_back_from_the_store_as_they_were(tmp_path: Path, dtype: Any, tolerance: float):
    matrix, hashes = unit_vectors(3000), [f"{row:04d}" for row in range(3000)]
    with open_store(f"duckdb:///{tmp_path / 'x.duckdb'}".replace("////", "///")) as store:
        store.commit({"embeddings": pack_vectors(hashes[::-1], "prompt", "m", matrix[::-1], dtype=dtype)}, key="1")
        store.commit({"embeddings": pack_vectors(hashes, "response", "m", -matrix)}, key="2")
        found_hashes, found = load_vectors(store, "prompt", "m")
        assert load_vectors(store, "prompt", "another model")[1].shape == (0, 0)
    assert found_hashes.tolist() == hashes
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, matrix, atol=tolerance)


def test_rows_of_both_precisions_are_read_together():
    matrix, hashes = unit_vectors(4), list("abcd")
    parts = [
        pack_vectors(hashes[:2], "prompt", "m", matrix[:2], dtype="float16"),
        pack_vectors(hashes[2:], "prompt", "m", matrix[2:], dtype="float32"),
    ]
    found_hashes, found = load_vectors(OneTable(pa.concat_tables(parts)), "prompt", "m")
    assert found_hashes.tolist() == hashes
    np.testing.assert_allclose(found, matrix, atol=1e-3)


def test_one_contiguous_answer_is_read_without_a_copy():
    table = pack_vectors(list("abcd"), "prompt", "m", unit_vectors(4), dtype="float32")
    _, found = load_vectors(OneTable(table), "prompt", "m")
    assert found.ctypes.data == table["vector"].chunk(0).buffers()[2].address


def test_a_slice_of_an_answer_is_read_from_its_own_offset():
    table = pack_vectors(list("abcd"), "prompt", "m", matrix := unit_vectors(4), dtype="float32").slice(1, 2)
    _, found = load_vectors(OneTable(table), "prompt", "m")
    np.testing.assert_array_equal(found, matrix[1:3])


def test_vectors_of_different_dimension_are_refused_with_both_dimensions():
    table = pa.concat_tables(
        [
            pack_vectors(["a"], "prompt", "m", unit_vectors(1, 16)),
            pack_vectors(["b"], "prompt", "m", unit_vectors(1, 8)),
        ]
    )
    with pytest.raises(StoreError, match=r"\[8, 16\]"):
        load_vectors(OneTable(table), "prompt", "m")


def test_a_truncated_vector_is_refused():
    table = pack_vectors(["a", "b"], "prompt", "m", unit_vectors(2))
    short = pa.array([b"\0" * 32, b"\0" * 31], pa.large_binary())
    with pytest.raises(StoreError, match="32 bytes"):
        load_vectors(OneTable(table.set_column(5, "vector", short)), "prompt", "m")


def test_hashes_and_vectors_must_be_as_many():
    with pytest.raises(ValueError, match="1 content hashes for 2 vectors"):
        pack_vectors(["a"], "prompt", "m", unit_vectors(2))


def test_vectors_are_read_of_the_wanted_texts_alone(tmp_path: Path):
    names, matrix = [f"h{n}" for n in range(6)], unit_vectors(6)
    with open_store(f"duckdb://{tmp_path}/u.duckdb") as store:
        store.commit({"embeddings": pack_vectors(names, "prompt", "m", matrix, dtype="float32")}, key="k")
        found, rows = load_vectors(store, "prompt", "m", among=["h4", "h1", "h1", "unknown"])
        assert found.tolist() == ["h1", "h4"]
        np.testing.assert_array_equal(rows, matrix[[1, 4]])
        assert load_vectors(store, "prompt", "m", among=[])[1].shape == (0, 0)
