"""Rows of the tables of topics, and the learned arrays as bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd

from analysis.analyzer import Context
from analysis.topics import Topic, TopicEvent, TopicModel
from undertow.store import topic_reads

MOST_ROWS = 20_000
_COUNTED = {"turns": "sum", "first_seen": "min", "last_seen": "max"}


def all_levels(model: TopicModel) -> tuple[Topic, ...]:
    """Themes, topics and sub-topics of a model."""
    return (*model.themes_, *model.topics_, *model.subtopics_)


def of_themes(counts: pd.DataFrame, topics: Iterable[Topic]) -> pd.DataFrame:
    """Turns, first and last time by theme, from those by topic."""
    theme = pd.Series(counts.index.map({topic.topic_id: topic.parent_id for topic in topics}), index=counts.index)
    known = theme.notna()
    return counts[known].groupby(theme[known].astype("int64")).agg(_COUNTED)


def counted(turns: pd.DataFrame, column: str) -> pd.DataFrame:
    """Turns, first and last time by the topic in a column of ``turns``, which has ``start_time``."""
    return turns.groupby(column)["start_time"].agg(turns="size", first_seen="min", last_seen="max")


def added(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Two such counts as one."""
    return pd.concat([first, second]).groupby(level=0).agg(_COUNTED)


def earlier_topics(context: Context, field: str, interactions: pd.Series) -> npt.NDArray[np.int64]:
    """Return the topic (n,) that each call has in the store, -1 for none."""
    stored = context.store.query(topic_reads.ASSIGNED, {"field": field}).to_pandas().set_index("interaction_id")
    return np.asarray(stored["topic_id"].reindex(interactions).fillna(-1), dtype=np.int64)


def human_names(rows: Iterable[Mapping[str, Any]]) -> dict[int, str]:
    """Names that people gave, by topic id, of rows of ``topics``."""
    return {row["topic_id"]: row["label"] for row in rows if row["label_source"] == "human"}


def topic_row(
    topic: Topic, counts: Mapping[int, pd.DataFrame], total: int, exemplars: str, *, human: bool, state: str
) -> dict[str, Any]:
    """A row of ``topics``; ``counts`` by level, ``total`` turns in all."""
    known = counts[topic.level]
    found = known.loc[topic.topic_id] if topic.topic_id in known.index else None
    return {
        "topic_id": topic.topic_id,
        "label": topic.label,
        "label_source": "human" if human else "keywords",
        "keywords": orjson.dumps(topic.keywords).decode(),
        "parent_id": topic.parent_id,
        "level": topic.level,
        "size": 0 if found is None else int(found["turns"]),
        "share": 0.0 if found is None else float(found["turns"]) / max(total, 1),
        "exemplars": exemplars,
        "x": topic.x,
        "y": topic.y,
        "first_seen": None if found is None else found["first_seen"],
        "last_seen": None if found is None else found["last_seen"],
        "state": state,
    }


def event_row(event: TopicEvent, event_id: str, run_id: str, at: datetime, origin: str = "fit") -> dict[str, Any]:
    """A row of ``topic_history``."""
    return {
        "event_id": event_id,
        "topic_id": event.topic_id,
        "event": event.kind,
        "happened_at": at,
        "related": orjson.dumps(event.related).decode(),
        "origin": origin,
        "size_before": event.size_before,
        "size_after": event.size_after,
        "sentence": event.sentence,
        "run_id": run_id,
    }


def artifact_row(
    artifact_id: str, kind: str, version: Mapping[str, Any], run_id: str, now: datetime, arrays: Mapping[str, Any]
) -> dict[str, Any]:
    """A row of ``artifacts``."""
    return {
        "artifact_id": artifact_id,
        "kind": kind,
        "version": orjson.dumps(version).decode(),
        "run_id": run_id,
        "created_at": now,
        "body": packed(arrays),
    }


def sample(n: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Return which of ``n`` rows a fit gets: all, or 20,000 at random."""
    if n <= MOST_ROWS:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, MOST_ROWS, replace=False))


def packed(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Arrays as compressed npz."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def unpacked(body: bytes) -> Mapping[str, npt.NDArray[Any]]:
    """The arrays of such bytes."""
    return np.load(io.BytesIO(body), allow_pickle=False)  # type: ignore[no-any-return]
