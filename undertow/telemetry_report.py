"""What arrived and what was made of it: sources, attributes that nothing read, missing text, failed joins.

Rows of the SQL in ``undertow/store/telemetry_reads.py`` in, findings out; names, types and lengths, never values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from undertow.content_hints import hint_for
from undertow.semconv import CHUNK_EVENTS, EXCEPTION_EVENT
from undertow.store import telemetry_reads as reads
from undertow.store.base import Store
from undertow.telemetry_problems import Problem, problems_of

Row: TypeAlias = Mapping[str, Any]
Standing = Literal["unmapped", "not_needed", "no_call", "plain"]

SAMPLE_SPANS: Final = 50_000
"""Attributes are counted over at most about this many of the newest spans."""

RECENT_S: Final = 7 * 86_400
"""Text is looked for in what arrived within this time before the newest commit, in seconds."""

_PLAIN: Final = "plain"

# Namespaces of the conventions that tell of machine, transport and code, and keys that dialects read elsewhere.
_NOT_NEEDED: Final = re.compile(
    r"""^(
        (thread|code|telemetry|http|url|net|network|server|client|peer|rpc|db|messaging|process|host|os|k8s|container
         |cloud|faas|service|otel|user_agent|exception|dns|tls|aws|az|log|source|feature_flag|browser|device
         |deployment|error|enduser|graphql|resource|operation)[.].+
        | error | level | target | busy_ns | idle_ns | (input|output)[.]mime_type
        | (session|user)[.]id | openinference[.]span[.]kind
        | traceloop[.](span[.]kind|entity[.](name|path)|workflow[.]name)
        | gen_ai[.](provider[.]name|system|sdk[.]version) | llm[.]request[.]type | langfuse[.]internal[.].+
        | logfire[.](json_schema|msg|msg_template|span_type|level_num) | mlflow[.](spanLogLevel|traceRequestId)
    )$""",
    re.VERBOSE,
)
_GENAI: Final = re.compile(
    r"^(gen_ai|genai|llm|ai|traceloop|openinference|openai|anthropic|langchain|langgraph|langfuse|langsmith|mlflow"
    r"|haystack|litellm|pydantic_ai|semantic_kernel|crewai|llama_?index|dspy|smolagents|agno|autogen)[._]"
)
_TOKENS: Final = re.compile(
    r"(^|[._])((input|output|prompt|completion|total|cached|reasoning)_?tokens?|tokens?_(count|usage|used))($|[._])"
)
_MODEL: Final = re.compile(r"(^|[._])(model|model_name|model_id|llm_model)$")
_TEXT: Final = re.compile(r"(^|[._])(prompts?|completions?|messages?|responses?|questions?|answers?)$")
_HARMLESS_EVENTS: Final = frozenset({EXCEPTION_EVENT, *CHUNK_EVENTS})
_KINDS: Final[Mapping[str, str]] = {"VARCHAR": "text", "BOOLEAN": "boolean", "ARRAY": "list", "OBJECT": "object"}


@dataclass(frozen=True)
class Source:
    """One instrumentation scope of one service, as one dialect read it."""

    service: str | None
    environment: str | None
    scope: str | None
    dialect: str | None
    spans: int
    calls: int
    newest: datetime | None


@dataclass(frozen=True)
class Attribute:
    """One attribute that no dialect mapped; numbers in its name stand as ``N``, ids as ``*``.

    Attributes
    ----------
    share : of the spans of its service, scope and dialect.
    type, length : the most common JSON type, and the median length in characters.
    standing : ``unmapped``; ``not_needed``: known to tell nothing about a model; ``no_call``: on a span that is
        no call of a model, no retrieval and no tool, which repeats what the spans below it say; ``plain``: on a
        span that no dialect claimed.
    """

    service: str | None
    scope: str | None
    dialect: str | None
    attribute: str
    spans: int
    share: float
    type: str | None
    length: int | None
    standing: Standing


@dataclass(frozen=True)
class Event:
    """One name of a span event that no dialect read."""

    service: str | None
    scope: str | None
    dialect: str | None
    event: str
    events: int


@dataclass(frozen=True)
class Suspect:
    """A scope that was stored as plain spans although its names are those of model calls."""

    service: str | None
    scope: str | None
    spans: int
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class WithoutContent:
    """An instrumentation whose newest calls arrive without text, and how to switch it on.

    Attributes
    ----------
    calls : newest calls looked at; of them ``without_text`` carry none and ``partly`` only one side.
    known : whether the instrumentation was recognised, else ``switch`` is general advice.
    """

    service: str | None
    environment: str | None
    scope: str | None
    dialect: str | None
    calls: int
    without_text: int
    partly: int
    newest: datetime | None
    instrumentation: str
    switch: str
    note: str
    known: bool

    @property
    def found(self) -> str:
        """What arrives, in words."""
        missing = self.without_text + self.partly
        how = "without text" if not self.partly else "without text or with one side of it"
        where = f" ({self.environment})" if self.environment else ""
        share = (
            f"all of its newest {self.calls:,}"
            if missing == self.calls
            else f"{missing:,} of its newest {self.calls:,}"
        )
        return f"{self.service}{where} sends {share} calls {how}, through {self.through}"

    @property
    def through(self) -> str:
        """The instrumentation, and the scope when that says more."""
        return self.instrumentation if self.known else f"the scope {self.scope or 'without a name'}"


@dataclass(frozen=True)
class TelemetryReport:
    """Everything that ``undertow doctor telemetry`` tells.

    Attributes
    ----------
    spans : stored within the time asked for; of them the newest ``sampled`` were looked at for attributes.
    """

    spans: int
    sampled: int
    sources: tuple[Source, ...]
    without_content: tuple[WithoutContent, ...]
    suspects: tuple[Suspect, ...]
    attributes: tuple[Attribute, ...]
    events: tuple[Event, ...]
    problems: tuple[Problem, ...]

    @property
    def well(self) -> bool:
        """Whether nothing needs doing."""
        return not self.without_content and not self.suspects and all(problem.ok for problem in self.problems)


def without_content(store: Store, after: int | None = None) -> tuple[WithoutContent, ...]:
    """Instrumentations whose newest calls arrive without text.

    Parameters
    ----------
    after : look at calls of later commits than this; at those of the last week when absent.
    """
    if after is None:
        after = int(store.query(reads.ARRIVED_AFTER, {"within_s": RECENT_S})["after"][0].as_py())
    return without_content_of(store.query(reads.WITHOUT_CONTENT, {"after": after}).to_pylist())


def build(store: Store, *, since: datetime | None = None, sample_spans: int = SAMPLE_SPANS) -> TelemetryReport:
    """Read a store and report on its telemetry.

    Parameters
    ----------
    since : look at what arrived from this time on (naive UTC); everything when absent.
    sample_spans : attributes are counted over about this many of the newest spans.
    """

    def rows(sql: str, **params: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = store.query(sql, params).to_pylist()
        return found

    after = 0 if since is None else int(rows(reads.ARRIVED_BEFORE, before=since)[0]["after"])
    sample = rows(reads.SAMPLE, after=after, limit=sample_spans)[0]
    newest = after if sample["after"] is None else int(sample["after"])
    sources = sources_of(rows(reads.SOURCES, after=newest))
    attributes = attributes_of(rows(reads.UNMAPPED, after=newest), sources)
    events = events_of(rows(reads.EVENTS, after=newest))
    return TelemetryReport(
        spans=int(sample["spans"]),
        sampled=sum(source.spans for source in sources),
        sources=sources,
        without_content=without_content(store, after if since else None),
        suspects=suspects_of(attributes, events, sources),
        attributes=attributes,
        events=events,
        problems=problems_of(rows(reads.CALL_PROBLEMS, after=after)[0], rows(reads.SPAN_PROBLEMS, after=newest)[0]),
    )


def sources_of(rows: Iterable[Row]) -> tuple[Source, ...]:
    """Sources from rows of ``SOURCES``."""
    return tuple(
        Source(
            row["service_name"],
            row["environment"],
            row["scope_name"],
            row["dialect"],
            int(row["spans"]),
            int(row["calls"]),
            row["newest"],
        )
        for row in rows
    )


def without_content_of(rows: Iterable[Row]) -> tuple[WithoutContent, ...]:
    """Instrumentations without text from rows of ``WITHOUT_CONTENT``, each with its switch."""
    found = []
    for row in rows:
        hint = hint_for(row["scope_name"], row["dialect"])
        found.append(
            WithoutContent(
                row["service_name"],
                row["environment"],
                row["scope_name"],
                row["dialect"],
                int(row["calls"]),
                int(row["without_text"]),
                int(row["partly"]),
                row["newest"],
                hint.named(row["scope_name"]),
                hint.switch,
                hint.note,
                bool(hint.checked),
            )
        )
    return tuple(found)


def attributes_of(rows: Iterable[Row], sources: Sequence[Source]) -> tuple[Attribute, ...]:
    """Attributes from rows of ``UNMAPPED``: those of model conventions first, then by count."""
    totals: dict[tuple[str | None, str | None, str | None], int] = {}
    for source in sources:
        key = (source.service, source.scope, source.dialect)
        totals[key] = totals.get(key, 0) + source.spans
    found = []
    for row in rows:
        key = (row["service_name"], row["scope_name"], row["dialect"])
        spans = int(row["spans"])
        found.append(
            Attribute(
                *key,
                str(row["attribute"]),
                spans,
                min(spans / max(totals.get(key, spans), 1), 1.0),
                row["type"],
                None if row["length"] is None else int(row["length"]),
                _standing(row),
            )
        )
    return tuple(sorted(found, key=lambda a: (not _GENAI.match(a.attribute), -a.spans, a.attribute)))


def _standing(row: Row) -> Standing:
    if _NOT_NEEDED.match(str(row["attribute"])) or row["length"] == 0 or row["type"] == "NULL":
        return "not_needed"
    if row["dialect"] == _PLAIN:
        return "plain"
    return "unmapped" if row["meant"] else "no_call"


def kind_of(attribute: Attribute) -> str:
    """The type of an attribute's values as a word."""
    return _KINDS.get(attribute.type or "", "number")


def events_of(rows: Iterable[Row]) -> tuple[Event, ...]:
    """Names of events from rows of ``EVENTS``, without those that every program sends."""
    return tuple(
        Event(row["service_name"], row["scope_name"], row["dialect"], str(row["event"]), int(row["events"]))
        for row in rows
        if row["event"] and row["event"] not in _HARMLESS_EVENTS
    )


def suspects_of(
    attributes: Iterable[Attribute], events: Iterable[Event], sources: Iterable[Source]
) -> tuple[Suspect, ...]:
    """Plain scopes whose attributes or events have names of model calls."""
    seen: dict[tuple[str | None, str | None], dict[str, int]] = {}
    named = [(a.dialect, a.service, a.scope, a.attribute, a.spans) for a in attributes]
    named += [(e.dialect, e.service, e.scope, e.event, e.events) for e in events]
    for dialect, service, scope, name, number in named:
        if dialect == _PLAIN:
            seen.setdefault((service, scope), {})[name] = number
    spans = {(s.service, s.scope): s.spans for s in sources if s.dialect == _PLAIN}
    found = []
    for (service, scope), names in seen.items():
        evidence = _evidence(names)
        if evidence:
            count = max(names[name] for name in evidence)
            found.append(Suspect(service, scope, min(count, spans.get((service, scope), count)), evidence))
    return tuple(sorted(found, key=lambda s: -s.spans))


def _evidence(names: Iterable[str]) -> tuple[str, ...]:
    """Names that speak of model calls; a model alone may be that of a car, so it needs a text beside it."""
    spelt = {name: re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() for name in names}
    strong = [name for name, low in spelt.items() if _GENAI.match(low) or _TOKENS.search(low)]
    models = [name for name, low in spelt.items() if _MODEL.search(low)]
    texts = [name for name, low in spelt.items() if _TEXT.search(low)]
    weak = [*models, *texts] if models and (texts or strong) else []
    return tuple(sorted({*strong, *weak}))
