"""Topics over time: a model, its map, subjects that emerged since its last fit, and topics that fade or grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.topics.emerging import Emerging, find_emerging
from analysis.topics.fading import Shift, find_shifts
from analysis.topics.geometry import BoolArray, DoubleArray, FloatArray, IntArray, mean_directions, spacing
from analysis.topics.labels import name_topics
from analysis.topics.map import TopicMap
from analysis.topics.model import TopicModel
from analysis.topics.partition import ROUNDING, Partition, partition_from_labels
from analysis.topics.records import EventKind, Topic, TopicEvent

Days = NDArray[np.datetime64]

EXEMPLARS = 10
LARGEST_SHARE = 0.5
# What fewer sessions ask about is an incident, not a topic; should it last, its week has enough of them.
LEAST_SESSIONS = 8
# A closed day is looked at twice, by itself and at the end of its week: together 1 %.
CLOSED_DAY_LEVEL = 0.005
# A day that goes on is tested at every run, so each look must be surer.
OPEN_DAY_LEVEL = 0.0005
YOUNG = np.timedelta64(28, "D")
"""How long a subject that emerged is no news again; a reference window that long knows it by then."""


class TopicWatch:
    """A topic model that is watched between its fits.

    A subject found by `find_emerging` becomes a provisional topic at once: it takes the next id and joins the
    partition, so that `assign` knows it; the next `refit` promotes it where its members still form a topic.

    Attributes
    ----------
    model, map : the fitted model and the frozen layout.
    provisional : ids of topics that no fit has confirmed yet.
    emerged : what emerged in the last weeks as it was then, with ``emerged_days``, the day of each: a refit may
        give the subject another id or another extent, it is no news for that.
    told : by topic and direction (1 grew, -1 shrank) the day when that was last reported.
    """

    def __init__(
        self,
        model: TopicModel,
        topic_map: TopicMap,
        provisional: Sequence[int] = (),
        emerged: Partition | None = None,
        emerged_days: Days | None = None,
        told: Mapping[tuple[int, int], np.datetime64] | None = None,
    ) -> None:
        self.model = model
        self.map = topic_map
        self.provisional = set(provisional)
        self.emerged = model.partition_.part(np.zeros(0, np.int64)) if emerged is None else emerged
        self.emerged_days = np.zeros(0, "datetime64[D]") if emerged_days is None else emerged_days
        self.told = dict(told or {})

    @classmethod
    def start(
        cls, X: FloatArray, texts: Sequence[str], everything: FloatArray, *, first_id: int = 0, seed: int = 0
    ) -> TopicWatch:
        """Fit a model on (X, texts) with ids from ``first_id``, and the map on all rows known at the time."""
        topic_map = TopicMap(seed=seed).fit(everything)
        model = TopicModel(seed=seed).fit(X, texts)
        model.renumber(first_id)
        return cls(model.locate(topic_map), topic_map)

    def look(
        self,
        reference: FloatArray,
        current: FloatArray,
        texts: Sequence[str],
        *,
        reference_groups: IntArray,
        current_groups: IntArray,
        day: np.datetime64,
        closed: bool = True,
    ) -> list[tuple[Topic, tuple[int, ...]]]:
        """Find subjects that are new in ``current``, a day or several; each becomes a provisional topic.

        Parameters
        ----------
        reference, current
            Unit rows (n, d) and (m, d).
        texts
            The m texts of ``current``.
        reference_groups, current_groups
            Session of every row.
        day
            The last day of ``current``.
        closed
            False while the day goes on: it will be looked at again, so each look must be surer.

        Returns
        -------
        list
            The new topics, each with its members as row indices into ``current``.
        """
        # What emerged lately is no news; a subject of more than half the traffic is another workload.
        fresh = np.flatnonzero(~self._known(current, day))
        if len(fresh) == 0 or len(reference) == 0:
            return []
        found = find_emerging(
            reference, current[fresh], reference_groups=reference_groups, current_groups=current_groups[fresh]
        )
        level = CLOSED_DAY_LEVEL if closed else OPEN_DAY_LEVEL
        return [
            self._adopt(current, texts, tuple(int(fresh[row]) for row in subject.members), day)
            for subject in found
            if subject.share <= LARGEST_SHARE
            and subject.p_value <= level + ROUNDING
            and len(np.unique(current_groups[fresh][list(subject.members)])) >= LEAST_SESSIONS
            and not self._continues(current[fresh], subject, day)
        ]

    def shifts(
        self,
        reference: FloatArray,
        current: FloatArray,
        *,
        reference_groups: IntArray,
        current_groups: IntArray,
        day: np.datetime64,
    ) -> list[TopicEvent]:
        """Say which topics fade or grow; each direction is told once in four weeks.

        Parameters
        ----------
        reference, current
            Unit rows (n, d) of the past and (m, d) of the week that ends with ``day``.
        reference_groups, current_groups
            Session of every row.
        day
            The last day of ``current``, closed.

        Returns
        -------
        list of TopicEvent
            By topic. A topic that emerged lately is news by itself and is left out.
        """
        if not len(reference) or not len(current):
            return []
        before, now = self.model.assign(reference)[0], self.model.assign(current)[0]
        found = find_shifts(before, now, reference_groups=reference_groups, current_groups=current_groups)
        labels = {topic.topic_id: topic.label for topic in self.model.topics_}
        young = {*self.provisional, *self.emerged.ids[day - self.emerged_days < YOUNG].tolist()}
        news = [shift for shift in found if shift.topic_id not in young and self._tell(shift, day)]
        return [shifted(shift, labels[shift.topic_id], day) for shift in sorted(news, key=lambda s: s.topic_id)]

    def refit(self, X: FloatArray, texts: Sequence[str]) -> tuple[TopicEvent, ...]:
        """Refit on later rows; provisional topics that live on are promoted."""
        self.model.refit(X, texts).locate(self.map)
        self.provisional.clear()
        return self.model.events_

    def move(self, X: FloatArray, texts: Sequence[str], everything: FloatArray, earlier: IntArray) -> None:
        """Go on in another space with a map of its own: `TopicModel.move`, and ``everything`` as in `start`."""
        self.map = TopicMap(seed=self.model.seed).fit(everything)
        self.model.move(X, texts, earlier).locate(self.map)
        ids = self.model.partition_.ids
        lives = np.isin(self.emerged.ids, ids)
        now = self.model.partition_.part(np.searchsorted(ids, self.emerged.ids[lives]))
        # As wide as all that was asked: more of a subject that emerged lately is no news.
        places = zip(now.ids.tolist(), now.centroids, strict=True)
        reach = [float((1.0 - X[earlier == topic] @ centre).max()) for topic, centre in places]
        self.emerged = replace(now, radii=np.array(reach, dtype=np.float32))
        self.emerged_days = self.emerged_days[lives]
        self.provisional.intersection_update(ids.tolist())

    def assign(self, X: FloatArray) -> tuple[IntArray, DoubleArray, DoubleArray, FloatArray]:
        """Return topic id, membership, novelty and place on the map of every row."""
        ids, membership = self.model.assign(X)
        return ids, membership, self.model.novelty(X), self.map.place(X)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The model's arrays, the provisional ids and what emerged; the map is stored by itself."""
        return {
            **self.model.to_arrays(),
            "provisional": np.array(sorted(self.provisional), dtype=np.int64),
            "emerged_ids": self.emerged.ids,
            "emerged_centroids": self.emerged.centroids,
            "emerged_radii": self.emerged.radii,
            "emerged_days": self.emerged_days,
            "told": np.array(sorted(self.told), dtype=np.int64).reshape(-1, 2),
            "told_days": np.array([self.told[key] for key in sorted(self.told)], dtype="datetime64[D]"),
        }

    @classmethod
    def from_arrays(cls, model: Mapping[str, NDArray[Any]], topic_map: Mapping[str, NDArray[Any]]) -> TopicWatch:
        """The watch whose arrays were stored."""
        emerged = (
            Partition(model["emerged_ids"], model["emerged_centroids"], model["emerged_radii"])
            if "emerged_ids" in model
            else None
        )
        told = zip(model["told"].tolist(), model["told_days"], strict=True) if "told" in model else ()
        return cls(
            TopicModel.from_arrays(model),
            TopicMap.from_arrays(topic_map),
            model["provisional"].tolist(),
            emerged,
            model["emerged_days"] if emerged else None,
            {(topic, direction): day for (topic, direction), day in told},
        )

    def _known(self, rows: FloatArray, day: np.datetime64) -> BoolArray:
        """Return which rows (n,) belong to a subject that emerged lately, whatever became of it in a refit."""
        young = day - self.emerged_days < YOUNG
        ids = self.model.assign(rows)[0]
        now = np.isin(ids, [*self.provisional, *self.emerged.ids[young]])
        gone = young & ~np.isin(self.emerged.ids, self.model.partition_.ids)
        then, _, _ = self.emerged.part(np.flatnonzero(gone)).assign(rows)
        return np.asarray(now | (then >= 0))

    def _continues(self, rows: FloatArray, subject: Emerging, day: np.datetime64) -> bool:
        """Say whether a subject is more of one that emerged lately.

        Its centre lies within that one's radius, or no farther off than half the way from a usual topic to the next.
        """
        young = np.flatnonzero(day - self.emerged_days < YOUNG)
        members = rows[list(subject.members)]
        centre = mean_directions(members, np.zeros(len(members), dtype=np.int64), 1)
        reach = np.maximum(self.emerged.radii[young], spacing(self.model.partition_.centroids) / 2.0)
        return bool((1.0 - self.emerged.centroids[young] @ centre[0] <= reach).any())

    def _tell(self, shift: Shift, day: np.datetime64) -> bool:
        """Say whether a shift is news, and remember it."""
        key = (shift.topic_id, 1 if shift.share_now > shift.share_before else -1)
        fresh = key not in self.told or bool(day - self.told[key] >= YOUNG)
        if fresh:
            self.told[key] = day
        return fresh

    def _adopt(
        self, rows: FloatArray, texts: Sequence[str], members: tuple[int, ...], day: np.datetime64
    ) -> tuple[Topic, tuple[int, ...]]:
        model, index = self.model, np.array(members)
        name = name_topics([[texts[row] for row in members]])[0]
        taken = {topic.label for topic in model.topics_}
        topic_id = model.next_id_
        fitted = partition_from_labels(rows[index], np.zeros(len(index), np.int64), np.array([topic_id]))
        x, y = self.map.place(fitted.centroids)[0]
        topic = Topic(
            topic_id=topic_id,
            label=name.label if name.label not in taken else f"{name.label} (new)",
            keywords=name.keywords,
            parent_id=None,
            level=0,
            size=len(members),
            share=len(members) / max(len(rows), 1),
            exemplars=members[:EXEMPLARS],
            x=float(x),
            y=float(y),
        )
        model.next_id_ += 1
        model.partition_ = _joined(model.partition_, fitted)
        model.centroids_, model.radii_ = model.partition_.centroids, model.partition_.radii
        model.topics_ = (*model.topics_, topic)
        self.provisional.add(topic_id)
        young = day - self.emerged_days < YOUNG
        self.emerged = _joined(self.emerged.part(np.flatnonzero(young)), fitted)
        self.emerged_days = np.append(self.emerged_days[young], day)
        return topic, members


def shifted(shift: Shift, label: str, day: np.datetime64) -> TopicEvent:
    """Return the event of a topic that fades or grows in the week that ends with ``day``."""
    grew = shift.share_now > shift.share_before
    week = f"in the week to {day}"
    if grew:
        sentence = f"“{label}” grew from {shift.share_before:.1%} to {shift.share_now:.1%} of conversations {week}."
    elif shift.sessions_now:
        sentence = f"“{label}” fades: from {shift.share_before:.1%} to {shift.share_now:.1%} of conversations {week}."
    else:
        sentence = f"Nobody asked about “{label}” {week}; before, {shift.share_before:.1%} of conversations did."
    kind: EventKind = "grew" if grew else "shrank"
    return TopicEvent(kind, shift.topic_id, (), shift.sessions_before, shift.sessions_now, sentence)


def _joined(first: Partition, second: Partition) -> Partition:
    if not len(first.ids):
        return second
    return Partition(
        np.concatenate([first.ids, second.ids]),
        np.concatenate([first.centroids, second.centroids]),
        np.concatenate([first.radii, second.radii]),
    )
