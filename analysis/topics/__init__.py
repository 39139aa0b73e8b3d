"""Topic methods: arrays and texts in, results out; no store, no settings, no clock."""

from __future__ import annotations

from analysis.topics.emerging import Emerging, find_emerging
from analysis.topics.map import TopicMap
from analysis.topics.model import TopicModel
from analysis.topics.records import Topic, TopicEvent

__all__ = ["Emerging", "Topic", "TopicEvent", "TopicMap", "TopicModel", "find_emerging"]
