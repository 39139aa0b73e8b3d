"""A vector for every distinct text that has none of the configured model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pyarrow.compute as pc

from analysis.analyzer import Batch, Context
from undertow.search import pack_vectors
from undertow.store import reads

_BATCH = 512
_FIELDS: tuple[Literal["document", "prompt", "response"], ...] = ("document", "prompt", "response")


class Embed:
    """Texts to vectors, in batches, so that a long run can be resumed."""

    name = "embed"
    version = "1"
    requires: tuple[str, ...] = ()

    def run(self, context: Context) -> Iterator[Batch]:
        """Embed questions, answers and documents, each distinct text once."""
        model = context.embedder.name
        texts = context.store.query(reads.TEXTS_WITHOUT_VECTOR, {"model": model})
        for field in _FIELDS:
            rows = texts.filter(pc.equal(texts["field"], field))
            hashes, contents = rows["content_hash"].to_pylist(), rows["text"].to_pylist()
            for start in range(0, len(hashes), _BATCH):
                context.report(start, len(hashes), f"{field}s")
                part = slice(start, start + _BATCH)
                vectors = context.embedder.encode(contents[part])
                yield Batch({"embeddings": pack_vectors(hashes[part], field, model, vectors)}, rows=len(vectors))
            context.report(len(hashes), len(hashes), f"{field}s")
