"""Topics of the questions: fitted once, watched day by day, refitted when enough is new."""

from __future__ import annotations

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
from analysis.analyzers.topic_fields import FieldStudy
from analysis.analyzers.topic_rows import (
    added,
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
from analysis.drift import session_groups
from analysis.localtime import day_start
from analysis.topics import Topic, TopicEvent
from analysis.topics.watch import TopicWatch
from analysis.turns import Turns, read_turns
from undertow.clock import parse_duration
from undertow.search import load_vectors
from undertow.store import reads

FIELD: Literal["prompt"] = "prompt"
_ASSIGNMENT = ("topic_id", "membership", "novelty", "x", "y", "sub_id")
_SEED = 0
_WEEK = 7  # a subject too small for one day is looked for in a week; shares are compared by whole weeks
_HELD_BACK_DAYS = 7  # a first run leaves them out of its fit, so that it can say what emerged in them
_LEAST_PAST_ROWS = 300
_LEAST_PAST_DAYS = 14
_REFIT_GROWTH = 0.5


class Topics:
    """Keeps the topic models: fit, watch, refit, assign."""

    name = "topics"
    version = "1"
    requires = ("embed",)

    def run(self, context: Context) -> Iterator[Batch]:
        """Assign what is new; say what emerged. Then the fields that were asked for besides."""
        free = int(context.store.query(reads.FREE_TOPIC_ID).column("free")[0].as_py())
        study = self._questions(context)
        if study is not None:
            rows = context.store.query(reads.TO_ASSIGN, context.scope).num_rows
            yield Batch(study.tables(), delete=study.gone(), rows=rows)
            free = max(free, study.next_id)
        for field in context.settings.analysis.topic_fields:
            if field != FIELD:
                other = FieldStudy(context, field, free)
                batch = other.batch()
                if batch is not None:
                    yield batch
                free = other.least_id

    def _questions(self, context: Context) -> _Study | None:
        if context.store.query(reads.TO_ASSIGN, context.scope).num_rows == 0:
            return None
        found = context.store.query(reads.TURNS_WITH_VECTOR, {"head": context.head, "model": context.embedder.name})
        turns = int(found.column("turns")[0].as_py())
        if turns == 0:
            return None
        study = _Study(context, turns)
        study.watch_days()
        study.refit_if_due()
        return study


class _Study:
    """One run: over all turns that have a vector where it fits, else over the days that it looks at.

    Parameters
    ----------
    turns : how many turns there are.
    """

    def __init__(self, context: Context, turns: int) -> None:
        self._context = context
        self._had: set[int] = set()  # topics of the questions that the store holds
        self._elsewhere = False  # whether the topics are in the space of another embedding model
        self._reach = np.timedelta64(parse_duration(context.settings.analysis.reference))
        stored = self._load()
        self._turns = turns
        start = EVER if stored is None or self._elsewhere or self._due(stored[1]) else self._first(stored[2])
        self._read(read_turns(context, (FIELD,), start=start))
        self._events: list[dict[str, Any]] = []
        self._exemplars: dict[int, list[str]] = {}
        self._moved = False  # whether calls that were assigned earlier may belong elsewhere now
        self._stored = {row["topic_id"]: row for row in context.store.query(reads.TOPIC_LABELS).to_pylist()}
        self._watch, self._fitted_rows, self._seen_day = stored or self._start()
        self._watch.model.rename(human_names(self._stored.values()))
        if self._elsewhere:
            self._move()

    def _due(self, fitted_rows: int) -> bool:
        return self._turns >= fitted_rows * (1 + _REFIT_GROWTH)

    def _first(self, day: np.datetime64) -> datetime:
        """The start of the reference window of the week that ends with a day."""
        start = (day - self._reach).astype("datetime64[D]") - np.timedelta64(_WEEK - 1, "D")
        return day_start(start, ZoneInfo(self._context.settings.timezone))

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
            closed = bool(day < self._today())
            self._watch_window(day, 1, groups, closed=closed)
            if closed:
                self._watch_window(day, _WEEK, groups, closed=True)
                self._watch_shares(day, groups)
        self._seen_day = days[-1]

    def _watch_window(self, day: np.datetime64, days: int, groups: npt.NDArray[np.int64], *, closed: bool) -> None:
        """Look for emerging subjects in the ``days`` that end with ``day``."""
        before, now = self._windows(day, days)
        found = self._watch.look(
            self._vectors[before],
            self._vectors[now],
            [self._texts[row] for row in now],
            reference_groups=groups[before],
            current_groups=groups[now],
            day=day,
            closed=closed,
        )
        for topic, members in found:
            self._note_birth(topic, now[list(members)], "day" if days == 1 else "week")

    def _watch_shares(self, day: np.datetime64, groups: npt.NDArray[np.int64]) -> None:
        """Say which topics faded or grew in the week that ends with ``day``."""
        before, now = self._windows(day, _WEEK)
        if len(np.unique(self._day[before])) < _WEEK:
            return
        events = self._watch.shifts(
            self._vectors[before],
            self._vectors[now],
            reference_groups=groups[before],
            current_groups=groups[now],
            day=day,
        )
        at = day_start(day + np.timedelta64(1, "D"), ZoneInfo(self._context.settings.timezone))
        for event in events:
            self._events.append(self._event(event, at, "watch"))

    def _windows(self, day: np.datetime64, days: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows of the reference and of the ``days`` after it, which end with ``day``."""
        first = day - np.timedelta64(days - 1, "D")
        before = (self._day >= first - self._reach) & (self._day < first)
        return np.flatnonzero(before), np.flatnonzero((self._day >= first) & (self._day <= day))

    def _today(self) -> np.datetime64:
        zone = ZoneInfo(self._context.settings.timezone)
        return np.datetime64(self._context.now.replace(tzinfo=UTC).astimezone(zone).date())

    def refit_if_due(self) -> None:
        """Refit once the traffic has grown by half."""
        if not self._due(self._fitted_rows):
            return
        self._context.report(0, 1, "refit")
        rows = sample(len(self._frame))
        events = self._watch.refit(self._vectors[rows], [self._texts[row] for row in rows])
        born = set(self._exemplars)
        self._fitted_rows, self._moved = len(self._frame), True
        self._remember_exemplars(all_levels(self._watch.model), rows)
        for event in events:
            if event.kind != "born" or event.topic_id not in born:
                self._events.append(self._event(event, self._context.now))

    @property
    def next_id(self) -> int:
        """The first topic id that the questions do not use."""
        return self._watch.model.next_id_

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
        alive = {topic.topic_id for topic in all_levels(self._watch.model)}
        dead = sorted(self._had - alive)
        return {"topics": pa.table({"topic_id": pa.array(dead, pa.int64())})} if dead else None

    def _load(self) -> tuple[TopicWatch, int, np.datetime64] | None:
        stored = {
            kind: self._context.store.query(reads.NEWEST_ARTIFACT, {"kind": kind}).to_pylist()
            for kind in ("centroids", "map")
        }
        if not all(stored.values()):
            return None
        watch = TopicWatch.from_arrays(*(unpacked(stored[kind][0]["body"]) for kind in ("centroids", "map")))
        self._had = {topic.topic_id for topic in all_levels(watch.model)}
        version = orjson.loads(stored["centroids"][0]["version"])
        self._elsewhere = version["model"] != self._context.embedder.name
        # Another field may have taken ids since.
        watch.model.next_id_ = max(watch.model.next_id_, self._free_id())
        return watch, version["rows"], np.datetime64(version["day"])

    def _free_id(self) -> int:
        return int(self._context.store.query(reads.FREE_TOPIC_ID).column("free")[0].as_py())

    def _start(self) -> tuple[TopicWatch, int, np.datetime64]:
        """Fit on the past alone where there is enough of it, so that the newest days can be news."""
        self._context.report(0, 1, "fit")
        last = self._day[-1] + np.timedelta64(1, "D")
        cut = last - np.timedelta64(_HELD_BACK_DAYS, "D")
        past = int((self._day < cut).sum())
        if past < _LEAST_PAST_ROWS or (cut - self._day[0]).astype(int) < _LEAST_PAST_DAYS:
            past, cut = len(self._frame), last
        rows = sample(past)
        watch = TopicWatch.start(
            self._vectors[rows], [self._texts[row] for row in rows], self._vectors, first_id=self._free_id(), seed=_SEED
        )
        self._watch, self._moved = watch, True
        self._remember_exemplars(all_levels(watch.model), rows)
        ids, _ = watch.model.assign(self._vectors[:past])
        for event in watch.model.events_:
            mine = np.flatnonzero(ids == event.topic_id)
            at = self._frame["start_time"].iloc[mine[0]] if len(mine) else self._context.now
            self._events.append(self._event(event, at))
        return watch, past, cut

    def _move(self) -> None:
        """Take the topics to the vectors of the embedding model that is used now."""
        self._context.report(0, 1, "move")
        rows = sample(len(self._frame))
        earlier = earlier_topics(self._context, FIELD, self._frame["interaction_id"])
        self._watch.move(self._vectors[rows], [self._texts[row] for row in rows], self._vectors, earlier[rows])
        self._moved = True
        self._remember_exemplars(all_levels(self._watch.model), rows)
        self._events += [self._event(event, self._context.now) for event in self._watch.model.events_]

    def _remember_exemplars(self, topics: tuple[Topic, ...], rows: npt.NDArray[np.int64]) -> None:
        interaction = self._frame["interaction_id"].to_numpy(object)
        for topic in topics:
            self._exemplars[topic.topic_id] = [interaction[rows[row]] for row in topic.exemplars]

    def _note_birth(self, topic: Topic, rows: npt.NDArray[np.int64], span: str) -> None:
        self._moved = True
        self._exemplars[topic.topic_id] = self._frame["interaction_id"].iloc[rows[:10]].tolist()
        at = self._frame["start_time"].iloc[rows].min()
        share = f"{topic.share:.0%}".replace("%", " %")
        sentence = f"A new topic appeared: {topic.label}, {share} of the {span}'s questions."
        event = TopicEvent("born", topic.topic_id, (), 0, topic.size, sentence)
        self._events.append(self._event(event, at, "emerging"))

    def _event(self, event: TopicEvent, at: Any, origin: str = "fit") -> dict[str, Any]:
        run_id = self._context.run_id
        return event_row(event, f"{run_id}:{len(self._events)}", run_id, at, origin)

    def _topic_rows(self, turns: pd.DataFrame) -> list[dict[str, Any]]:
        """Rows of all levels. Sub-topics are counted when everything is assigned anew and keep their rows between."""
        model = self._watch.model
        human = human_names(self._stored.values())
        counts = {0: self._counted(turns, "topic_id"), 1: self._counted(turns, "sub_id")}
        counts[-1] = of_themes(counts[0], model.topics_)
        total = max(int(counts[0]["turns"].sum()), 1)
        shown = all_levels(model) if self._moved else (*model.themes_, *model.topics_)
        return [
            topic_row(
                topic,
                counts,
                total,
                self._exemplars_of(topic.topic_id),
                human=topic.topic_id in human,
                state="provisional" if topic.topic_id in self._watch.provisional else "stable",
            )
            for topic in shown
        ]

    def _counted(self, turns: pd.DataFrame, column: str) -> pd.DataFrame:
        """Turns, first and last time by topic: of those assigned now, and of those that stay where they are."""
        counts = counted(turns, column)
        if self._moved or column != "topic_id":
            return counts
        stay = self._context.store.query(reads.TURNS_BY_TOPIC, self._context.scope).to_pandas().set_index("topic_id")
        return added(stay, counts)

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
        version = {"model": self._context.embedder.name, "rows": self._fitted_rows, "day": str(self._seen_day)}
        run_id, now = self._context.run_id, self._context.now
        bodies = {"centroids": self._watch.to_arrays(), "map": self._watch.map.to_arrays()}
        return pa.Table.from_pylist(
            [artifact_row(f"topics:{kind}", kind, version, run_id, now, arrays) for kind, arrays in bodies.items()]
        )
