"""Other ids for the topics of a fitted model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from analysis.topics.records import Topic

if TYPE_CHECKING:
    from analysis.topics.model import TopicModel


def renumber(model: TopicModel, offset: int) -> None:
    """Raise the ids of all themes, topics and sub-topics of ``model`` by ``offset``."""

    def moved(topic: Topic) -> Topic:
        parent = None if topic.parent_id is None else topic.parent_id + offset
        return replace(topic, topic_id=topic.topic_id + offset, parent_id=parent)

    model.topics_ = tuple(moved(topic) for topic in model.topics_)
    model.themes_ = tuple(moved(topic) for topic in model.themes_)
    model.subtopics_ = tuple(moved(topic) for topic in model.subtopics_)
    model.partition_ = replace(model.partition_, ids=model.partition_.ids + offset)
    model.subpartition_ = replace(model.subpartition_, ids=model.subpartition_.ids + offset)
    model.labels_ = np.where(model.labels_ >= 0, model.labels_ + offset, -1)
    model.member_ids_ = np.where(model.member_ids_ >= 0, model.member_ids_ + offset, -1)
    ids = model.origin_.ids
    model.origin_ = replace(model.origin_, ids=np.where(ids >= 0, ids + offset, -1))
    model.events_ = tuple(replace(event, topic_id=event.topic_id + offset) for event in model.events_)
    model.names_ = {topic + offset: name for topic, name in model.names_.items()}
    model.next_id_ += offset
