"""Topics of the questions: fitted once, watched day by day, refitted when enough is new."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import pyarrow as pa

from analysis.analyzer import EVER, NEVER, Batch, Context
from analysis.drift import session_groups
from analysis.localtime import day_start
from analysis.topics import Topic, TopicEvent
from analysis.topics.watch import TopicWatch, renamed
from analysis.turns import Turns, read_turns
from undertow.clock import parse_duration
from undertow.search import load_vectors
from undertow.store import reads

FIELD: Literal["prompt"] = "prompt"
_ASSIGNMENT = ("topic_id", "membership", "novelty", "x", "y", "sub_id")
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
        wanted = context.store.query(reads.TO_ASSIGN, context.scope).num_rows
        if wanted == 0:
            return
        model = context.embedder.name
        counted = context.store.query(reads.TURNS_WITH_VECTOR, {"head": context.head, "model": model})
        turns = int(counted.column("turns")[0].as_py())
        if turns == 0:
            return
        study = _Study(context, turns)
        study.watch_days()
        study.refit_if_due()
        yield Batch(study.tables(), delete=study.gone(), rows=wanted)


class _Study:
    """One run: over all turns that have a vector where it fits, else over the days that it looks at.

    Parameters
    ----------
    turns : how many turns there are.
    """

    def __init__(self, context: Context, turns: int) -> None:
        self._context = context
        self._reach = np.timedelta64(parse_duration(context.settings.analysis.reference))
        stored = self._load()
        self._turns = turns
        start = EVER if stored is None or self._due(stored[1]) else self._first(stored[2])
        self._read(read_turns(context, (FIELD,), start=start))
        self._events: list[dict[str, Any]] = []
        self._exemplars: dict[int, list[str]] = {}
        self._moved = False  # whether calls that were assigned earlier may belong elsewhere now
        self._stored = {row["topic_id"]: row for row in context.store.query(reads.TOPIC_LABELS).to_pylist()}
        self._watch, self._fitted_rows, self._seen_day = stored or self._start()

    def _due(self, fitted_rows: int) -> bool:
        return self._turns >= fitted_rows * (1 + _REFIT_GROWTH)

    def _first(self, day: np.datetime64) -> datetime:
        """The start of the reference window of a day."""
        return day_start((day - self._reach).astype("datetime64[D]"), ZoneInfo(self._context.settings.timezone))

    def _read(self, turns: Turns) -> None:
        present = ~np.isnan(turns.vectors[FIELD][:, 0])
        self._frame = turns.frame[present].reset_index(drop=True)
        self._vectors = turns.vectors[FIELD][present]
        self._texts = self._frame["prompt"].tolist()
        self._day = self._frame["day"].to_numpy().astype("datetime64[D]")

    def watch_days(self) -> None:
        """Look for emerging subjects in each day since the last look."""
        days = np.unique(self._day[self._day >= self._seen_day])
        if len(days) == 0:
            return
        groups = session_groups(
            self._frame["session_id"].to_numpy(object),
            self._frame["user_id"].to_numpy(object),
            self._frame["trace_id"].to_numpy(object),
            self._frame["start_time"].to_numpy(),
            vectors=self._vectors,
        ).groups
        for number, day in enumerate(days):
            self._context.report(number, len(days), f"emerging {day}")
            before = np.flatnonzero((self._day >= day - self._reach) & (self._day < day))
            today = np.flatnonzero(self._day == day)
            found = self._watch.look(
                self._vectors[before],
                self._vectors[today],
                [self._texts[row] for row in today],
                reference_groups=groups[before],
                current_groups=groups[today],
                day=day,
                closed=bool(day < self._today()),
            )
            for topic, members in found:
                self._note_birth(topic, today[list(members)])
        self._seen_day = days[-1]

    def _today(self) -> np.datetime64:
        zone = ZoneInfo(self._context.settings.timezone)
        return np.datetime64(self._context.now.replace(tzinfo=UTC).astimezone(zone).date())

    def refit_if_due(self) -> None:
        """Refit once the traffic has grown by half."""
        if not self._due(self._fitted_rows):
            return
        self._context.report(0, 1, "refit")
        rows = _sample(len(self._frame), _MOST_ROWS)
        events = self._watch.refit(self._vectors[rows], [self._texts[row] for row in rows])
        born = set(self._exemplars)
        self._fitted_rows, self._moved = len(self._frame), True
        self._remember_exemplars((*self._watch.model.topics_, *self._watch.model.subtopics_), rows)
        for event in events:
            if event.kind != "born" or event.topic_id not in born:
                self._events.append(self._event(event, self._context.now))

    def tables(self) -> dict[str, pa.Table]:
        """Everything this run writes."""
        calls = self._assigned()
        tables = {"artifacts": self._artifacts()}
        if len(calls):
            rows = calls.drop(columns=["prompt_text_hash", "start_time", "stands", "sub_id"])
            rows = rows.assign(field=FIELD, run_id=self._context.run_id)
            tables["topic_assignments"] = pa.Table.from_pandas(rows, preserve_index=False)
        topics = self._topic_rows(calls[calls["stands"]])
        if topics:
            tables["topics"] = pa.Table.from_pylist(topics)
        if self._events:
            tables["topic_history"] = pa.Table.from_pylist(self._events)
        return tables

    def gone(self) -> Mapping[str, pa.Table] | None:
        """Rows of topics that are no more."""
        model = self._watch.model
        alive = {topic.topic_id for topic in (*model.topics_, *model.subtopics_)}
        dead = sorted(self._stored.keys() - alive)
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
        free = int(self._context.store.query(reads.FREE_TOPIC_ID).column("free")[0].as_py())
        watch = TopicWatch.start(
            self._vectors[rows], [self._texts[row] for row in rows], self._vectors, first_id=free, seed=_SEED
        )
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

    def _topic_rows(self, turns: pd.DataFrame) -> list[dict[str, Any]]:
        """Rows of all topics. Sub-topics are counted when everything is assigned anew and keep their rows between."""
        model = self._watch.model
        human = {id_: row["label"] for id_, row in self._stored.items() if row["label_source"] == "human"}
        counts = {0: self._counted(turns, "topic_id"), 1: self._counted(turns, "sub_id")}
        total = max(int(counts[0]["turns"].sum()), 1)
        rows = []
        for topic in renamed((*model.topics_, *(model.subtopics_ if self._moved else ())), human):
            known = counts[topic.level]
            found = known.loc[topic.topic_id] if topic.topic_id in known.index else None
            rows.append(
                {
                    "topic_id": topic.topic_id,
                    "label": topic.label,
                    "label_source": "human" if topic.topic_id in human else "keywords",
                    "keywords": orjson.dumps(topic.keywords).decode(),
                    "parent_id": topic.parent_id,
                    "level": topic.level,
                    "size": 0 if found is None else int(found["turns"]),
                    "share": 0.0 if found is None else float(found["turns"]) / total,
                    "exemplars": self._exemplars_of(topic.topic_id),
                    "x": topic.x,
                    "y": topic.y,
                    "first_seen": None if found is None else found["first_seen"],
                    "last_seen": None if found is None else found["last_seen"],
                    "state": "provisional" if topic.topic_id in self._watch.provisional else "stable",
                }
            )
        return rows

    def _counted(self, turns: pd.DataFrame, column: str) -> pd.DataFrame:
        """Turns, first and last time by topic: of those assigned now, and of those that stay where they are."""
        times = turns.groupby(column)["start_time"]
        counts = times.agg(turns="size", first_seen="min", last_seen="max")
        if self._moved or column != "topic_id":
            return counts
        stay = self._context.store.query(reads.TURNS_BY_TOPIC, self._context.scope).to_pandas().set_index("topic_id")
        both = pd.concat([stay, counts]).groupby(level=0)
        return both.agg({"turns": "sum", "first_seen": "min", "last_seen": "max"})

    def _exemplars_of(self, topic_id: int) -> str:
        if topic_id in self._exemplars:
            return orjson.dumps(self._exemplars[topic_id]).decode()
        stored = self._stored.get(topic_id)
        return "[]" if stored is None else str(stored["exemplars"])

    def _assigned(self) -> pd.DataFrame:
        """Calls with the topic of their question: the new ones, or all where topics moved."""
        context = self._context
        scope = {"after": 0, "head": context.head, "since": NEVER} if self._moved else context.scope
        calls = context.store.query(reads.TO_ASSIGN, scope).to_pandas()
        among = None if self._moved else calls["prompt_text_hash"].unique()
        hashes, vectors = load_vectors(context.store, FIELD, context.embedder.name, among=among)
        columns: dict[str, npt.NDArray[Any]] = dict.fromkeys(_ASSIGNMENT, np.empty(0))
        if len(hashes):
            ids, membership, novelty, places = self._watch.assign(vectors)
            sub_ids, _ = self._watch.model.assign_subtopics(vectors)
            x, y = places.astype(float).T
            columns = dict(zip(_ASSIGNMENT, (ids, membership, novelty, x, y, sub_ids), strict=True))
        return calls.merge(pd.DataFrame({"prompt_text_hash": hashes, **columns}), on="prompt_text_hash")

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
