"""Topics of the questions: fitted once, watched day by day, refitted when enough is new."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import pyarrow as pa

from analysis.analyzer import Batch, Context
from analysis.drift import session_groups
from analysis.topics import Topic, TopicEvent
from analysis.topics.watch import TopicWatch, renamed
from analysis.turns import Turns, read_turns
from undertow.clock import parse_duration
from undertow.store import reads

FIELD = "prompt"
_SEED = 0
_HELD_BACK_DAYS = 7  # a first run leaves them out of its fit, so that it can say what emerged in them
_LEAST_PAST_ROWS = 300
_LEAST_PAST_DAYS = 14
_REFIT_GROWTH = 0.5
_MOST_ROWS = 20_000


class Topics:
    """Keeps the topic model: fit, watch, refit, assign."""

    name = "topics"
    version = "1"
    requires = ("embed",)

    def run(self, context: Context) -> Iterator[Batch]:
        """Assign what is new; say what emerged."""
        wanted = context.store.query(reads.TO_ASSIGN, context.scope).to_pandas()
        if wanted.empty:
            return
        study = _Study(context, read_turns(context, (FIELD,)))
        if len(study) == 0:
            return
        study.watch_days()
        study.refit_if_due()
        yield Batch(study.tables(), delete=study.gone(), rows=len(wanted))


class _Study:
    """One run over the turns that have a vector."""

    def __init__(self, context: Context, turns: Turns) -> None:
        self._context = context
        present = ~np.isnan(turns.vectors[FIELD][:, 0])
        self._frame = turns.frame[present].reset_index(drop=True)
        self._vectors = turns.vectors[FIELD][present]
        self._texts = self._frame["prompt"].tolist()
        self._day = self._frame["day"].to_numpy().astype("datetime64[D]")
        self._events: list[dict[str, Any]] = []
        self._exemplars: dict[int, list[str]] = {}
        self._moved = False  # whether calls that were assigned earlier may belong elsewhere now
        self._before = {row["topic_id"] for row in context.store.query(reads.TOPIC_LABELS).to_pylist()}
        if len(self._frame):
            self._watch, self._fitted_rows, self._seen_day = self._load() or self._start()

    def __len__(self) -> int:
        return len(self._frame)

    def watch_days(self) -> None:
        """Look for emerging subjects in each day since the last look."""
        groups = session_groups(
            self._frame["session_id"].to_numpy(object),
            self._frame["user_id"].to_numpy(object),
            self._frame["trace_id"].to_numpy(object),
            self._frame["start_time"].to_numpy(),
            vectors=self._vectors,
        ).groups
        reach = np.timedelta64(parse_duration(self._context.settings.analysis.reference))
        days = np.unique(self._day[self._day >= self._seen_day])
        for number, day in enumerate(days):
            self._context.report(number, len(days), f"emerging {day}")
            before = np.flatnonzero((self._day >= day - reach) & (self._day < day))
            today = np.flatnonzero(self._day == day)
            found = self._watch.look(
                self._vectors[before],
                self._vectors[today],
                [self._texts[row] for row in today],
                reference_groups=groups[before],
                current_groups=groups[today],
            )
            for topic, members in found:
                self._note_birth(topic, today[list(members)])
        self._seen_day = days[-1] if len(days) else self._seen_day

    def refit_if_due(self) -> None:
        """Refit once the traffic has grown by half."""
        if len(self) < self._fitted_rows * (1 + _REFIT_GROWTH):
            return
        self._context.report(0, 1, "refit")
        rows = _sample(len(self), _MOST_ROWS)
        events = self._watch.refit(self._vectors[rows], [self._texts[row] for row in rows])
        born = set(self._exemplars)
        self._fitted_rows, self._moved = len(self), True
        self._remember_exemplars(self._watch.model.topics_, rows)
        for event in events:
            if event.kind != "born" or event.topic_id not in born:
                self._events.append(self._event(event, self._context.now))

    def tables(self) -> dict[str, pa.Table]:
        """Everything this run writes."""
        ids, membership, novelty, places = self._watch.assign(self._vectors)
        topics = self._topic_rows(ids)
        tables = {
            "topic_assignments": self._assignments(ids, membership, novelty, places),
            "artifacts": self._artifacts(),
        }
        if topics:
            tables["topics"] = pa.Table.from_pylist(topics)
        if self._events:
            tables["topic_history"] = pa.Table.from_pylist(self._events)
        return tables

    def gone(self) -> Mapping[str, pa.Table] | None:
        """Rows of topics that are no more."""
        model = self._watch.model
        alive = {topic.topic_id for topic in (*model.topics_, *model.subtopics_)}
        dead = sorted(self._before - alive)
        return {"topics": pa.table({"topic_id": pa.array(dead, pa.int64())})} if dead else None

    def _load(self) -> tuple[TopicWatch, int, np.datetime64] | None:
        stored = {
            kind: self._context.store.query(reads.NEWEST_ARTIFACT, {"kind": kind}).to_pylist()
            for kind in ("centroids", "map")
        }
        if not all(stored.values()):
            return None
        version = orjson.loads(stored["centroids"][0]["version"])
        if version["model"] != self._context.embedder.name:
            return None
        watch = TopicWatch.from_arrays(*(_unpacked(stored[kind][0]["body"]) for kind in ("centroids", "map")))
        return watch, version["rows"], np.datetime64(version["day"])

    def _start(self) -> tuple[TopicWatch, int, np.datetime64]:
        """Fit on the past alone where there is enough of it, so that the newest days can be news."""
        self._context.report(0, 1, "fit")
        last = self._day[-1] + np.timedelta64(1, "D")
        cut = last - np.timedelta64(_HELD_BACK_DAYS, "D")
        past = int((self._day < cut).sum())
        if past < _LEAST_PAST_ROWS or (cut - self._day[0]).astype(int) < _LEAST_PAST_DAYS:
            past, cut = len(self._frame), last
        rows = _sample(past, _MOST_ROWS)
        watch = TopicWatch.start(self._vectors[rows], [self._texts[row] for row in rows], self._vectors, seed=_SEED)
        self._watch, self._moved = watch, True
        self._remember_exemplars((*watch.model.topics_, *watch.model.subtopics_), rows)
        ids, _ = watch.model.assign(self._vectors[:past])
        for event in watch.model.events_:
            mine = np.flatnonzero(ids == event.topic_id)
            at = self._frame["start_time"].iloc[mine[0]] if len(mine) else self._context.now
            self._events.append(self._event(event, at))
        return watch, past, cut

    def _remember_exemplars(self, topics: tuple[Topic, ...], rows: npt.NDArray[np.int64]) -> None:
        interaction = self._frame["interaction_id"].to_numpy(object)
        for topic in topics:
            self._exemplars[topic.topic_id] = [interaction[rows[row]] for row in topic.exemplars]

    def _note_birth(self, topic: Topic, rows: npt.NDArray[np.int64]) -> None:
        self._moved = True
        self._exemplars[topic.topic_id] = self._frame["interaction_id"].iloc[rows[:10]].tolist()
        at = self._frame["start_time"].iloc[rows].min()
        share = f"{topic.share:.0%}".replace("%", " %")
        sentence = f"A new topic appeared: {topic.label}, {share} of the day's questions."
        event = TopicEvent("born", topic.topic_id, (), 0, topic.size, sentence)
        self._events.append(self._event(event, at, "emerging"))

    def _event(self, event: TopicEvent, at: Any, origin: str = "fit") -> dict[str, Any]:
        return {
            "event_id": f"{self._context.run_id}:{len(self._events)}",
            "topic_id": event.topic_id,
            "event": event.kind,
            "happened_at": at,
            "related": orjson.dumps(event.related).decode(),
            "origin": origin,
            "size_before": event.size_before,
            "size_after": event.size_after,
            "sentence": event.sentence,
            "run_id": self._context.run_id,
        }

    def _topic_rows(self, ids: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
        model = self._watch.model
        labels = {
            row["topic_id"]: row["label"]
            for row in self._context.store.query(reads.TOPIC_LABELS).to_pylist()
            if row["label_source"] == "human"
        }
        sub_ids, _ = model.assign_subtopics(self._vectors)
        times = self._frame["start_time"]
        rows = []
        for topic in renamed((*model.topics_, *model.subtopics_), labels):
            mine = np.flatnonzero((sub_ids if topic.level else ids) == topic.topic_id)
            rows.append(
                {
                    "topic_id": topic.topic_id,
                    "label": topic.label,
                    "label_source": "human" if topic.topic_id in labels else "keywords",
                    "keywords": orjson.dumps(topic.keywords).decode(),
                    "parent_id": topic.parent_id,
                    "level": topic.level,
                    "size": len(mine),
                    "share": len(mine) / len(ids),
                    "exemplars": orjson.dumps(self._exemplars.get(topic.topic_id, [])).decode(),
                    "x": topic.x,
                    "y": topic.y,
                    "first_seen": times.iloc[mine[0]] if len(mine) else None,
                    "last_seen": times.iloc[mine[-1]] if len(mine) else None,
                    "state": "provisional" if topic.topic_id in self._watch.provisional else "stable",
                }
            )
        return rows

    def _assignments(
        self,
        ids: npt.NDArray[np.int64],
        membership: npt.NDArray[np.float64],
        novelty: npt.NDArray[np.float64],
        places: npt.NDArray[np.float32],
    ) -> pa.Table:
        """Every call takes the topic of its question, not only the one that stands for its turn."""
        by_hash = pd.DataFrame(
            {
                "prompt_text_hash": self._frame["prompt_text_hash"],
                "topic_id": ids,
                "membership": membership,
                "novelty": novelty,
                "x": places[:, 0].astype(float),
                "y": places[:, 1].astype(float),
            }
        ).drop_duplicates("prompt_text_hash")
        everything = {"after": 0, "head": self._context.head, "since": pd.Timestamp(0).to_pydatetime()}
        scope = everything if self._moved else self._context.scope
        calls = self._context.store.query(reads.TO_ASSIGN, scope).to_pandas()
        rows = calls.merge(by_hash, on="prompt_text_hash").drop(columns="prompt_text_hash")
        rows = rows.assign(field=FIELD, run_id=self._context.run_id)
        return pa.Table.from_pandas(rows, preserve_index=False)

    def _artifacts(self) -> pa.Table:
        version = orjson.dumps(
            {"model": self._context.embedder.name, "rows": self._fitted_rows, "day": str(self._seen_day)}
        ).decode()
        bodies = {"centroids": self._watch.to_arrays(), "map": self._watch.map.to_arrays()}
        return pa.Table.from_pylist(
            [
                {
                    "artifact_id": f"topics:{kind}",
                    "kind": kind,
                    "version": version,
                    "run_id": self._context.run_id,
                    "created_at": self._context.now,
                    "body": _packed(arrays),
                }
                for kind, arrays in bodies.items()
            ]
        )


def _sample(n: int, most: int) -> npt.NDArray[np.int64]:
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(_SEED).choice(n, most, replace=False))


def _packed(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _unpacked(body: bytes) -> Mapping[str, npt.NDArray[Any]]:
    return np.load(io.BytesIO(body), allow_pickle=False)  # type: ignore[no-any-return]
