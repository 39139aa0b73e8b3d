"""The script: every turn of seven weeks, the same for the same seed and last day."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from demo.assistant import Manner, answer
from demo.events import EVENTFUL_DAYS, QUIET_DAYS, Event, Kind, first_eventful_day, planted_events
from demo.grammar import EVENT_FILE, FILES, Pool, Question, build_pools
from demo.knowledge import CUSTOMER, OLD_EDITION, STAFF, KnowledgeBases, load_knowledge
from demo.prompts import Prompt, prompt_at
from demo.retrieval import Hit, Retriever
from demo.rhythm import session_start, turns_of_day
from demo.spans import span_id

_USERS = {CUSTOMER: 640, STAFF: 150}
_LONGEST_SESSION = 6
_CONTINUES = 0.46
_SAME_FAMILY, _SAME_INTENT = 0.55, 0.8
_NEW_TOPIC_SHARE = 0.11
_INVENTING_SHARE = 0.52
# Every model makes something up now and then.
_ALWAYS_INVENTING_SHARE = 0.012
_ERROR_SHARE = 0.006
_TOOL_INTENTS = ("transfer time", "card delivery", "dispute")
_TOOL_SHARE = 0.4
_LOOP_SESSIONS, _LOOP_STEPS = 7, 30
_INJECTION_SESSIONS = 7
_THUMBS = {"usual": (0.06, 0.92), "new_topic": (0.10, 0.4), "formal": (0.06, 0.8), "inventing": (0.45, 0.05)}


@dataclass(frozen=True)
class Turn:
    """One question and its answer.

    Attributes
    ----------
    start : naive UTC.
    event : kind of the event that made this turn what it is, or an empty string.
    thumb : 1.0, 0.0 or None.
    invented : whether the answer holds what no passage says.
    tool_steps : how many times a tool was called before the answer.
    error : type of the model's failure, or an empty string; a failed turn has no answer.
    """

    trace_id: str
    service: str
    session_id: str
    user_id: str
    start: datetime
    question: str
    intent: str
    event: str
    prompt: Prompt
    hits: tuple[Hit, ...]
    answer: str
    thumb: float | None
    invented: bool = False
    tool_steps: int = 0
    error: str = ""

    @property
    def answer_span_id(self) -> str:
        """Id of the model's span that holds the answer: after the root, two spans a tool call, and the retrieval."""
        return span_id(self.trace_id, 2 + 2 * self.tool_steps)


@dataclass(frozen=True)
class Script:
    """Everything that will be sent, in order of time."""

    seed: int
    end: datetime
    events: dict[Kind, Event]
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class _Asked:
    """A turn before it is answered."""

    service: str
    session_id: str
    user_id: str
    start: datetime
    question: Question
    event: str = ""


@dataclass
class _Writer:
    """State while the script is written; every method draws from `rng`."""

    rng: random.Random
    events: dict[Kind, Event]
    pools: dict[str, tuple[Pool, ...]]
    special: dict[str, Pool]
    asked: list[_Asked] = field(default_factory=list)

    def day(self, service: str, day: datetime, *, eventful: bool) -> None:
        """Add the sessions of one service on one day."""
        left = turns_of_day(service, day, eventful=eventful, rng=self.rng)
        while left > 0:
            start = session_start(service, day, self.rng)
            length = min(left, self._length())
            new_topic = self._is_new_topic(service, start)
            self._session(service, start, length, new_topic=new_topic)
            left -= length

    def extra_sessions(self, kind: Kind, intent: str, sessions: int, turns: int) -> None:
        """Add sessions of one special intent, spread over the time of an event."""
        event, pool = self.events[kind], self.special[intent]
        step = (event.end - event.start) / (sessions + 1)
        for number in range(sessions):
            start = event.start + step * (number + self.rng.uniform(0.2, 0.9))
            session, user = self._who(event.service)
            for question in self.rng.sample([q for family in pool.families for q in family], turns):
                self.asked.append(_Asked(event.service, session, user, start, question, kind))
                start += timedelta(seconds=self.rng.uniform(40, 120))

    def _length(self) -> int:
        length = 1
        while length < _LONGEST_SESSION and self.rng.random() < _CONTINUES:
            length += 1
        return length

    def _is_new_topic(self, service: str, start: datetime) -> bool:
        event = self.events["new_topic"]
        return service == event.service and event.covers(start) and self.rng.random() < _NEW_TOPIC_SHARE

    def _session(self, service: str, start: datetime, length: int, *, new_topic: bool) -> None:
        session, user = self._who(service)
        pools = self.pools[service]
        pool = self.special["frozen by Travel Shield"] if new_topic else self._pool(pools)
        family = self._family(pool)
        for number in range(length):
            roll = self.rng.random()
            if number and roll > _SAME_INTENT and not new_topic:
                pool = self._pool(pools)
            if number and roll > _SAME_FAMILY:
                family = self._family(pool)
            event = "new_topic" if new_topic else ""
            self.asked.append(_Asked(service, session, user, start, self.rng.choice(family), event))
            start += timedelta(seconds=20 + self.rng.expovariate(1 / 70))

    def _pool(self, pools: Sequence[Pool]) -> Pool:
        return self.rng.choices(pools, [pool.weight for pool in pools])[0]

    def _family(self, pool: Pool) -> tuple[Question, ...]:
        return self.rng.choices(pool.families, pool.weights)[0]

    def _who(self, service: str) -> tuple[str, str]:
        session = f"{self.rng.getrandbits(64):016x}"
        user = int(self.rng.random() ** 1.5 * _USERS[service]) + 1
        return session, f"{'customer' if service == CUSTOMER else 'staff'}-{user:04d}"


def write_script(seed: int, end: datetime) -> Script:
    """Write the script of the seven weeks that end at the midnight `end` (naive UTC)."""
    rng = random.Random(seed)  # noqa: S311 -- a repeatable script, not a secret
    events = planted_events(end)
    pools = {service: build_pools(name, rng) for service, name in FILES.items()}
    special = {pool.intent: pool for pool in build_pools(EVENT_FILE, rng)}
    writer = _Writer(rng, events, pools, special)
    first = first_eventful_day(end)
    for offset in range(-QUIET_DAYS, EVENTFUL_DAYS):
        for service in FILES:
            writer.day(service, first + timedelta(days=offset), eventful=offset >= 0)
    writer.extra_sessions("cost_spike", "agent loop", _LOOP_SESSIONS, 1)
    writer.extra_sessions("injection", "prompt injection", _INJECTION_SESSIONS, 4)
    asked = sorted(writer.asked, key=lambda item: item.start)
    hits = _retrieve(asked, events, load_knowledge(end))
    turns = tuple(_turn(item, found, events, rng) for item, found in zip(asked, hits, strict=True))
    return Script(seed, end, events, turns)


def _retrieve(asked: Sequence[_Asked], events: dict[Kind, Event], bases: KnowledgeBases) -> Iterator[tuple[Hit, ...]]:
    """Yield what each question finds in the knowledge base of its time, each distinct text searched once."""
    retrievers = {
        "usual " + CUSTOMER: Retriever(bases.usual[CUSTOMER]),
        "usual " + STAFF: Retriever(bases.usual[STAFF]),
        "article": Retriever(bases.with_article),
        "old_edition": Retriever(bases.with_old_edition),
    }
    names = [_index_at(item, events) for item in asked]
    found: dict[tuple[str, str], tuple[Hit, ...]] = {}
    for name, retriever in retrievers.items():
        texts = sorted({item.question.text for item, used in zip(asked, names, strict=True) if used == name})
        found.update(((name, text), hits) for text, hits in zip(texts, retriever.search(texts), strict=True))
    return (found[name, item.question.text] for item, name in zip(asked, names, strict=True))


def _index_at(item: _Asked, events: dict[Kind, Event]) -> str:
    changes: tuple[Kind, ...] = ("article", "old_edition")
    for kind in changes:
        if events[kind].service == item.service and events[kind].covers(item.start):
            return kind
    return f"usual {item.service}"


def _turn(item: _Asked, hits: tuple[Hit, ...], events: dict[Kind, Event], rng: random.Random) -> Turn:
    prompt = prompt_at(item.service, item.start, events)
    manner = _manner(item, events, rng)
    event = item.event or _event_of(item, manner, hits, events)
    error = rng.choice(("rate_limit_exceeded", "timeout")) if rng.random() < _ERROR_SHARE else ""
    text = answer(hits, manner, rng, staff=item.service == STAFF, system_prompt=prompt.instructions)
    steps = _LOOP_STEPS if item.event == "cost_spike" else int(_uses_tool(item, rng))
    return Turn(
        trace_id=f"{rng.getrandbits(128):032x}",
        service=item.service,
        session_id=item.session_id,
        user_id=item.user_id,
        start=item.start,
        question=item.question.text,
        intent=item.question.intent,
        event=event,
        prompt=prompt,
        hits=hits,
        answer="" if error else text,
        thumb=None if error else _thumb(item, manner, events, rng),
        invented=manner == "inventing" and not error,
        tool_steps=steps,
        error=error,
    )


def _manner(item: _Asked, events: dict[Kind, Event], rng: random.Random) -> Manner:
    def holds(kind: Kind) -> bool:
        return events[kind].service == item.service and events[kind].covers(item.start)

    if item.event == "injection":
        return "attacked"
    if rng.random() < (_INVENTING_SHARE if holds("ungrounded") else _ALWAYS_INVENTING_SHARE):
        return "inventing"
    return "formal" if holds("prompt_edit") else "plain"


def _event_of(item: _Asked, manner: Manner, hits: tuple[Hit, ...], events: dict[Kind, Event]) -> str:
    """Return the event that shaped an answer; what is invented outside the burst belongs to none."""
    if manner == "inventing":
        burst = events["ungrounded"]
        return burst.kind if burst.service == item.service and burst.covers(item.start) else ""
    if manner == "formal":
        return "prompt_edit"
    return "old_edition" if item.service == STAFF and hits[0].passage.version == OLD_EDITION else ""


def _uses_tool(item: _Asked, rng: random.Random) -> bool:
    return item.question.intent in _TOOL_INTENTS and rng.random() < _TOOL_SHARE


def _thumb(item: _Asked, manner: Manner, events: dict[Kind, Event], rng: random.Random) -> float | None:
    """Draw whether somebody rates the answer, and how."""
    name: str = manner if manner in _THUMBS else "usual"
    if item.event == "new_topic" and not events["article"].covers(item.start):
        name = "new_topic"
    share, positive = _THUMBS[name]
    return (1.0 if rng.random() < positive else 0.0) if rng.random() < share else None
