"""What later steps of a trace repeat completes what the spans of the retriever and of the model leave out."""

from __future__ import annotations

import json
from typing import Any

from collector.assemble import assemble
from tests.telemetry_factory import chat, retrieval, spans

OPENS = "It opens in May."


def dump(kind: str, **fields: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", kind], "kwargs": fields}


def step(number: int, given: Any, *, parent: int | None = 1, start: float, **more: Any) -> dict[str, Any]:
    """A step of a LangChain that Traceloop saw."""
    attributes = {"traceloop.span.kind": "task", "traceloop.entity.input": json.dumps({"inputs": given})}
    return {"id": number, "parent": parent, "name": "step", "start": start, "attributes": attributes, **more}


def answer(response_id: str | None, text: str = "In May.", reasoning: int = 6) -> dict[str, Any]:
    told = {"model_name": "model-2026", "finish_reason": "stop", "id": response_id}
    usage = {"input_tokens": 11, "output_tokens": 8, "output_token_details": {"reasoning": reasoning}}
    return dump("AIMessage", content=text, type="ai", response_metadata=told, usage_metadata=usage)


def document(name: str, text: str) -> dict[str, Any]:
    return dump("Document", id=name, page_content=text, metadata={"page": 1}, type="Document")


ROOT = {"id": 1, "name": "root", "start": 0, "end": 200}


def test_a_step_tells_the_ids_of_documents_whose_retriever_told_only_text() -> None:
    rows = assemble(
        spans(
            ROOT,
            retrieval(2, [{"content": OPENS}], parent=1, start=1),
            step(3, [document("d-1", OPENS)], start=20),
            chat(4, parent=1, start=40, question=f"{OPENS}\nWhen does it open?"),
        )
    )
    assert [(row["document_id"], row["content"]) for row in rows.documents] == [("d-1", OPENS)]
    assert rows.documents[0]["retrieval_span_id"] == f"{2:016x}"


def test_documents_that_a_step_was_handed_count_where_no_retriever_was_traced() -> None:
    rows = assemble(
        spans(
            ROOT,
            step(2, {"context": [document("d-1", OPENS)], "question": "When?"}, start=1),
            step(3, [document("d-1", OPENS)], start=20),
            chat(4, parent=1, start=40, question=f"{OPENS}\nWhen does it open?"),
        )
    )
    assert [row["document_id"] for row in rows.documents] == ["d-1"]


def test_a_step_tells_the_reasoning_tokens_of_the_call_with_its_response_id() -> None:
    named = {"gen_ai.response.id": "r-1"}
    rows = assemble(
        spans(
            ROOT,
            chat(2, parent=1, start=1, extra=named),
            step(3, answer("r-1"), start=20),
            chat(4, parent=1, start=40, extra=named),
        )
    )
    first, second = rows.interactions
    assert first["reasoning_tokens"] == 6
    assert first["input_tokens"] == 10  # What the call itself says stands.
    assert second["reasoning_tokens"] is None


def test_a_step_speaks_of_the_call_with_the_same_answer_where_that_names_no_response() -> None:
    rows = assemble(
        spans(
            ROOT,
            chat(2, parent=1, start=1, answer="In May."),
            chat(3, parent=1, start=20, answer="In June."),
            step(4, answer("r-2"), start=40),
        )
    )
    may, june = rows.interactions
    assert (may["response_id"], may["response_model"], may["finish_reason"]) == ("r-2", "model-2026", "stop")
    assert june["response_id"] is None


def test_a_step_is_no_call() -> None:
    assert assemble(spans(ROOT, step(2, answer("r-1"), start=1))).interactions == []
