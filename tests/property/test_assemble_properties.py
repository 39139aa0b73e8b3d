"""The same records give the same rows in any order, and each call once."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.assemble import assemble, span_rows
from collector.records import Record
from tests.telemetry_factory import chat, logs, retrieval, spans

TEXTS = st.sampled_from(["Bern", "Paris", "Where is Bern?", f"{'Berlin ' * 5}", None])
RESPONSES = st.sampled_from([None, "r1", "r2"])
TRACES = st.sampled_from(["a" * 32, "b" * 32])
TIMES = st.integers(0, 60)


@st.composite
def one_span(draw: st.DrawFn, number: int) -> dict[str, Any]:
    parent = draw(st.none() | st.integers(1, 9))
    more = {"start": draw(TIMES), "trace": draw(TRACES), "scope": draw(st.sampled_from("xy"))}
    more["end"] = more["start"] + draw(st.integers(-1, 30))
    kind = draw(st.sampled_from(["chat", "chat", "retrieval", "tool", "plain"]))
    if kind == "chat":
        response = draw(RESPONSES)
        extra = {"gen_ai.response.id": response} if response else {}
        return chat(number, parent=parent, question=draw(TEXTS), answer=draw(TEXTS), extra=extra, **more)
    if kind == "retrieval":
        documents = [{"id": "d", "content": draw(TEXTS)}]
        operation = draw(st.sampled_from(["retrieval", "rerank"]))
        return retrieval(number, documents, parent=parent, operation=operation, **more)
    attributes = (
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t"} if kind == "tool" else {"session.id": "s"}
    )
    return {"id": number, "parent": parent, "attributes": attributes, **more}


@st.composite
def one_log(draw: st.DrawFn) -> dict[str, Any]:
    response = draw(RESPONSES)
    attributes: dict[str, Any] = {"gen_ai.response.id": response} if response else {}
    name = draw(st.sampled_from(["gen_ai.user.message", "gen_ai.choice", "gen_ai.evaluation.result"]))
    body = {"content": draw(TEXTS), "message": {"content": draw(TEXTS)}}
    span = draw(st.none() | st.integers(1, 6))
    return {
        "event": name,
        "span": span,
        "trace": draw(TRACES),
        "at": draw(TIMES),
        "attributes": attributes,
        "body": body,
    }


@st.composite
def some_records(draw: st.DrawFn) -> list[Record]:
    items = [draw(one_span(number)) for number in range(1, draw(st.integers(1, 7)) + 1)]
    found = spans(*items) + logs(*draw(st.lists(one_log(), max_size=4)))
    unique = {record["record_id"]: record for record in found}
    return list(unique.values())


def rows_of(records: list[Record]) -> dict[str, list[dict[str, Any]]]:
    return {**dataclasses.asdict(assemble(records)), "spans": span_rows(records)}


@settings(max_examples=150, deadline=None)
@given(some_records(), st.randoms(use_true_random=False))
def test_rows_do_not_depend_on_the_order_of_records_or_on_doubles(records: list[Record], random: Any) -> None:
    expected = dataclasses.asdict(assemble(records))
    again = json.loads(json.dumps(records)) + records[:2]
    random.shuffle(again)
    assert dataclasses.asdict(assemble(again)) == expected


@settings(max_examples=150, deadline=None)
@given(some_records())
def test_every_call_is_one_row_and_duplicates_point_at_one_that_counts(records: list[Record]) -> None:
    found = assemble(records)
    calls = {row["interaction_id"]: row for row in found.interactions}
    assert (
        len(calls)
        == len(found.interactions)
        == sum(r.get("operation") == "chat" and r["kind"] == "span" for r in records)
    )
    for row in calls.values():
        if row["duplicate_of"] is not None:
            assert calls[row["duplicate_of"]]["duplicate_of"] is None
    assert all(calls[row["interaction_id"]]["duplicate_of"] is None for row in found.documents)
    assert len({row["document_row_id"] for row in found.documents}) == len(found.documents)


@settings(max_examples=50, deadline=None)
@given(some_records())
def test_assembling_changes_no_record(records: list[Record]) -> None:
    before = json.dumps(records)
    rows_of(records)
    assert json.dumps(records) == before
