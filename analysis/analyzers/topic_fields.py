"""Topics of answers and of retrieved documents, for those who ask for them; nothing is watched between refits."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import pyarrow as pa

from analysis.analyzer import Batch, Context
from analysis.analyzers.topic_rows import (
    all_levels,
    artifact_row,
    counted,
    earlier_topics,
    event_row,
    human_names,
    of_themes,
    sample,
    topic_row,
    unpacked,
)
from analysis.topics import TopicEvent, TopicMap, TopicModel
from undertow.search import load_vectors
from undertow.store import reads, topic_reads

_REFIT_GROWTH = 0.5
_SEED = 0

Ids = npt.NDArray[np.int64]


class FieldStudy:
    """One run over one field. Every run reads the calls; vectors and texts only of those that it needs.

    Parameters
    ----------
    field : what is divided into topics.
    least_id : the first topic id that no other field uses.
    """

    def __init__(self, context: Context, field: Literal["response", "document"], least_id: int) -> None:
        self._context = context
        self._field = field
        self._kinds = (f"centroids_{field}", f"map_{field}")
        self._known = context.store.query(reads.TOPIC_LABELS).to_pylist()
        self._calls = context.store.query(topic_reads.CALLS[field], {"head": context.head}).to_pandas()
        self._stored_ids: set[int] = set()
        self._elsewhere = False  # whether the topics are in the space of another embedding model
        self._exemplars: dict[int, list[str]] = {}
        self._events: tuple[TopicEvent, ...] = ()
        self._least_id = least_id

    def batch(self) -> Batch | None:
        """What to write, or None where nothing is new; fits, refits or assigns."""
        fresh = self._calls["load_seq"] > self._context.watermark
        stored = self._load()
        if not fresh.any() and (stored is not None or self._calls.empty):
            return None
        moved = stored is None or self._elsewhere or self._standing() >= stored[2] * (1 + _REFIT_GROWTH)
        wanted = self._calls if moved else self._calls[fresh]
        hashes, vectors = load_vectors(
            self._context.store, self._field, self._context.embedder.name, among=wanted["content_hash"].unique()
        )
        if not len(hashes):
            return None
        if moved:
            model, layout = self._learn(stored, hashes, vectors)
            fitted = self._standing()
        elif stored is not None:
            model, layout, fitted = stored
        tables = self._tables(model, layout, wanted, (hashes, vectors), fitted, moved=moved)
        dead = sorted(self._stored_ids - {topic.topic_id for topic in all_levels(model)})
        gone = {"topics": pa.table({"topic_id": pa.array(dead, pa.int64())})} if dead else None
        self._least_id = max(self._least_id, model.next_id_)
        return Batch(tables, delete=gone, rows=len(wanted))

    @property
    def least_id(self) -> int:
        """The first topic id that this field and those before it do not use."""
        return self._least_id

    def _standing(self) -> int:
        return int(self._calls["stands"].sum())

    def _load(self) -> tuple[TopicModel, TopicMap, int] | None:
        rows = [self._context.store.query(reads.NEWEST_ARTIFACT, {"kind": kind}).to_pylist() for kind in self._kinds]
        if not all(rows):
            return None
        model = TopicModel.from_arrays(unpacked(rows[0][0]["body"]))
        self._stored_ids = {topic.topic_id for topic in all_levels(model)}
        version = orjson.loads(rows[0][0]["version"])
        self._elsewhere = version["model"] != self._context.embedder.name
        model.rename(human_names(self._known))
        return model, TopicMap.from_arrays(unpacked(rows[1][0]["body"])), int(version["rows"])

    def _learn(
        self, stored: tuple[TopicModel, TopicMap, int] | None, hashes: Any, vectors: npt.NDArray[np.float32]
    ) -> tuple[TopicModel, TopicMap]:
        """Fit or refit on the calls that stand for their turn."""
        self._context.report(0, 1, f"fit {self._field}s")
        place = pd.Index(hashes).get_indexer(self._calls["content_hash"])
        rows = np.flatnonzero(self._calls["stands"].to_numpy(bool) & (place >= 0))
        rows = rows[sample(len(rows), _SEED)]
        said = self._context.store.query(topic_reads.TEXTS[self._field], {"head": self._context.head}).to_pandas()
        texts = said.set_index("content_hash")["text"].reindex(self._calls["content_hash"].iloc[rows]).tolist()
        X = vectors[place[rows]]
        if stored is None:
            model, layout = TopicModel(seed=_SEED).fit(X, texts), TopicMap(seed=_SEED).fit(vectors)
            model.renumber(self._least_id)
        else:
            model, layout, _ = stored
            model.next_id_ = max(model.next_id_, self._least_id)
            if self._elsewhere:
                earlier = earlier_topics(self._context, self._field, self._calls["interaction_id"])
                layout = TopicMap(seed=_SEED).fit(vectors)
                model.move(X, texts, earlier[rows])
            else:
                model.refit(X, texts)
        model.locate(layout)
        interaction = self._calls["interaction_id"].to_numpy(object)[rows]
        self._exemplars = {topic.topic_id: [interaction[row] for row in topic.exemplars] for topic in all_levels(model)}
        self._events = model.events_
        return model, layout

    def _tables(
        self,
        model: TopicModel,
        layout: TopicMap,
        wanted: pd.DataFrame,
        found: tuple[Any, npt.NDArray[np.float32]],
        fitted: int,
        *,
        moved: bool,
    ) -> dict[str, pa.Table]:
        context = self._context
        assigned = _assigned(model, layout, wanted, *found)
        columns = ["interaction_id", "topic_id", "membership", "novelty", "x", "y"]
        rows = assigned[columns].assign(field=self._field, run_id=context.run_id)
        version = {"model": context.embedder.name, "rows": fitted}
        bodies = zip(self._kinds, (model.to_arrays(), layout.to_arrays()), strict=True)
        tables = {
            "topic_assignments": pa.Table.from_pandas(rows, preserve_index=False),
            "artifacts": pa.Table.from_pylist(
                [
                    artifact_row(f"topics:{kind}", kind, version, context.run_id, context.now, arrays)
                    for kind, arrays in bodies
                ]
            ),
        }
        topics = self._topic_rows(model, assigned, moved=moved)
        if topics:
            tables["topics"] = pa.Table.from_pylist(topics)
        if self._events:
            tables["topic_history"] = pa.Table.from_pylist(
                [
                    event_row(event, f"{context.run_id}:{self._field}:{number}", context.run_id, context.now)
                    for number, event in enumerate(self._events)
                ]
            )
        return tables

    def _topic_rows(self, model: TopicModel, assigned: pd.DataFrame, *, moved: bool) -> list[dict[str, Any]]:
        standing = self._calls[self._calls["stands"]][["interaction_id", "start_time"]]
        ids = assigned.set_index("interaction_id")[["topic_id", "sub_id"]]
        if not moved:
            earlier = self._context.store.query(topic_reads.ASSIGNED, {"field": self._field}).to_pandas()
            ids = pd.concat([earlier.set_index("interaction_id"), ids])
            ids = ids[~ids.index.duplicated(keep="last")]
        turns = standing.join(ids, on="interaction_id", how="inner")
        counts = {0: counted(turns, "topic_id"), 1: counted(turns, "sub_id")}
        counts[-1] = of_themes(counts[0], model.topics_)
        human = human_names(self._known)
        stored = {row["topic_id"]: row["exemplars"] for row in self._known}
        total = int(counts[0]["turns"].sum())
        shown = all_levels(model) if moved else (*model.themes_, *model.topics_)
        return [
            topic_row(topic, counts, total, self._examples(topic.topic_id, stored), human=topic.topic_id in human,
                      state="stable")
            for topic in shown
        ]  # fmt: skip

    def _examples(self, topic: int, stored: dict[int, str]) -> str:
        return orjson.dumps(self._exemplars[topic]).decode() if topic in self._exemplars else stored.get(topic, "[]")


def _assigned(
    model: TopicModel, layout: TopicMap, calls: pd.DataFrame, hashes: Any, vectors: npt.NDArray[np.float32]
) -> pd.DataFrame:
    """Calls with topic, membership, novelty, place and sub-topic."""
    ids, membership = model.assign(vectors)
    x, y = layout.place(vectors).astype(float).T
    columns = {
        "topic_id": ids,
        "membership": membership,
        "novelty": model.novelty(vectors),
        "x": x,
        "y": y,
        "sub_id": model.assign_subtopics(vectors)[0],
    }
    return calls.merge(pd.DataFrame({"content_hash": hashes, **columns}), on="content_hash")
