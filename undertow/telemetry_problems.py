"""What could not be joined, priced or timed: how much, which page loses by it, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """One thing that could not be joined or measured: how much, what it costs, what to do."""

    name: str
    ok: bool
    found: str
    costs: str = ""
    advice: str = ""


def problems_of(calls: Row, spans: Row) -> tuple[Problem, ...]:
    """Problems from the rows of ``CALL_PROBLEMS`` and ``SPAN_PROBLEMS``; what is well is said, too."""
    return (
        *_call_problems({key: int(value or 0) for key, value in calls.items()}),
        *_span_problems({key: int(value or 0) for key, value in spans.items()}),
    )


def _call_problems(calls: Mapping[str, int]) -> tuple[Problem, ...]:
    answered, total = calls["generations"], calls["calls"]
    return (
        _problem(
            "tokens",
            calls["without_tokens"],
            answered,
            "calls without token counts",
            "Cost cannot price them, and Cost and Overview show less spend than there is",
            "let the instrumentation report usage; for streams OpenAI needs stream_options={'include_usage': True}",
            tolerated=0.01,
        ),
        _problem(
            "model",
            calls["without_model"],
            total,
            "calls without the name of a model",
            "Cost cannot price them, and no page can filter or compare them by model",
            "set gen_ai.request.model on the span",
        ),
        _problem(
            "session",
            calls["without_session"],
            answered,
            "calls without a session",
            "Drift counts each of them as a conversation of its own, which makes its verdicts less sure;"
            " feedback on a session cannot reach them",
            "set gen_ai.conversation.id (or session.id) on the call or on a span above it",
            tolerated=0.5,
        ),
        Problem(
            "duplicates",
            True,
            f"{calls['duplicates']:,} of {total:,} calls were told by two instrumentations and are counted once",
            "",
            "switch one of the two off to halve what is sent" if calls["duplicates"] else "",
        ),
    )


def _span_problems(spans: Mapping[str, int]) -> tuple[Problem, ...]:
    return (
        _problem(
            "retrievals apart",
            spans["apart"],
            spans["retrievals"],
            "retrievals in a trace without any model call",
            "their documents stay without an answer: Quality judges those answers as if nothing had been retrieved",
            "open one span around retrieval and call, or pass the trace context on between them",
        ),
        _problem(
            "documents not joined",
            spans["unjoined"],
            spans["retrievals"],
            "retrievals whose documents reached no call of their trace",
            "answers of these traces cannot be checked against their sources: Quality says not evaluated",
            "let the retriever's span carry its documents, and end it before the call starts",
        ),
        _problem(
            "impossible times",
            spans["impossible_times"],
            spans["spans"],
            "spans that end before they start, or lie before 2000, after 2100 or in the future",
            "they are stored, but stand in no window and on no chart",
            "set the clock of the sender, and send nanoseconds since 1970",
        ),
        _problem(
            "clocks",
            spans["skewed"],
            spans["spans"],
            "spans that start before the call of the other service that led to them",
            "their order in Interaction may be wrong",
            "synchronise the clocks of the two services",
        ),
        _problem(
            "orphans",
            spans["orphans"],
            spans["spans"],
            "spans whose parent never arrived",
            "a session, a user or an agent named by the parent is missing, and Interaction shows the trace in pieces",
            "send all services of a trace here, and sample whole traces",
            tolerated=0.05,
        ),
    )


def _problem(
    name: str, count: int, total: int, what: str, costs: str, advice: str, *, tolerated: float = 0.0
) -> Problem:
    """One line; it needs doing when more than a tolerated share is concerned."""
    found = f"{count:,} of {total:,} {what}"
    if not count:
        return Problem(name, True, found)
    return Problem(name, count <= tolerated * total, found, costs, advice)
