"""Search by meaning over stored vectors, and the form in which vectors are stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from undertow.errors import StoreError
from undertow.store.base import Store

Field = Literal["prompt", "response", "document"]
Dtype = Literal["float32", "float16"]
Floats = NDArray[np.floating[Any]]

_QUERY_BLOCK = 256
_ROW_BLOCK = 16_384
_ASKED_AT_ONCE = 20_000
_VECTORS = "SELECT content_hash, dim, dtype, vector FROM embeddings WHERE field = ? AND model = ?"


def nearest(query_vectors: Floats, matrix: Floats, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the k most similar rows for each query, exactly.

    Parameters
    ----------
    query_vectors : array of shape (n_queries, dim)
        Unit vectors.
    matrix : array of shape (n, dim)
        Unit vectors; float16 is widened block by block.
    k : int
        Neighbours wanted; fewer are returned when the matrix has fewer rows.

    Returns
    -------
    indices : int64 array of shape (n_queries, min(k, n))
        Rows of ``matrix``, most similar first; equal similarities in the order of the rows.
    similarities : float32 array of the same shape
        Cosines.

    Notes
    -----
    Works on blocks of 256 queries by 16,384 rows, so that memory stays near 16 MB whatever n is.
    """
    queries = np.atleast_2d(np.asarray(query_vectors, np.float32))
    k = max(0, min(k, len(matrix)))
    indices = np.empty((len(queries), k), np.int64)
    similarities = np.empty((len(queries), k), np.float32)
    if k:
        for start in range(0, len(queries), _QUERY_BLOCK):
            block = slice(start, start + _QUERY_BLOCK)
            indices[block], similarities[block] = _nearest_block(queries[block], matrix, k)
    return indices, similarities


def _nearest_block(
    queries: NDArray[np.float32], matrix: Floats, k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    best = np.empty((len(queries), 0), np.float32)
    rows = np.empty((len(queries), 0), np.int64)
    for start in range(0, len(matrix), _ROW_BLOCK):
        block = matrix[start : start + _ROW_BLOCK].astype(np.float32, copy=False)
        found = queries @ block.T
        here = _top(found, k)
        best = np.hstack([best, np.take_along_axis(found, here, 1)])
        rows = np.hstack([rows, here + start])
        keep = _top(best, k)
        best, rows = np.take_along_axis(best, keep, 1), np.take_along_axis(rows, keep, 1)
    order = np.lexsort((rows, -best), axis=1)
    return np.take_along_axis(rows, order, 1), np.take_along_axis(best, order, 1)


def _top(similarities: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Columns of the k largest values in each row, in no order; shape (n, min(k, columns))."""
    columns = similarities.shape[1]
    if columns <= k:
        return np.broadcast_to(np.arange(columns), similarities.shape)
    return np.argpartition(similarities, columns - k, axis=1)[:, columns - k :]


def load_vectors(
    store: Store, field: Field, model: str, *, among: Iterable[str] | None = None
) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
    """Read the vectors of one field and one model.

    Parameters
    ----------
    store : Store
        Any store.
    field : {'prompt', 'response', 'document'}
        What was embedded.
    model : str
        ``Embedder.name``; vectors of different models are never mixed.
    among : iterable of str, optional
        Only vectors of these content hashes; by default all.

    Returns
    -------
    content_hashes : object array of shape (n,)
        Sorted.
    matrix : float32 array of shape (n, dim)
        Vectors in the same order; shape (0, 0) when there are none. Read-only where it is a view of
        the answer's own memory.

    Raises
    ------
    StoreError
        Stored vectors of this model differ in their dimension, or are not as long as they claim.
    """
    if among is None:
        table = store.query(f"{_VECTORS} ORDER BY content_hash", [field, model])
    else:
        wanted = sorted(set(among))
        sql = f"{_VECTORS} AND content_hash IN (SELECT unnest(CAST(? AS VARCHAR[]))) ORDER BY content_hash"
        parts = [wanted[start : start + _ASKED_AT_ONCE] for start in range(0, len(wanted), _ASKED_AT_ONCE)]
        table = pa.concat_tables([store.query(sql, [field, model, part]) for part in parts or [[]]])
    hashes = table["content_hash"].to_numpy(zero_copy_only=False)
    if not len(hashes):
        return hashes, np.empty((0, 0), np.float32)
    dims = pc.unique(table["dim"]).to_pylist()
    if len(dims) != 1:
        raise StoreError(f"The {field} vectors of {model} have dimensions {sorted(dims)}, expected one dimension.")
    return hashes, _matrix(table, int(dims[0]))


def _matrix(table: pa.Table, dim: int) -> NDArray[np.float32]:
    """Stack the BLOBs of a table, shape (n, dim); rows may differ in dtype."""
    dtypes = pc.unique(table["dtype"]).to_pylist()
    if len(dtypes) == 1:
        return _stack(table["vector"], dim, np.dtype(dtypes[0]))
    matrix = np.empty((table.num_rows, dim), np.float32)
    for dtype in dtypes:
        chosen = pc.equal(table["dtype"], dtype)
        matrix[chosen.to_numpy()] = _stack(table.filter(chosen)["vector"], dim, np.dtype(dtype))
    return matrix


def _stack(column: pa.ChunkedArray, dim: int, dtype: np.dtype[Any]) -> NDArray[np.float32]:
    """View the data buffers of a binary column as rows; copies only to join chunks or widen float16."""
    parts = [_rows_of(chunk.cast(pa.large_binary()), dim, dtype) for chunk in column.chunks if len(chunk)]
    joined = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return joined.astype(np.float32, copy=False)


def _rows_of(chunk: pa.LargeBinaryArray, dim: int, dtype: np.dtype[Any]) -> Floats:
    width = dim * dtype.itemsize
    _, offset_buffer, data = chunk.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
    if chunk.null_count or np.any(np.diff(offsets) != width):
        raise StoreError(f"A stored vector is not {width} bytes long, as dimension {dim} of {dtype} asks.")
    values = np.frombuffer(data, np.uint8, count=len(chunk) * width, offset=int(offsets[0]))
    rows: Floats = values.view(dtype).reshape(len(chunk), dim)
    return rows


def pack_vectors(
    content_hashes: Sequence[str], field: Field, model: str, matrix: Floats, *, dtype: Dtype = "float16"
) -> pa.Table:
    """Lay vectors out as rows of ``embeddings``.

    Parameters
    ----------
    content_hashes : sequence of str, length n
        Identities of the texts.
    field : {'prompt', 'response', 'document'}
        What was embedded.
    model : str
        ``Embedder.name``.
    matrix : array of shape (n, dim)
        Vectors in the same order.
    dtype : {'float16', 'float32'}
        Precision on disk; float16 halves the space and moves a cosine by less than .001.

    Returns
    -------
    pyarrow.Table
        Columns ``content_hash, field, model, dim, dtype, vector``.
    """
    count, dim = matrix.shape
    if len(content_hashes) != count:
        raise ValueError(f"{len(content_hashes)} content hashes for {count} vectors; expected one each")
    packed = np.ascontiguousarray(matrix, dtype=dtype)
    offsets = np.arange(count + 1, dtype=np.int64) * (dim * packed.itemsize)
    vectors = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(packed)]
    )
    return pa.table(
        {
            "content_hash": pa.array(content_hashes, pa.string()),
            "field": pa.repeat(field, count),
            "model": pa.repeat(model, count),
            "dim": pa.repeat(pa.scalar(dim, pa.int32()), count),
            "dtype": pa.repeat(dtype, count),
            "vector": vectors,
        }
    )
