"""Compares what analysis found with what the script planted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from demo.events import Event, Kind
from undertow.store import Store

_ALERT_PREFIX = "builtin:"
# A monitor may notice in the hour after an event; a topic may need days of sessions to be told from chance.
_DAY = timedelta(days=1)
_LATE = timedelta(hours=1)
_TOPIC_LATE = timedelta(days=4)
_MOSTLY = 0.5
_FEWEST_FLAGGED = 3
# Known to the script, but nothing has to be found: they explain what other events would be blamed for.
_BACKGROUND: frozenset[Kind] = frozenset({"traffic", "article"})

_DRIFT_SQL = """
    SELECT field, segment, current_start, current_end, sentence FROM drift WHERE parent_id IS NULL
    QUALIFY verdict = 'drifted' AND (statistic IS DISTINCT FROM 'monitor' OR lag(verdict) OVER (
        PARTITION BY field, segment, statistic = 'monitor' ORDER BY current_start) IS DISTINCT FROM 'drifted')
    ORDER BY current_start, field
"""
_ALERT_SQL = """
    SELECT alert_id, happened_at, sentence, evidence FROM alert_events
    WHERE kind = 'fired' AND alert_id NOT LIKE 'builtin:drift:%' ORDER BY happened_at
"""
_TOPIC_SQL = """
    SELECT t.topic_id, t.label, min(h.happened_at) AS born_at, bool_or(h.origin = 'emerging') AS emerged
    FROM topics t JOIN topic_history h ON h.topic_id = t.topic_id AND h.event = 'born'
    WHERE t.level = 0 GROUP BY t.topic_id, t.label ORDER BY t.topic_id
"""
_MEMBER_SQL = "SELECT topic_id, interaction_id FROM topic_assignments WHERE field = 'prompt' AND topic_id >= 0"
_REVIEW_SQL = "SELECT interaction_id FROM reviews"


@dataclass(frozen=True)
class Alarm:
    """Something that analysis reported.

    Attributes
    ----------
    what : a drift field or the name of a built-in monitor.
    start, end : the time it speaks of, naive UTC; known_at : the earliest time it can have been known.
    source : ``drift`` or ``alert``.
    """

    what: str
    service: str | None
    start: datetime
    end: datetime
    known_at: datetime
    sentence: str
    source: str
    topic_id: int | None = None


@dataclass(frozen=True)
class Born:
    """A topic, and how many of its interactions come from each planted event.

    Attributes
    ----------
    born_at : its first question; emerged : whether it was reported as new, not met in a first look at the past.
    """

    topic_id: int
    label: str
    born_at: datetime
    emerged: bool
    members: int
    planted: Mapping[str, int]

    def mostly(self, kind: str) -> bool:
        """Whether most of its interactions come from one planted event."""
        return self.planted.get(kind, 0) > _MOSTLY * self.members


@dataclass(frozen=True)
class Found:
    """One planted event and what became of it; ``found`` is None where nothing has to be found."""

    kind: str
    title: str
    required: bool
    service: str
    start: datetime
    end: datetime
    moves: tuple[str, ...]
    found: bool | None
    found_at: datetime | None
    by: tuple[str, ...]


@dataclass(frozen=True)
class DemoReport:
    """What was found of the script, and what was found beside it."""

    events: tuple[Found, ...]
    unplanted: tuple[Alarm, ...]

    @property
    def complete(self) -> bool:
        """Whether every required event was found."""
        return all(event.found for event in self.events if event.required)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, times as ISO 8601."""
        body = {"complete": self.complete, "events": [asdict(e) for e in self.events]}
        body["unplanted"] = [asdict(alarm) for alarm in self.unplanted]
        plain: dict[str, Any] = json.loads(json.dumps(body, default=datetime.isoformat))
        return plain


@dataclass(frozen=True)
class _Seen:
    alarms: tuple[Alarm, ...]
    topics: tuple[Born, ...]
    flagged: Mapping[str, int]


@dataclass(frozen=True)
class _Evidence:
    """When and by what an event was noticed, and whether that alone counts as found."""

    at: datetime
    by: str
    proves: bool = True


def make_report(store: Store, events: Iterable[Event], truth: Mapping[str, str]) -> DemoReport:
    """Read the store and judge every planted event.

    Parameters
    ----------
    events : what was planted.
    truth : kind of event by trace id, an empty string for usual turns.
    """
    planted = tuple(events)
    seen = _Seen(tuple(_alarms(store)), tuple(_topics(store, truth)), _flagged(store, truth))
    found = tuple(_judge(event, seen) for event in planted)
    return DemoReport(found, tuple(alarm for alarm in seen.alarms if not _explained(alarm, planted, seen.topics)))


def _alarms(store: Store) -> Iterator[Alarm]:
    for row in store.query(_DRIFT_SQL).to_pylist():
        start, end = row["current_start"], row["current_end"]
        yield Alarm(row["field"], row["segment"], start, end, end, row["sentence"], "drift")
    for row in store.query(_ALERT_SQL).to_pylist():
        evidence = json.loads(row["evidence"] or "{}")
        at = row["happened_at"]
        what = row["alert_id"].removeprefix(_ALERT_PREFIX)
        start, end = _time(evidence.get("start"), at), _time(evidence.get("end"), at)
        if what == "new_topic":  # topics are looked for day by day
            start, end = _midnight(at), _midnight(at) + _DAY
        service, topic_id = evidence.get("service_name"), evidence.get("topic_id")
        yield Alarm(what, service, start, max(start, end), max(at, end), row["sentence"], "alert", topic_id)


def _time(text: str | None, default: datetime) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=None) if text else default


def _topics(store: Store, truth: Mapping[str, str]) -> Iterator[Born]:
    members: dict[int, dict[str, int]] = {}
    for row in store.query(_MEMBER_SQL).to_pylist():
        counts = members.setdefault(row["topic_id"], {})
        kind = truth.get(_trace(row["interaction_id"]), "")
        counts[kind] = counts.get(kind, 0) + 1
    for row in store.query(_TOPIC_SQL).to_pylist():
        counts = members.get(row["topic_id"], {})
        yield Born(row["topic_id"], row["label"], row["born_at"], row["emerged"], sum(counts.values()), counts)


def _flagged(store: Store, truth: Mapping[str, str]) -> dict[str, int]:
    """Count the interactions of each event that wait for a review."""
    counts: dict[str, int] = {}
    for row in store.query(_REVIEW_SQL).to_pylist():
        kind = truth.get(_trace(row["interaction_id"]), "")
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def _trace(interaction_id: str) -> str:
    return interaction_id.partition(":")[0]


def _judge(event: Event, seen: _Seen) -> Found:
    evidence = sorted(_evidence(event, seen), key=lambda piece: piece.at)
    proof = [piece for piece in evidence if piece.proves]
    return Found(
        kind=event.kind,
        title=event.title,
        required=event.required,
        service=event.service,
        start=event.start,
        end=event.end,
        moves=event.moves,
        found=None if event.kind in _BACKGROUND else bool(proof),
        found_at=proof[0].at if proof else None,
        by=tuple(dict.fromkeys(piece.by for piece in evidence)),
    )


# Which drift fields (source drift) and monitors (source alert) notice an event. Drift of the questions says that
# something moved; only a topic made of the planted questions says what.
_FOUND_BY: Mapping[Kind, tuple[tuple[str, str], ...]] = {
    "new_topic": (("drift", "prompt"),),
    "prompt_edit": (("drift", "behaviour"),),
    "ungrounded": (("alert", "groundedness"),),
    "bad_feedback": (("alert", "feedback"),),
    "cost_spike": (("alert", "cost"),),
    "old_edition": (("drift", "context"),),
}


def _evidence(event: Event, seen: _Seen) -> Iterator[_Evidence]:
    """Yield when and by what an event was noticed."""
    if event.kind in _BACKGROUND:
        return
    wanted = _FOUND_BY.get(event.kind, ())
    for alarm in seen.alarms:
        if (alarm.source, alarm.what) in wanted and _fits(alarm, event):
            yield _Evidence(alarm.known_at, f"{alarm.what} {alarm.source}", event.kind != "new_topic")
    for topic in seen.topics:
        # A birth is known at the end of its day.
        known_at = _midnight(topic.born_at) + _DAY
        if topic.emerged and topic.mostly(event.kind) and event.start < known_at <= event.start + _TOPIC_LATE:
            yield _Evidence(known_at, f"new topic: {topic.label}")
    if event.kind == "injection" and seen.flagged.get(event.kind, 0) >= _FEWEST_FLAGGED:
        yield _Evidence(event.start, f"{seen.flagged[event.kind]} of its answers wait for a review")


def _fits(alarm: Alarm, event: Event) -> bool:
    """Whether an alarm speaks of the service and the time of an event."""
    same = not event.service or alarm.service in (None, "", event.service)
    late = _LATE if alarm.source == "alert" else timedelta(0)
    # An alarm about a single moment still has a duration, or it could never overlap anything.
    return same and event.start < max(alarm.end, alarm.start + _LATE) and alarm.start < event.end + late


def _of_event(alarm: Alarm, event: Event, topics: Sequence[Born]) -> bool:
    return any(topic.topic_id == alarm.topic_id and topic.mostly(event.kind) for topic in topics)


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _explained(alarm: Alarm, events: Sequence[Event], topics: Sequence[Born]) -> bool:
    for event in events:
        if alarm.what in event.moves and _fits(alarm, event):
            if alarm.what != "new_topic" or alarm.topic_id is None or _of_event(alarm, event, topics):
                return True
    return False
