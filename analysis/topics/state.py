"""A topic model as plain arrays, so that it can be stored as npz and read without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.topics.clusterers import Clusterer
from analysis.topics.geometry import unit_rows
from analysis.topics.memory import Memory, Origin
from analysis.topics.partition import Partition
from analysis.topics.records import Topic, TopicEvent

if TYPE_CHECKING:
    from analysis.topics.model import TopicModel

SCHEMA_VERSION = 1

Arrays = Mapping[str, NDArray[Any]]


def to_arrays(model: TopicModel) -> dict[str, NDArray[Any]]:
    """Return the learned state of ``model``; records become one JSON string."""
    records = {
        "clusterer": model.clusterer if isinstance(model.clusterer, str) else None,
        "min_topic_size": model.min_topic_size,
        "topics": [asdict(topic) for topic in model.topics_],
        "themes": [asdict(topic) for topic in model.themes_],
        "subtopics": [asdict(topic) for topic in model.subtopics_],
        "events": [asdict(event) for event in model.events_],
        "names": list(model.names_.items()),
    }
    arrays: dict[str, NDArray[Any]] = {
        "schema_version": np.array(SCHEMA_VERSION),
        "records": np.array(json.dumps(records)),
        "seed": np.array(model.seed),
        "next_id": np.array(model.next_id_),
        "silhouette": np.array(model.silhouette_),
        "labels": model.labels_,
        "member_keys": model.member_keys_,
        "member_ids": model.member_ids_,
        "memory": model.memory_.rows.astype(np.float16),
        "memory_weights": model.memory_.weights,
        "origin": model.origin_.rows.astype(np.float16),
        "origin_ids": model.origin_.ids,
        "chosen_on": np.array(model.chosen_on_),
    }
    for prefix, partition in (("", model.partition_), ("sub_", model.subpartition_)):
        arrays[f"{prefix}ids"] = partition.ids
        arrays[f"{prefix}centroids"] = partition.centroids
        arrays[f"{prefix}radii"] = partition.radii
    return arrays


def parameters(arrays: Arrays, clusterer: Clusterer | None) -> dict[str, Any]:
    """Return the constructor's parameters of a stored model, after checking its version.

    Raises
    ------
    ValueError
        When the version is another one, or the engine was an object and none is given.
    """
    found = int(arrays["schema_version"])
    if found != SCHEMA_VERSION:
        raise ValueError(f"the topic model has schema version {found}, expected {SCHEMA_VERSION}; fit it anew")
    records = _records(arrays)
    engine = clusterer if clusterer is not None else records["clusterer"]
    if engine is None:
        raise ValueError("the topic model was fitted with an engine of its own; pass it as clusterer")
    others = {"min_topic_size": records["min_topic_size"], "seed": int(arrays["seed"])}
    # So the usual engine was called in models stored while it depended on the number of texts.
    return others if engine == "auto" else {"clusterer": engine, **others}


def restore(model: TopicModel, arrays: Arrays) -> None:
    """Set the learned attributes of ``model`` from ``arrays``."""
    records = _records(arrays)
    model.topics_ = tuple(_topic(record) for record in records["topics"])
    model.themes_ = tuple(_topic(record) for record in records.get("themes", ()))
    model.subtopics_ = tuple(_topic(record) for record in records["subtopics"])
    model.events_ = tuple(TopicEvent(**{**record, "related": tuple(record["related"])}) for record in records["events"])
    model.names_ = {int(topic): name for topic, name in records.get("names", ())}
    model.next_id_ = int(arrays["next_id"])
    model.silhouette_ = float(arrays["silhouette"])
    model.labels_ = arrays["labels"]
    model.member_keys_ = arrays["member_keys"]
    model.member_ids_ = arrays["member_ids"]
    # A model stored before there was a memory has nothing to compare with: its next refit changes no structure.
    remembered = "memory" in arrays
    model.memory_ = (
        Memory(unit_rows(arrays["memory"]), arrays["memory_weights"])
        if remembered
        else Memory.empty(arrays["centroids"].shape[1])
    )
    model.chosen_on_ = int(arrays["chosen_on"]) if remembered else len(model.member_keys_)
    model.partition_ = Partition(arrays["ids"], arrays["centroids"], arrays["radii"])
    # A model stored before there was an origin takes its last fit for it.
    model.origin_ = (
        Origin(unit_rows(arrays["origin"]), arrays["origin_ids"])
        if "origin" in arrays
        else Origin.of(model.memory_, model.partition_)
    )
    model.subpartition_ = Partition(arrays["sub_ids"], arrays["sub_centroids"], arrays["sub_radii"])
    model.centroids_, model.radii_ = model.partition_.centroids, model.partition_.radii


def _records(arrays: Arrays) -> dict[str, Any]:
    records: dict[str, Any] = json.loads(str(arrays["records"]))
    return records


def _topic(record: dict[str, Any]) -> Topic:
    return Topic(**{**record, "keywords": tuple(record["keywords"]), "exemplars": tuple(record["exemplars"])})
