"""A vector for every distinct text that has none of the configured model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from analysis.analyzer import Batch, Context
from undertow.embedding import Progress
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
        if not texts.num_rows:
            return
        elsewhere = context.store.query(reads.VECTORS_OF_OTHER_FIELDS, {"model": model})
        if elsewhere.num_rows:
            yield Batch({"embeddings": elsewhere}, rows=elsewhere.num_rows)
        done = set(zip(elsewhere["field"].to_pylist(), elsewhere["content_hash"].to_pylist(), strict=True))
        counts = pc.value_counts(texts["content_hash"])
        several = set(counts.filter(pc.greater(counts.field("counts"), 1)).field("values").to_pylist())
        shared: dict[str, npt.NDArray[np.float32]] = {}  # vectors of texts that are still to come in another field
        for field in _FIELDS:
            rows = texts.filter(pc.equal(texts["field"], field)).to_pydict()
            said = {
                key: text
                for key, text in zip(rows["content_hash"], rows["text"], strict=True)
                if (field, key) not in done
            }
            known = [key for key in said if key in shared]
            if known:
                found = np.stack([shared[key] for key in known])
                yield Batch({"embeddings": pack_vectors(known, field, model, found)}, rows=len(known))
            hashes = [key for key in said if key not in shared]
            for start in range(0, len(hashes), _BATCH):
                part = hashes[start : start + _BATCH]
                tell = _from(start, len(hashes), field, context)
                vectors = context.embedder.encode([said[key] for key in part], progress=tell)
                shared |= {key: vector for key, vector in zip(part, vectors, strict=True) if key in several}
                yield Batch({"embeddings": pack_vectors(part, field, model, vectors)}, rows=len(part))
            context.report(len(hashes), len(hashes), f"{field}s")


def _from(start: int, total: int, field: str, context: Context) -> Progress:
    """The progress of one batch as progress of all texts of its field."""
    return lambda done, _: context.report(start + done, total, f"{field}s")
