"""Evaluations and feedback find the call that they are about."""

from __future__ import annotations

from typing import Any

import pytest

from collector.assemble import assemble, response_ids
from collector.records import Record
from tests.telemetry_factory import START_NS, TRACE, chat, logs, span_id, spans

OTHER_TRACE = "b" * 32


def iid(number: int, trace: str = TRACE) -> str:
    return f"{trace}:{span_id(number)}"


def evaluation(span: int | None, response_id: str | None = None, at: float = 100) -> list[Record]:
    attributes: dict[str, Any] = {"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.value": 0.5}
    if response_id:
        attributes["gen_ai.response.id"] = response_id
    return logs({"event": "gen_ai.evaluation.result", "span": span, "at": at, "attributes": attributes})


def feedback(**target: str) -> Record:
    body = {"target": target, "kind": "thumb", "value": 1, "id": "f1", "created_ns": START_NS}
    return {"record_id": "feedback:f1", "kind": "feedback", "start_ns": START_NS, "end_ns": START_NS, "feedback": body}


CONVERSATION = [
    {"id": 1, "end": 900},
    chat(2, parent=1, start=10, extra={"gen_ai.response.id": "r2"}),
    chat(3, parent=1, start=50, extra={"gen_ai.response.id": "r3"}),
    {"id": 4, "parent": 1, "start": 40, "end": 45},
]


@pytest.mark.parametrize(
    ("span", "response_id", "target"),
    [
        (2, None, 2),
        (1, "r2", 2),
        (1, None, 3),
        (4, None, 3),
        (None, "r2", 2),
    ],
    ids=["the call", "response id in the trace", "last call below", "next call after", "response id alone"],
)
def test_an_evaluation_finds_its_call(span: int | None, response_id: str | None, target: int) -> None:
    (row,) = assemble(spans(*CONVERSATION) + evaluation(span, response_id)).evaluations
    assert (row["target_kind"], row["target_id"], row["name"], row["value"]) == (
        "interaction",
        iid(target),
        "tone",
        0.5,
    )


def test_a_reused_response_id_means_the_latest_call_before_the_evaluation() -> None:
    extra = {"gen_ai.response.id": "r"}
    calls = [chat(n, start=start, extra=extra, trace=f"{n:032x}") for n, start in ((1, 0), (2, 50), (3, 500))]
    (row,) = assemble(spans(*calls) + evaluation(None, "r", at=100)).evaluations
    assert row["target_id"] == iid(2, f"{2:032x}")


def test_a_judgement_of_a_duplicate_goes_to_the_call_that_is_kept() -> None:
    records = spans(chat(1, end=30, question=None), chat(2, parent=1, start=5))
    (row,) = assemble(records + evaluation(1)).evaluations
    assert row["target_id"] == iid(2)


def test_an_evaluation_that_came_first_finds_its_call_when_it_arrives() -> None:
    early = evaluation(2)
    (before,) = assemble(early).evaluations
    (after,) = assemble(early + spans(*CONVERSATION)).evaluations
    assert before == after | {"target_id": iid(2)}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({"trace_id": TRACE, "span_id": span_id(2)}, ("interaction", iid(2))),
        ({"trace_id": TRACE, "span_id": span_id(1)}, ("interaction", iid(3))),
        ({"trace_id": TRACE}, ("interaction", iid(3))),
        ({"response_id": "r2"}, ("interaction", iid(2))),
        ({"session_id": "s"}, ("session", "s")),
        ({"trace_id": OTHER_TRACE, "span_id": span_id(7)}, ("interaction", iid(7, OTHER_TRACE))),
        ({"response_id": "unknown"}, ("interaction", "unknown")),
    ],
)
def test_feedback_finds_its_target(target: dict[str, str], expected: tuple[str, str]) -> None:
    (row,) = assemble([*spans(*CONVERSATION), feedback(**target)]).feedback
    assert (row["target_kind"], row["target_id"]) == expected
    assert (row["feedback_id"], row["kind"], row["value"]) == ("f1", "thumb", 1)


def test_feedback_ties_in_records_by_response_id() -> None:
    assert response_ids([feedback(response_id="r9")]) == {"r9"}


def test_a_human_annotation_on_a_span_is_feedback() -> None:
    annotation = "annotations.0.annotation."
    attributes = {"openinference.span.kind": "LLM", f"{annotation}name": "thumbs", f"{annotation}score": 1}
    attributes |= {f"{annotation}annotator_kind": "HUMAN", f"{annotation}explanation": "good"}
    found = assemble(spans({"id": 1, "attributes": attributes}))
    (row,) = found.feedback
    assert (row["target_id"], row["kind"], row["value"], row["comment"]) == (iid(1), "thumb", 1.0, "good")
    assert found.evaluations == []


def test_a_judgement_of_a_session_targets_the_session() -> None:
    attributes = {
        "openinference.span.kind": "CHAIN",
        "session.id": "s1",
        "session.evaluations.0.evaluation.name": "goal",
    }
    (row,) = assemble(spans({"id": 1, "attributes": attributes})).evaluations
    assert (row["target_kind"], row["target_id"]) == ("session", "s1")


def test_a_change_is_one_row() -> None:
    body = {"id": "c1", "kind": "model", "name": "answerer", "before": "a", "after": "b", "at_ns": START_NS}
    record: Record = {
        "record_id": "change:c1",
        "kind": "change",
        "start_ns": START_NS,
        "end_ns": START_NS,
        "change": body,
    }
    (row,) = assemble([record, record]).changes
    assert (row["change_id"], row["kind"], row["at"], row["after"]) == ("c1", "model", START_NS // 1000, "b")
