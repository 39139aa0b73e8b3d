"""Topics over time: a model, its map, and subjects that emerged since its last fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.topics.emerging import find_emerging
from analysis.topics.geometry import DoubleArray, FloatArray, IntArray
from analysis.topics.labels import name_topics
from analysis.topics.map import TopicMap
from analysis.topics.model import TopicModel
from analysis.topics.partition import Partition, partition_from_labels
from analysis.topics.records import Topic, TopicEvent

BoolArray = NDArray[np.bool_]
Days = NDArray[np.datetime64]

EXEMPLARS = 10
LARGEST_SHARE = 0.5
# A tenth of the level of a closed day, because the same day is tested at every run.
OPEN_DAY_LEVEL = 0.001
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
    """

    def __init__(
        self,
        model: TopicModel,
        topic_map: TopicMap,
        provisional: Sequence[int] = (),
        emerged: Partition | None = None,
        emerged_days: Days | None = None,
    ) -> None:
        self.model = model
        self.map = topic_map
        self.provisional = set(provisional)
        self.emerged = model.partition_.part(np.zeros(0, np.int64)) if emerged is None else emerged
        self.emerged_days = np.zeros(0, "datetime64[D]") if emerged_days is None else emerged_days

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
        """Find subjects that are new in ``current``; each becomes a provisional topic.

        Parameters
        ----------
        reference, current
            Unit rows (n, d) and (m, d).
        texts
            The m texts of ``current``.
        reference_groups, current_groups
            Session of every row.
        day
            The day of ``current``.
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
        return [
            self._adopt(current, texts, tuple(int(fresh[row]) for row in subject.members), day)
            for subject in found
            if subject.share <= LARGEST_SHARE and (closed or subject.p_value <= OPEN_DAY_LEVEL)
        ]

    def refit(self, X: FloatArray, texts: Sequence[str]) -> tuple[TopicEvent, ...]:
        """Refit on later rows; provisional topics that live on are promoted."""
        self.model.refit(X, texts).locate(self.map)
        self.provisional.clear()
        return self.model.events_

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
        }

    @classmethod
    def from_arrays(cls, model: Mapping[str, NDArray[Any]], topic_map: Mapping[str, NDArray[Any]]) -> TopicWatch:
        """The watch whose arrays were stored."""
        emerged = (
            Partition(model["emerged_ids"], model["emerged_centroids"], model["emerged_radii"])
            if "emerged_ids" in model
            else None
        )
        return cls(
            TopicModel.from_arrays(model),
            TopicMap.from_arrays(topic_map),
            model["provisional"].tolist(),
            emerged,
            model["emerged_days"] if emerged else None,
        )

    def _known(self, rows: FloatArray, day: np.datetime64) -> BoolArray:
        """Return which rows (n,) belong to a subject that emerged lately, whatever became of it in a refit."""
        young = day - self.emerged_days < YOUNG
        ids = self.model.assign(rows)[0]
        now = np.isin(ids, [*self.provisional, *self.emerged.ids[young]])
        gone = young & ~np.isin(self.emerged.ids, self.model.partition_.ids)
        then, _, _ = self.emerged.part(np.flatnonzero(gone)).assign(rows)
        return np.asarray(now | (then >= 0))

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


def renamed(topics: Sequence[Topic], labels: Mapping[int, str]) -> tuple[Topic, ...]:
    """Topics with the labels that people gave them."""
    return tuple(replace(topic, label=labels.get(topic.topic_id, topic.label)) for topic in topics)


def _joined(first: Partition, second: Partition) -> Partition:
    if not len(first.ids):
        return second
    return Partition(
        np.concatenate([first.ids, second.ids]),
        np.concatenate([first.centroids, second.centroids]),
        np.concatenate([first.radii, second.radii]),
    )
