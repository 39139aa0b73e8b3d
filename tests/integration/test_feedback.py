"""Feedback and evaluations find what they speak of, whichever comes first, and read the same by every way."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tests.integration.doors import DOORS, Door, log_request, send, stored
from tests.integration.running import JSON, RunningCollector, new_trace
from tests.telemetry_factory import START_NS, chat, spans_body

SPAN = f"{3:016x}"


def call_request(trace: str) -> bytes:
    """One call with a response id and a session of its own."""
    extra = {"gen_ai.response.id": f"resp-{trace}", "gen_ai.conversation.id": f"session-{trace}"}
    return spans_body({"id": 1, "trace": trace, "end": 900}, chat(3, trace=trace, parent=1, start=10, extra=extra))


def give(collector: RunningCollector, **body: Any) -> dict[str, Any]:
    answer = collector.post("/v1/feedback", json.dumps(body).encode(), JSON)
    assert answer.status == 202, answer.body
    told: dict[str, Any] = answer.json
    return told


def evaluation(trace: str, span: str, name: str, response_id: str = "") -> bytes:
    attributes: dict[str, str | float] = {"gen_ai.evaluation.name": name, "gen_ai.evaluation.score.value": 0.25}
    if response_id:
        attributes["gen_ai.response.id"] = response_id
    return log_request(trace, span, "gen_ai.evaluation.result", START_NS + 10**9, **attributes)


TARGETS = {
    "trace and span": lambda trace: {"trace_id": trace, "span_id": SPAN},
    "ids in upper case": lambda trace: {"trace_id": trace.upper(), "span_id": SPAN.upper()},
    "trace alone": lambda trace: {"trace_id": trace},
    "response id": lambda trace: {"response_id": f"resp-{trace}"},
    "session": lambda trace: {"session_id": f"session-{trace}"},
    "all of them": lambda trace: {
        "trace_id": trace,
        "span_id": SPAN,
        "response_id": f"resp-{trace}",
        "session_id": f"session-{trace}",
    },
    "another trace but the response id": lambda trace: {
        "trace_id": trace[::-1],
        "span_id": SPAN,
        "response_id": f"resp-{trace}",
    },
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("first", ["feedback", "span"])
def test_feedback_finds_its_call_before_and_after_it_comes_and_tells_whether_it_is_known(
    collector: RunningCollector, target: str, first: str
) -> None:
    trace = new_trace()
    body = {"target": TARGETS[target](trace), "kind": "thumb", "value": -1, "id": f"feedback of {trace}"}
    if first == "span":
        assert send(collector, "grpc", call_request(trace)).code == 0
        collector.flush()
    told = give(collector, **body)
    assert told == {"feedback_id": body["id"], "resolved": first == "span"}
    collector.flush()
    if first == "feedback":
        assert send(collector, "http", call_request(trace)).code == 0
        collector.flush()
    assert give(collector, **body)["resolved"]
    assert give(collector, **body)["resolved"]
    collector.flush()
    rows = collector.rows(
        "SELECT target_kind, target_id, kind, value FROM feedback WHERE feedback_id = ?", [body["id"]]
    )
    expected = ("session", f"session-{trace}") if target == "session" else ("interaction", f"{trace}:{SPAN}")
    assert rows == [{"target_kind": expected[0], "target_id": expected[1], "kind": "thumb", "value": 0.0}]


def test_feedback_with_the_id_of_another_is_that_one_whatever_it_speaks_of(collector: RunningCollector) -> None:
    traces = [new_trace() for _ in range(3)]
    feedback_id = f"feedback of {traces[0]}"
    for trace, value in zip(traces, (1, 0, 0), strict=True):
        give(collector, target={"trace_id": trace}, kind="thumb", value=value, id=feedback_id)
        collector.flush()
    rows = collector.rows("SELECT target_id, value FROM feedback WHERE feedback_id = ?", [feedback_id])
    assert rows == [{"target_id": traces[0], "value": 1.0}]


def test_feedback_for_what_never_comes_stays_and_is_not_resolved(collector: RunningCollector) -> None:
    trace = new_trace()
    for target in TARGETS.values():
        assert not give(collector, target=target(trace), kind="comment", comment="lost")["resolved"]


def test_a_span_id_alone_is_refused_and_told_why(collector: RunningCollector) -> None:
    body = json.dumps({"target": {"span_id": SPAN}, "kind": "comment", "comment": "x"}).encode()
    answer = collector.post("/v1/feedback", body, JSON)
    assert answer.status == 400
    assert "trace_id" in answer.json["message"]


@pytest.mark.parametrize("by", ["span", "response id"])
@pytest.mark.parametrize("order", list(itertools.permutations(("span", "evaluation", "feedback"))), ids="-".join)
def test_spans_evaluations_and_feedback_give_the_same_rows_in_every_order(
    collector: RunningCollector, order: tuple[str, ...], by: str
) -> None:
    trace = new_trace()
    name = f"tone of {trace}"
    response = f"resp-{trace}"
    judged = evaluation(trace, SPAN, name) if by == "span" else evaluation("", "", name, response)
    target = {"trace_id": trace, "span_id": SPAN} if by == "span" else {"response_id": response}
    doors = itertools.cycle(DOORS)
    for what in order:
        if what == "feedback":
            give(collector, target=target, kind="rating", value=4, id=f"rating of {trace}")
        else:
            body, signal = (call_request(trace), "traces") if what == "span" else (judged, "logs")
            for _ in range(2):
                assert send(collector, next(doors), body, signal).code == 0
        assert collector.flush().status == 200
    call = f"{trace}:{SPAN}"
    rows = collector.rows("SELECT target_kind, target_id, value, label FROM evaluations WHERE name = ?", [name])
    assert rows == [{"target_kind": "interaction", "target_id": call, "value": 0.25, "label": None}]
    given = collector.rows("SELECT target_id, value FROM feedback WHERE feedback_id = ?", [f"rating of {trace}"])
    assert given == [{"target_id": call, "value": 4.0}]


# --- One form, whichever way it came

SIGNALS = [
    ("thumbs", 1.0, None, "thumb", 1.0),
    ("thumbs", -1.0, None, "thumb", 0.0),
    ("thumbs", None, "Thumbs Down", "thumb", 0.0),
    ("user feedback", None, "thumbs-up", "thumb", 1.0),
    ("user feedback", None, "\N{THUMBS DOWN SIGN}", "thumb", 0.0),
    ("user feedback", None, "positive", "thumb", 1.0),
    ("helpfulness", 4.0, None, "rating", 4.0),
    ("helpfulness", None, "3", "rating", 3.0),
    ("helpfulness", 2.0, "poor", "rating", 2.0),
    ("review", None, "wrong figure", "verdict", None),
]


def annotation(trace: str, name: str, value: float | None, label: str | None) -> bytes:
    """A human's annotation of OpenInference on a call."""
    given = {"name": name, "score": value, "label": label, "annotator_kind": "HUMAN"}
    told = {f"annotations.0.annotation.{key}": item for key, item in given.items() if item is not None}
    return spans_body({"id": 3, "trace": trace, "attributes": {"openinference.span.kind": "LLM", **told}})


def logfire_annotation(trace: str, name: str, value: float | None, label: str | None) -> bytes:
    """A feedback span of logfire below a call; it carries a number or a word."""
    said = {"logfire.feedback.name": name, name: label if value is None else value, "logfire.span_type": "annotation"}
    return spans_body(chat(3, trace=trace), {"id": 9, "parent": 3, "trace": trace, "attributes": said})


@pytest.mark.parametrize(("name", "value", "label", "kind", "stored_value"), SIGNALS)
def test_what_people_say_inside_telemetry_reads_as_it_does_at_the_feedback_door(
    collector: RunningCollector,
    name: str,
    value: float | None,
    label: str | None,
    kind: str,
    stored_value: float | None,
) -> None:
    by_annotation, by_logfire, by_post = new_trace(), new_trace(), new_trace()
    send(collector, "grpc", annotation(by_annotation, name, value, label))
    send(collector, "http", logfire_annotation(by_logfire, name, value, label))
    send(collector, "http", spans_body(chat(3, trace=by_post)))
    shown = stored_value if value is None and kind == "rating" else value
    posted = {"kind": kind, "value": shown, "label": label}
    target = {"trace_id": by_post, "span_id": SPAN}
    give(collector, target=target, **{key: item for key, item in posted.items() if item is not None})
    collector.flush()
    for trace in (by_annotation, by_logfire, by_post):
        rows = collector.rows("SELECT kind, value FROM feedback WHERE target_id = ?", [f"{trace}:{SPAN}"])
        assert rows == [{"kind": kind, "value": stored_value}], trace


@pytest.mark.parametrize("door", DOORS)
def test_a_thumb_in_an_evaluation_event_is_feedback_and_a_score_is_an_evaluation(
    collector: RunningCollector, door: Door
) -> None:
    trace = new_trace()
    send(collector, door, spans_body(chat(3, trace=trace)))
    for name, label in (("user_thumbs", "thumbs_down"), ("sentiment", "negative")):
        attributes: dict[str, str | float] = {"gen_ai.evaluation.name": name, "gen_ai.evaluation.score.label": label}
        body = log_request(trace, SPAN, "gen_ai.evaluation.result", START_NS, **attributes)
        assert send(collector, door, body, "logs").code == 0
    assert stored(collector, trace) == 1
    target = f"{trace}:{SPAN}"
    thumbs = collector.rows("SELECT kind, value, label FROM feedback WHERE target_id = ?", [target])
    assert thumbs == [{"kind": "thumb", "value": 0.0, "label": "thumbs_down"}]
    judged = collector.rows("SELECT name, value, label FROM evaluations WHERE target_id = ?", [target])
    assert judged == [{"name": "sentiment", "value": None, "label": "negative"}]
