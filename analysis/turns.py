"""The traffic as analysis sees it: one row per turn, with its vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.analyzer import EVER, NEVER, Context
from undertow.search import load_vectors
from undertow.store import reads

Vectors = npt.NDArray[np.float32]
Bounds = Mapping[str, object]


@dataclass(frozen=True)
class Documents:
    """Documents given to turns, one row each, in the order of the turns.

    Attributes
    ----------
    frame : ``turn`` (row of the turns' frame), ``document_id``, ``content_hash``, ``source``, ``updated_at``.
    vectors : (k, d), NaN where a text has none.
    """

    frame: pd.DataFrame
    vectors: Vectors


@dataclass(frozen=True)
class Part:
    """The turns of one service, of so many of its sessions that there are about ``most`` turns; without texts."""

    service: str
    most: int


@dataclass(frozen=True)
class Turns:
    """Turns in the order of time.

    Attributes
    ----------
    frame : one row per turn with the columns of ``reads.TURNS`` and ``day``, the local day as ``datetime64[D]``.
    vectors : by field (``prompt``, ``response``, ``context``) an (n, d) array, NaN where a turn has none.
    documents : what the turns were given, where their context was read.
    """

    frame: pd.DataFrame
    vectors: Mapping[str, Vectors]
    documents: Documents | None = None

    def __len__(self) -> int:
        return len(self.frame)


def read_turns(
    context: Context,
    fields: tuple[str, ...] = ("prompt", "response", "context"),
    *,
    start: datetime = EVER,
    end: datetime = NEVER,
    part: Part | None = None,
) -> Turns:
    """Read the turns up to the head of the run, with the vectors of the configured model.

    Parameters
    ----------
    fields : whose vectors are read.
    start, end : only turns that start within [start, end), naive UTC.
    part : read no more than that.
    """
    bounds: Bounds = {"head": context.head, "from": start, "to": end}
    if part is None:
        frame = context.store.query(reads.TURNS, bounds).to_pandas()
    else:
        mine = {**bounds, "service": part.service}
        turns = context.store.query(reads.SIZE_OF_SERVICE, mine).column("turns")[0].as_py()
        every = max(1, ceil(turns / part.most))
        frame = context.store.query(reads.TURNS_OF_SERVICE, {**mine, "every": every}).to_pandas()
    zone = ZoneInfo(context.settings.timezone)
    local = frame["start_time"].dt.tz_localize("UTC").dt.tz_convert(zone).dt.tz_localize(None)
    frame["day"] = local.to_numpy().astype("datetime64[D]")
    given = _documents(context, frame, bounds, whole=part is None) if "context" in fields else None
    vectors = {
        field: _mean_direction(len(frame), given)
        if field == "context" and given is not None
        else _by_hash(context, frame, field, bounds, whole=part is None)
        for field in fields
    }
    return Turns(frame, vectors, given)


def _by_hash(context: Context, frame: pd.DataFrame, field: Any, bounds: Bounds, *, whole: bool) -> Vectors:
    wanted = frame[f"{field}_text_hash"]
    among = _among(wanted, bounds, whole=whole)
    hashes, matrix = load_vectors(context.store, field, context.embedder.name, among=among)
    return _looked_up(wanted.to_numpy(object), hashes, matrix)


def _documents(context: Context, frame: pd.DataFrame, bounds: Bounds, *, whole: bool) -> Documents:
    ids = {"head": bounds["head"], "ids": frame["interaction_id"].to_list()}
    query, values = (reads.TURN_DOCUMENTS, bounds) if whole else (reads.DOCUMENTS_OF, ids)
    given = context.store.query(query, values).to_pandas()
    given["turn"] = pd.Index(frame["interaction_id"]).get_indexer(given["interaction_id"])
    given = given[given["turn"] >= 0].drop(columns="interaction_id").sort_values("turn", kind="stable")
    among = _among(given["content_hash"], bounds, whole=whole)
    hashes, matrix = load_vectors(context.store, "document", context.embedder.name, among=among)
    return Documents(given.reset_index(drop=True), _looked_up(given["content_hash"].to_numpy(object), hashes, matrix))


def _mean_direction(n: int, given: Documents) -> Vectors:
    """The mean direction of the documents that each of ``n`` turns was given."""
    row, vectors = given.frame["turn"].to_numpy(), given.vectors
    usable = ~np.isnan(vectors[:, 0])
    total = np.zeros((n, vectors.shape[1]), np.float32)
    np.add.at(total, row[usable], vectors[usable])
    length = np.linalg.norm(total, axis=1, keepdims=True)
    mean: Vectors = np.where(length > 0, total / np.maximum(length, 1e-12), np.nan).astype(np.float32)
    return mean


def _among(hashes: pd.Series[str], bounds: Bounds, *, whole: bool) -> Iterable[str] | None:
    """Hashes to ask for; where all turns are wanted, all vectors are."""
    return None if whole and bounds["from"] == EVER and bounds["to"] == NEVER else list(hashes.dropna().unique())


def _looked_up(wanted: npt.NDArray[Any], hashes: npt.NDArray[Any], matrix: Vectors) -> Vectors:
    """Rows of the matrix by content hash, NaN where there is none."""
    if len(hashes) == 0:
        return np.full((len(wanted), 1), np.nan, np.float32)
    index = pd.Index(hashes).get_indexer(pd.Index(wanted))
    found: Vectors = matrix[np.maximum(index, 0)].astype(np.float32)
    found[index < 0] = np.nan
    return found
