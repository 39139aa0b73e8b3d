"""The vectors of one field and one model in mapped files, searched by meaning in milliseconds.

A search of a million vectors reads one bit a dimension of all of them (48 MB at 384 dimensions) and the
vectors themselves only of the candidates that this leaves: sign codes about the mean, compared by Hamming
distance, then exact cosines (the random-hyperplane idea of Charikar, "Similarity estimation techniques from
rounding algorithms", 2002, with the axes of the embedding as hyperplanes).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from undertow.errors import StoreError
from undertow.search import Field, load_vectors, nearest
from undertow.store.base import Store

_HEADER = "index.json"
_PREFIX = "v1-"
_EXACT_BELOW = 20_000
_CANDIDATES = 4_000
_MEAN_OF = 20_000
_HASH = np.dtype("S32")

_STATE = """
SELECT count(*) AS rows, CAST(coalesce(bit_xor(hash(content_hash)), 0) AS VARCHAR) AS mark
FROM embeddings WHERE field = $field AND model = $model
"""
_HASHES = "SELECT content_hash FROM embeddings WHERE field = $field AND model = $model"


@dataclass(frozen=True)
class _Held:
    """What the mapped files hold: identities (n,), vectors (n, dim), sign codes (words, n), mean (dim,)."""

    hashes: NDArray[Any]
    vectors: NDArray[np.float16]
    codes: NDArray[np.uint64]
    mean: NDArray[np.float32]


class SearchIndex:
    """Vectors of one field and one model, kept in step with a store.

    Parameters
    ----------
    folder : Path
        Where the files are; several processes may share it. It holds nothing that the store does not hold.
    field : {'prompt', 'response', 'document'}
    model : str
        ``Embedder.name``.
    """

    def __init__(self, folder: Path, field: Field, model: str) -> None:
        self.field = field
        self.model = model
        name = hashlib.sha256(model.encode()).hexdigest()[:12]
        self._folder = folder / f"{_PREFIX}{field}-{name}"
        self._mark: tuple[int, str] | None = None
        self._held: _Held | None = None

    def __len__(self) -> int:
        return 0 if self._held is None else len(self._held.hashes)

    def refresh(self, store: Store) -> None:
        """Take over what the store has gained or lost; costs one aggregate when nothing changed.

        Raises
        ------
        StoreError
            The store cannot be read.
        """
        row = store.query(_STATE, {"field": self.field, "model": self.model}).to_pylist()[0]
        mark = int(row["rows"]), str(row["mark"])
        if mark == self._mark:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / "lock"):
            on_disk, generation = self._header()
            if not mark[0]:
                self._held = None
                self._remove_all_but(None)
            else:
                held = self._kept(generation) if on_disk == mark else None
                if held is None:
                    generation = self._write(self._updated(store, generation), mark)
                    held = _read(self._folder / generation)
                self._held = held
        self._mark = mark

    def nearest(self, vector: NDArray[np.floating[Any]], k: int) -> tuple[list[str], NDArray[np.float32]]:
        """Find the k most similar texts.

        Parameters
        ----------
        vector : array of shape (dim,)
            Unit length.
        k : int

        Returns
        -------
        content_hashes : list of str
            At most k, most similar first.
        similarities : float32 array of the same length
            Cosines, exact to half precision. Beyond 20,000 vectors they are taken among the 4,000 (or 20 k)
            rows with the nearest sign codes.
        """
        held = self._held
        if held is None or k < 1:
            return [], np.empty(0, np.float32)
        query = np.asarray(vector, np.float32)
        rows = _candidates(held, query, max(_CANDIDATES, 20 * k))
        found, similarities = nearest(query, held.vectors[rows], k)
        return [_hex(held.hashes[row]) for row in rows[found[0]]], similarities[0]

    def _header(self) -> tuple[tuple[int, str] | None, str]:
        try:
            header = json.loads((self._folder / _HEADER).read_text())
            return (int(header["rows"]), str(header["mark"])), str(header["generation"])
        except (OSError, ValueError, KeyError):
            return None, ""

    def _kept(self, generation: str) -> _Held | None:
        """What the files hold, unless one is missing or damaged."""
        try:
            return _read(self._folder / generation) if generation else None
        except (OSError, ValueError):
            return None

    def _updated(self, store: Store, generation: str) -> tuple[NDArray[Any], NDArray[np.float16]]:
        """Identities and vectors of the store, read from it only where the old files lack them."""
        bound = {"field": self.field, "model": self.model}
        stored = _packed(store.query(_HASHES, bound).column(0).to_pylist())
        old = self._kept(generation)
        if old is None:
            hashes, vectors = load_vectors(store, self.field, self.model)
            return _packed(hashes), vectors.astype(np.float16)
        kept = np.isin(old.hashes, stored)
        missing = stored[~np.isin(stored, old.hashes)]
        hashes, vectors = load_vectors(store, self.field, self.model, among=[_hex(h) for h in missing])
        if not len(hashes):
            return old.hashes[kept], old.vectors[kept]
        return (
            np.concatenate([old.hashes[kept], _packed(hashes)]),
            np.concatenate([old.vectors[kept], vectors.astype(np.float16)]),
        )

    def _write(self, content: tuple[NDArray[Any], NDArray[np.float16]], mark: tuple[int, str]) -> str:
        """Write a new generation beside the old one, then switch; who still maps the old files keeps them."""
        hashes, vectors = content
        generation = uuid.uuid4().hex[:12]
        folder = self._folder / generation
        folder.mkdir()
        mean = vectors[:_MEAN_OF].astype(np.float32).mean(axis=0)
        for name, array in (
            ("hashes", hashes),
            ("vectors", vectors),
            ("mean", mean),
            ("codes", np.ascontiguousarray(_sign_codes(vectors, mean).T)),
        ):
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
        header = {"rows": mark[0], "mark": mark[1], "generation": generation, "model": self.model}
        fresh = self._folder / f"{_HEADER}.new"
        fresh.write_text(json.dumps(header))
        fresh.replace(self._folder / _HEADER)
        self._remove_all_but(generation)
        return generation

    def _remove_all_but(self, generation: str | None) -> None:
        """What the store has erased may not stay here either."""
        for other in self._folder.iterdir():
            if other.is_dir() and other.name != generation:
                shutil.rmtree(other, ignore_errors=True)


def _read(folder: Path) -> _Held:
    parts = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("hashes", "vectors", "codes", "mean"))
    return _Held(*parts)


def _packed(hashes: Sequence[str] | NDArray[np.object_]) -> NDArray[Any]:
    """Content hashes as 32 bytes each, shape (n,)."""
    try:
        raw = bytes.fromhex("".join(hashes))
    except ValueError:
        raise StoreError("embeddings.content_hash holds something that is no SHA-256 in hexadecimal") from None
    return np.frombuffer(raw, _HASH)


def _hex(packed: bytes) -> str:
    """A content hash in hexadecimal; the type of fixed strings drops zero bytes at the end."""
    return packed.ljust(_HASH.itemsize, b"\0").hex()


def _sign_codes(vectors: NDArray[np.floating[Any]], mean: NDArray[np.float32]) -> NDArray[np.uint64]:
    """One bit a dimension, above or below the mean; shape (n, dim / 64 rounded up)."""
    words = -(-len(mean) // 64)
    codes = np.zeros((len(vectors), words * 8), np.uint8)
    for start in range(0, len(vectors), _MEAN_OF):
        part = slice(start, start + _MEAN_OF)
        bits = np.packbits(np.asarray(vectors[part], np.float32) > mean, axis=1)
        codes[part, : bits.shape[1]] = bits
    return codes.view(np.uint64)


def _candidates(held: _Held, query: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Rows worth an exact comparison: all of a small index, else those with the nearest codes, in order."""
    if len(held.hashes) <= max(_EXACT_BELOW, count):
        return np.arange(len(held.hashes))
    code = _sign_codes(query[np.newaxis], held.mean)[0]
    distance = np.zeros(len(held.hashes), np.uint16)
    for word, column in zip(code, held.codes, strict=True):
        distance += np.bitwise_count(column ^ word)
    rows: NDArray[np.intp] = np.sort(np.argpartition(distance, count)[:count])
    return rows
