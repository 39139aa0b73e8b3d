"""Finds calls by what they say or mean: the search of the command line and of the dashboard."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from undertow.embedding import Embedder
from undertow.errors import QueryError
from undertow.search import Field, load_vectors
from undertow.search_index import SearchIndex
from undertow.store.base import Store
from undertow.text import normalise

By = Literal["both", "meaning", "text"]
FIELDS: tuple[Field, ...] = ("prompt", "response", "document")

_FUSION = 60
# A filter applies to calls, a vector to a text: more texts are asked for than shown.
_SPARE = 20

_TEXTS: Mapping[Field, str] = {
    "prompt": """
        SELECT interaction_id, prompt_text_hash AS content_hash, prompt AS text, start_time, service_name
        FROM semantic_interactions i WHERE prompt_text_hash IS NOT NULL AND {scope}
    """,
    "response": """
        SELECT interaction_id, response_text_hash AS content_hash, response AS text, start_time, service_name
        FROM semantic_interactions i WHERE response_text_hash IS NOT NULL AND {scope}
    """,
    "document": """
        SELECT i.interaction_id, d.content_hash, d.content AS text, i.start_time, i.service_name
        FROM documents d JOIN semantic_interactions i USING (interaction_id)
        WHERE d.content_hash IS NOT NULL AND {scope}
    """,
}
_NEWEST_PER_TEXT = """
    SELECT content_hash, any_value(text) AS text, arg_max(interaction_id, start_time) AS interaction_id,
           arg_max(service_name, start_time) AS service_name, max(start_time) AS last_seen, count(*) AS calls
    FROM ({texts}) WHERE {which} GROUP BY content_hash
"""
_AMONG = "content_hash IN (SELECT unnest(CAST($hashes AS VARCHAR[])))"
_BEST = "ORDER BY calls DESC, last_seen DESC, content_hash LIMIT $most"


@dataclass(frozen=True)
class Found:
    """One distinct text and the newest call that carries it.

    Attributes
    ----------
    field, content_hash, text : what was found.
    similarity : cosine to what was asked, or None where only the wording matched.
    worded : whether the text contains what was asked literally.
    interaction_id, service_name, last_seen : of its newest call; time naive UTC.
    calls : calls that carry the same text.
    """

    field: Field
    content_hash: str
    text: str
    similarity: float | None
    worded: bool
    interaction_id: str
    service_name: str
    last_seen: datetime
    calls: int


class Finder:
    """Search by meaning and by text over prompts, responses and documents.

    Parameters
    ----------
    store : callable
        Gives the open store, which may be another one after a reconnection.
    embedder : callable
        Gives the embedder when the first search by meaning needs it; only vectors of its model are searched.
    folder : Path
        Where the indexes are kept (``search`` in the data folder).
    """

    def __init__(self, store: Callable[[], Store], embedder: Callable[[], Embedder], *, folder: Path) -> None:
        self._store = store
        self._embedder = cache(embedder)
        self._folder = folder
        self._indexes: dict[Field, SearchIndex] = {}

    def find(
        self,
        asked: str,
        field: Field = "prompt",
        *,
        by: By = "both",
        limit: int = 10,
        scope: str = "TRUE",
        params: Mapping[str, Any] | None = None,
    ) -> list[Found]:
        """Find distinct texts, best first.

        Parameters
        ----------
        asked : str
            Words, or a sentence that means what is looked for.
        field : {'prompt', 'response', 'document'}
        by : {'both', 'meaning', 'text'}
            ``both`` joins the two rankings by reciprocal rank fusion with k = 60 (Cormack, Clarke and
            Büttcher, "Reciprocal rank fusion outperforms Condorcet", SIGIR 2009).
        limit : int
        scope, params : str and mapping
            SQL predicate over a call ``i`` and its values: only calls that it holds for are found.

        Raises
        ------
        QueryError
            Nothing was asked for, or the store holds no vector of the configured model.
        """
        asked = normalise(asked).strip()
        if not asked:
            raise QueryError("there is nothing to search for: give a word or a sentence")
        bound = dict(params or {})
        worded = [] if by == "meaning" else self._by_text(asked, field, limit, scope, bound)
        meant: list[Found] = []
        if by != "text":
            vector = self._embedder().encode([asked])[0]
            meant = self._by_vector(vector, field, limit, scope, bound)
        return _fused(meant, worded)[:limit]

    def like(
        self,
        content_hash: str,
        field: Field = "prompt",
        *,
        limit: int = 10,
        scope: str = "TRUE",
        params: Mapping[str, Any] | None = None,
    ) -> list[Found]:
        """Find texts near a stored one, which is left out; nothing where it has no vector."""
        _, matrix = load_vectors(self._store(), field, self._embedder().name, among=[content_hash])
        if not len(matrix):
            return []
        found = self._by_vector(matrix[0], field, limit + 1, scope, dict(params or {}))
        return [item for item in found if item.content_hash != content_hash][:limit]

    def _by_vector(self, vector: Any, field: Field, limit: int, scope: str, bound: Mapping[str, Any]) -> list[Found]:
        index = self._indexes.get(field)
        if index is None:
            index = self._indexes[field] = SearchIndex(self._folder, field, self._embedder().name)
        index.refresh(self._store())
        if not len(index):
            raise QueryError(
                f"there is no {field} vector of {index.model} in the store: run `undertow analyze --only embed`,"
                " or search by text"
            )
        wanted = limit * _SPARE
        while True:
            hashes, similarities = index.nearest(vector, wanted)
            cosine = dict(zip(hashes, similarities.tolist(), strict=True))
            rows = self._calls(field, _AMONG, "", scope, {**bound, "hashes": hashes})
            if rows.num_rows >= limit or wanted >= len(index):
                break
            wanted *= _SPARE
        found = [_found(field, row, similarity=cosine[row["content_hash"]]) for row in rows.to_pylist()]
        return sorted(found, key=lambda item: (-(item.similarity or 0.0), item.content_hash))[:limit]

    def _by_text(self, asked: str, field: Field, limit: int, scope: str, bound: Mapping[str, Any]) -> list[Found]:
        # A stored text is as it was sent: its accents may be letters of their own.
        forms = sorted({asked, unicodedata.normalize("NFD", asked)})
        needles = {f"needle_{number}": form for number, form in enumerate(forms)}
        which = " OR ".join(f"contains(lower(text), lower(${name}))" for name in needles)
        rows = self._calls(field, f"({which})", _BEST, scope, {**bound, **needles, "most": limit})
        return [_found(field, row, worded=True) for row in rows.to_pylist()]

    def _calls(self, field: Field, which: str, order: str, scope: str, bound: Mapping[str, Any]) -> pa.Table:
        texts = _TEXTS[field].replace("{scope}", scope)
        return self._store().query(f"{_NEWEST_PER_TEXT.format(texts=texts, which=which)} {order}", bound)


def _found(field: Field, row: Mapping[str, Any], *, similarity: float | None = None, worded: bool = False) -> Found:
    return Found(field=field, similarity=similarity, worded=worded, **row)


def _fused(meant: Sequence[Found], worded: Sequence[Found]) -> list[Found]:
    """One ranking from two; what is in both counts twice."""
    score: dict[str, float] = {}
    item: dict[str, Found] = {}
    literal = {found.content_hash for found in worded}
    for ranking in (worded, meant):
        for rank, found in enumerate(ranking):
            key = found.content_hash
            score[key] = score.get(key, 0.0) + 1 / (_FUSION + rank + 1)
            item[key] = replace(found, worded=key in literal)
    return sorted(item.values(), key=lambda found: (-score[found.content_hash], found.content_hash))
