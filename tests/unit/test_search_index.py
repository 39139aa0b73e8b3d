from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from undertow import search_index
from undertow.search import nearest, pack_vectors
from undertow.search_index import SearchIndex
from undertow.store.embedded import EmbeddedStore


def hashes(n: int, start: int = 0) -> list[str]:
    # One in a few hundred ends in a zero byte, which a type of fixed strings would lose.
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(start, start + n)]


def clustered(n: int, dim: int = 64, seed: int = 0) -> np.ndarray:
    """Unit vectors in 50 groups, as texts of the same subjects are."""
    rng = np.random.default_rng(seed)
    groups = rng.normal(size=(50, dim))
    vectors = groups[rng.integers(50, size=n)] + 0.6 * rng.normal(size=(n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def fill(store: EmbeddedStore, names: list[str], vectors: np.ndarray, model: str = "m") -> None:
    store.commit({"embeddings": pack_vectors(names, "prompt", model, vectors)}, key=f"{model}-{names[0]}")


def test_it_finds_what_the_store_holds_and_follows_its_growth(tmp_path: Path):
    names, vectors = hashes(900), clustered(900)
    with EmbeddedStore(tmp_path / "a.duckdb") as store:
        index = SearchIndex(tmp_path / "search", "prompt", "m")
        index.refresh(store)
        assert index.nearest(vectors[0], 3)[0] == []
        fill(store, names[:600], vectors[:600])
        index.refresh(store)
        assert len(index) == 600
        fill(store, names[600:], vectors[600:])
        index.refresh(store)
        for row in range(0, 900, 90):
            found, similarities = index.nearest(vectors[row], 5)
            assert found[0] == names[row]
            assert similarities[0] == pytest.approx(1, abs=2e-3)


def test_every_content_hash_comes_back_whole(tmp_path: Path):
    names = ["ab" * 31 + "00", "00" * 32, "cd" * 30 + "0000", *hashes(5)]
    vectors = clustered(len(names))
    with EmbeddedStore(tmp_path / "a.duckdb") as store:
        fill(store, names, vectors)
        index = SearchIndex(tmp_path / "search", "prompt", "m")
        index.refresh(store)
        assert set(index.nearest(vectors[0], len(names))[0]) == set(names)


def test_what_the_store_has_erased_is_gone_from_the_files_too(tmp_path: Path):
    names, vectors = hashes(100), clustered(100)
    with EmbeddedStore(tmp_path / "a.duckdb") as store:
        fill(store, names, vectors)
        index = SearchIndex(tmp_path / "search", "prompt", "m")
        index.refresh(store)
        gone = pa.table({"content_hash": names[:10], "field": ["prompt"] * 10, "model": ["m"] * 10})
        store.commit({}, key="erase", delete={"embeddings": gone})
        index.refresh(store)
        assert not set(names[:10]) & set(index.nearest(vectors[3], 100)[0])
    raw = vectors[3].astype(np.float16).tobytes()
    assert not any(raw in path.read_bytes() for path in (tmp_path / "search").rglob("*.npy"))


def test_two_processes_share_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names, vectors = hashes(50), clustered(50)
    with EmbeddedStore(tmp_path / "a.duckdb") as store:
        fill(store, names, vectors)
        SearchIndex(tmp_path / "search", "prompt", "m").refresh(store)
        monkeypatch.setattr(search_index, "load_vectors", lambda *_, **__: pytest.fail("the files were enough"))
        other = SearchIndex(tmp_path / "search", "prompt", "m")
        other.refresh(store)
        assert other.nearest(vectors[7], 1)[0] == [names[7]]


@pytest.mark.parametrize("torn", [(".npy", ".json"), (".npy",)], ids=["all", "not the header"])
def test_torn_files_are_made_again(tmp_path: Path, torn: tuple[str, ...]):
    names, vectors = hashes(50), clustered(50)
    with EmbeddedStore(tmp_path / "a.duckdb") as store:
        fill(store, names, vectors)
        SearchIndex(tmp_path / "search", "prompt", "m").refresh(store)
        for path in (tmp_path / "search").rglob("*"):
            if path.suffix in torn:
                path.write_bytes(path.read_bytes()[:40])
        index = SearchIndex(tmp_path / "search", "prompt", "m")
        index.refresh(store)
        assert index.nearest(vectors[7], 1)[0] == [names[7]]


def test_vectors_of_another_model_are_never_found(tmp_path: Path):
    names, vectors = hashes(40), clustered(40)
    with EmbeddedStore(tmp_path / "a.duckdb") as store:
        fill(store, names[:20], vectors[:20], model="old")
        fill(store, names[20:], vectors[20:], model="new")
        index = SearchIndex(tmp_path / "search", "prompt", "new")
        index.refresh(store)
        assert set(index.nearest(vectors[0], 40)[0]) == set(names[20:])


def test_sign_codes_keep_the_true_neighbours(tmp_path: Path):
    names, vectors = hashes(30_000), clustered(30_000, dim=128)
    with EmbeddedStore(tmp_path / "a.duckdb") as store:
        fill(store, names, vectors)
        index = SearchIndex(tmp_path / "search", "prompt", "m")
        index.refresh(store)
        exact, _ = nearest(vectors[:40], vectors, 10)
        found = [set(index.nearest(vectors[row], 10)[0]) for row in range(40)]
    recall = np.mean([len(found[row] & {names[i] for i in exact[row]}) / 10 for row in range(40)])
    assert recall >= 0.97
