"""Turns with their sessions and topics, ready to be compared in windows of any choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd

from analysis.analyzer import EVER, NEVER, Context
from analysis.drift import DriftResult, compare, compare_behaviour, session_groups
from analysis.drift.context import Retrieved, with_identities
from analysis.drift.onset import Onset, find_onset, moved_score
from analysis.scenes import moment
from analysis.turns import Documents, Turns, read_turns
from undertow.store import Store, reads

FIELDS = ("prompt", "context", "response", "behaviour")
PERMUTATIONS = 999
MOST_REFERENCE_ROWS = 20_000
EXEMPLARS = 10
ONSET_BEFORE = np.timedelta64(3, "D")
ONSET_ROWS = 500

Rows = npt.NDArray[np.int64]


class Study:
    """What all comparisons of a run share.

    Parameters
    ----------
    context : of the run.
    start, end : the span of time that is read, naive UTC.

    Attributes
    ----------
    frame : one row per turn, in the order of time, as :func:`analysis.turns.read_turns` gives it.
    service, groups, topics : (n,) of each turn.
    """

    def __init__(self, context: Context, start: datetime = EVER, end: datetime = NEVER) -> None:
        self.turns = turns = read_turns(context, start=start, end=end)
        self.frame = frame = turns.frame
        self.service = frame["service_name"].fillna("").to_numpy(object)
        self.groups = groups_of(turns)
        assigned = context.store.query(reads.ASSIGNED_TOPICS, {"from": start, "to": end}).to_pandas()
        topic = frame["interaction_id"].map(assigned.set_index("interaction_id")["topic_id"])
        self.topics: Rows = topic.fillna(-1).to_numpy(np.int64)

    def usable(self, field: str) -> npt.NDArray[np.bool_]:
        """Which turns have the vectors that a field needs, (n,)."""
        return usable(self.turns, field)

    def compare(self, field: str, reference: Rows, current: Rows, alpha: float) -> DriftResult:
        """Compare the turns at two lists of positions."""
        groups, topics = self.groups, self.topics
        settings: dict[str, Any] = {
            "reference_groups": groups[reference],
            "current_groups": groups[current],
            "reference_topics": topics[reference],
            "current_topics": topics[current],
            "permutations": PERMUTATIONS,
            "alpha": alpha,
        }
        if field == "behaviour":
            prompts, responses = self.turns.vectors["prompt"], self.turns.vectors["response"]
            return compare_behaviour(
                prompts[reference], responses[reference], prompts[current], responses[current], **settings
            )
        vectors = self.turns.vectors[field]
        result = compare(vectors[reference], vectors[current], **settings)
        if field != "context" or result.verdict == "insufficient":
            return result
        before, after = self._retrieved(reference), self._retrieved(current)
        return with_identities(result, before, after, permutations=PERMUTATIONS, alpha=alpha).as_drift()

    def _retrieved(self, rows: Rows) -> Retrieved:
        """What the turns at some positions were given."""
        documents, frame, named = self._documents, self._documents.frame, self._named
        mine = np.flatnonzero(np.isin(frame["turn"].to_numpy(), rows) & ~np.isnan(documents.vectors[:, 0]))
        source = frame["source"].fillna("").to_numpy(object)[mine]
        return Retrieved(
            documents.vectors[mine],
            named[mine],
            self.groups[frame["turn"].to_numpy()[mine]],
            source if (source != "").any() else None,
            self._behind[mine],
        )

    @property
    def _named(self) -> npt.NDArray[Any]:
        """What each document given is called, (k,): its id, else its text."""
        frame = self._documents.frame
        return np.asarray(frame["document_id"].fillna(frame["content_hash"]).to_numpy(object))

    @property
    def _documents(self) -> Documents:
        if self.turns.documents is None:
            raise RuntimeError("the study was read without its documents")
        return self.turns.documents

    @cached_property
    def _behind(self) -> npt.NDArray[np.float64]:
        """Seconds by which each document given is older than the newest edition of it that was given before, (k,).

        Age alone would grow from day to day without any change.
        """
        frame = self._documents.frame
        edited = frame["updated_at"].astype("datetime64[us]")
        seconds = edited.astype("int64").where(edited.notna()) / 1e6
        newest = seconds.groupby([self.service[frame["turn"]], self._named]).cummax()
        return np.asarray(newest - seconds, dtype=np.float64)

    def thinned(self, reference: Rows) -> Rows:
        """Return at most 20,000 of the rows of a reference, chosen at random."""
        if len(reference) <= MOST_REFERENCE_ROWS:
            return reference
        return np.sort(np.random.default_rng(0).choice(reference, MOST_REFERENCE_ROWS, replace=False))

    def onset(self, field: str, result: DriftResult, reference: Rows, current: Rows) -> Onset | None:
        """Return since when the current rows differ; looked for from three days before them."""
        times = self.frame["start_time"].to_numpy()
        late = reference[times[reference] >= times[current].min() - ONSET_BEFORE]
        late = late if len(late) else reference[-ONSET_ROWS:]
        if result.verdict != "drifted" or len(late) == 0 or times[late].max() > times[current].min():
            return None
        rows = np.concatenate([late, current])
        vectors = np.asarray(self.turns.vectors["response" if field == "behaviour" else field][rows], dtype=np.float64)
        scores = moved_score(result, vectors, self.topics[rows], np.arange(len(rows)) >= len(late))
        return find_onset(times[rows], scores, self.groups[rows])

    def grouping_text(self, current: Rows) -> str:
        """What the unit of exchange was."""
        session = self.frame["session_id"].to_numpy(object)[current]
        return f"session ({np.mean([not value for value in session]):.0%} without)"

    def contributions(self, result: DriftResult, current: Rows, drift_id: str) -> list[dict[str, Any]]:
        """Return rows of ``drift_contributions``."""
        ids = self.frame["interaction_id"].to_numpy(object)[current]
        return [
            {
                "drift_id": drift_id,
                "topic_id": item.topic_id,
                "share_reference": item.share_reference,
                "share_current": item.share_current,
                "contribution": item.contribution,
                "kind": item.kind,
                "exemplars": orjson.dumps([ids[i] for i in item.exemplars[:EXEMPLARS]]).decode(),
            }
            for item in result.contributions
        ]


def groups_of(turns: Turns) -> Rows:
    """Return the unit of exchange of each turn, (n,); the vectors of its questions must have been read."""
    frame = turns.frame
    return session_groups(
        frame["session_id"].to_numpy(object),
        frame["user_id"].to_numpy(object),
        frame["trace_id"].to_numpy(object),
        frame["start_time"].to_numpy(),
        services=frame["service_name"].fillna("").to_numpy(object),
        prompt_keys=frame["prompt_text_hash"].to_numpy(object),
        vectors=np.nan_to_num(turns.vectors["prompt"]),
    ).groups


def usable(turns: Turns, field: str) -> npt.NDArray[np.bool_]:
    """Which turns have the vectors that a field needs, (n,)."""
    wanted = ("prompt", "response") if field == "behaviour" else (field,)
    return np.asarray(np.logical_and.reduce([~np.isnan(turns.vectors[name][:, 0]) for name in wanted]))


def numbers_of(result: DriftResult, level: float) -> dict[str, Any]:
    """Return the columns of ``drift`` that a result fills; ``level`` is what it was tested at."""
    known = not np.isnan(result.p_value)
    low, high = result.effect_interval
    return {
        "n_reference": result.n_reference,
        "n_current": result.n_current,
        "statistic": result.statistic,
        "value": result.value if known else None,
        "effect": result.effect if known else None,
        "effect_low": None if np.isnan(low) else low,
        "effect_high": None if np.isnan(high) else high,
        "p_value": result.p_value if known else None,
        "p_floor": result.p_floor,
        "evidence": float(-np.log10(max(result.p_value, 1e-12))) if known else None,
        "threshold": float(-np.log10(level)),
        "verdict": result.verdict,
    }


def onset_of(onset: Onset | None) -> dict[str, datetime | None]:
    """Return the columns of ``drift`` that an onset fills."""
    times = (onset.at, onset.low, onset.high) if onset else (None, None, None)
    names = ("onset", "onset_low", "onset_high")
    return {name: None if at is None else moment(at) for name, at in zip(names, times, strict=True)}


@dataclass(frozen=True)
class Pin:
    """A reference that somebody chose for a service, naive UTC."""

    start: datetime
    end: datetime
    chosen_at: datetime

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.end - self.start


def read_pins(store: Store) -> Mapping[str, Pin]:
    """Return the pinned reference of each service that has one; the newest choice counts, an empty one unpins."""
    pins: dict[str, Pin] = {}
    for row in _asked(store, "pin"):
        asked = row["arguments"]
        pins.pop(asked["service"], None)
        if asked.get("start"):
            start, end = (datetime.fromisoformat(asked[name]) for name in ("start", "end"))
            pins[asked["service"]] = Pin(start, end, row["requested_at"])
    return pins


def read_acknowledged(store: Store) -> Mapping[tuple[str, str], datetime]:
    """Return when the alarm of each service's and field's monitor was acknowledged last."""
    return {
        (row["arguments"]["service"], row["arguments"]["field"]): row["requested_at"]
        for row in _asked(store, "acknowledge")
    }


def _asked(store: Store, kind: str) -> Sequence[dict[str, Any]]:
    rows = store.query(reads.PINS).to_pylist()
    return [{**row, "arguments": orjson.loads(row["arguments"])} for row in rows if row["kind"] == kind]


def within(frame: pd.DataFrame, start: datetime, end: datetime) -> npt.NDArray[np.bool_]:
    """Which turns start in [start, end), (n,)."""
    times = frame["start_time"]
    return np.asarray((times >= start) & (times < end))
