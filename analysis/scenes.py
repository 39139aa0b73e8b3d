"""What a sentence about a drift needs to know: since when, and what changed just before."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from analysis.drift.onset import Onset
from analysis.drift.sentence import Change, Scene
from analysis.localtime import to_local
from undertow.store import Store, reads, trend_reads

LOOK_BACK = timedelta(hours=6)
DAY = timedelta(hours=24)


@dataclass(frozen=True)
class Journal:
    """All recorded changes, the services there are, and the labels of topics."""

    changes: tuple[Change, ...]
    services: tuple[str, ...]
    users_of_prompt: Mapping[str, Collection[str]]
    labels: Mapping[int, str]
    zone: ZoneInfo

    @classmethod
    def read(cls, store: Store, zone: ZoneInfo) -> Journal:
        """Read the changes with whatever tells whose they are."""
        used: dict[str, set[str]] = {}
        rows = store.query(trend_reads.SERVICE_PROMPTS).to_pylist()
        for row in rows:
            if row["prompt_name"]:
                used.setdefault(row["prompt_name"], set()).add(row["service_name"] or "")
        return cls(
            tuple(Change(**row) for row in store.query(trend_reads.CHANGES).to_pylist()),
            tuple(sorted({row["service_name"] or "" for row in rows})),
            used,
            {row["topic_id"]: row["label"] for row in store.query(reads.TOPIC_LABELS).to_pylist()},
            zone,
        )

    def of_service(self, service: str) -> tuple[Change, ...]:
        """Return the changes that may concern a service."""
        return tuple(change for change in self.changes if self._concerns(change, service))

    def _concerns(self, change: Change, service: str) -> bool:
        """Whether a change is a service's, by its record, the prompt's users, or a name that they share a word of.

        A change that speaks of no service in particular may concern any.
        """
        if change.service:
            return change.service == service
        if change.kind == "prompt" and change.name in self.users_of_prompt:
            return service in self.users_of_prompt[change.name]
        words = _words(change.name)
        named = [other for other in self.services if change.name == other] or [
            other for other in self.services if words & _words(other)
        ]
        return not named or service in named

    def scene(  # noqa: PLR0913 - what a sentence is made of
        self,
        field: str,
        service: str,
        window: tuple[datetime, datetime],
        *,
        onset: Onset | None = None,
        other_fields: Mapping[str, str] | None = None,
    ) -> Scene:
        """Return the scene of a result on a window, naive UTC; printed times are those of the zone."""
        began, low, high = window[0], window[0], window[1]  # nothing stands out: all of the window
        back = DAY
        if onset is not None:
            began, low, high = (moment(at) for at in (onset.at, onset.low, onset.high))
            back = LOOK_BACK
        near = _nearest([c for c in self.of_service(service) if low - back <= c.at <= high], began, low, high)
        return Scene(
            field,
            to_local(window[0], self.zone),
            to_local(window[1], self.zone),
            tuple(replace(change, at=to_local(change.at, self.zone)) for change in near),
            back,
            self.labels,
            service=service if len(self.services) > 1 else "",
            onset=to_local(began, self.zone) if onset is not None else None,
            onset_low=to_local(low, self.zone) if onset is not None else None,
            onset_high=to_local(high, self.zone) if onset is not None else None,
            other_fields=other_fields or {},
        )


def _nearest(changes: Sequence[Change], began: datetime, low: datetime, high: datetime) -> tuple[Change, ...]:
    """Sort changes by their distance from the onset; those within its interval first."""
    return tuple(sorted(changes, key=lambda c: (not low <= c.at <= high, abs(c.at - began))))


def _words(name: str) -> set[str]:
    return {word for word in re.split(r"[^a-z0-9]+", name.lower()) if len(word) > 2} - {"assistant", "service", "bot"}


def moment(at: np.datetime64) -> datetime:
    """Return a numpy time as a naive datetime."""
    found: datetime = pd.Timestamp(at).to_pydatetime(warn=False)
    return found
