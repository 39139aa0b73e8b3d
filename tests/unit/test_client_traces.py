"""Whole traces of clients whose spans tell of one thing twice, or of something that another span did."""

from __future__ import annotations

import json
from typing import Any

from collector.assemble import assemble
from tests.telemetry_factory import logs, spans

QUESTION, ANSWER = "When do you open?", "At nine."


def test_a_wrapper_of_the_ai_sdk_is_no_call_and_names_the_agent() -> None:
    wrapper = {"ai.operationId": "ai.generateText", "ai.telemetry.functionId": "hours", "ai.usage.inputTokens": 9}
    leaf = {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.provider": "anthropic.messages",
        "ai.prompt.messages": json.dumps([{"role": "user", "content": QUESTION}]),
        "ai.response.text": ANSWER,
        "ai.usage.inputTokens": 9,
    }
    rows = assemble(
        spans({"id": 1, "attributes": wrapper}, {"id": 2, "parent": 1, "attributes": leaf}, scope="ai")
    ).interactions
    assert [(row["prompt"], row["response"], row["provider"], row["agent_name"]) for row in rows] == [
        (QUESTION, ANSWER, "anthropic", "hours")
    ]


def litellm_trace() -> list[dict[str, Any]]:
    request = {
        "litellm.call_id": "1",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.id": "r-1",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": QUESTION}]}]),
        "gen_ai.completion.0.function_call.name": "hours",
        "gen_ai.completion.0.function_call.arguments": "{}",
    }
    call = {"id": "c1", "type": "function", "function": {"name": "hours", "arguments": "{}"}}
    raw = {
        "llm.openai.id": "r-1",
        "llm.openai.messages": repr([{"role": "user", "content": QUESTION}]),
        "llm.openai.choices": repr(
            [{"finish_reason": "tool_calls", "message": {"content": None, "tool_calls": [call]}}]
        ),
    }
    return [
        {"id": 1, "name": "litellm_request", "attributes": request, "end": 50},
        {"id": 2, "parent": 1, "name": "raw_gen_ai_request", "attributes": raw, "end": 50},
    ]


def test_the_raw_words_below_a_call_of_litellm_are_its_duplicate_and_tell_the_ids_of_tools() -> None:
    rows = {row["span_id"]: row for row in assemble(spans(*litellm_trace(), scope="litellm")).interactions}
    request, raw = rows["0000000000000001"], rows["0000000000000002"]
    assert (request["duplicate_of"], raw["duplicate_of"]) == (None, request["interaction_id"])
    assert json.loads(request["tool_calls"]) == [{"id": "c1", "name": "hours", "arguments": {}}]


def feedback_on(parent: int) -> dict[str, Any]:
    attributes = {"logfire.span_type": "annotation", "logfire.feedback.name": "helpful", "helpful": True}
    return {"id": 9, "parent": parent, "name": "feedback: helpful", "start": 500, "end": 500, "attributes": attributes}


def agent_trace() -> list[dict[str, Any]]:
    def call(number: int, parent: int, start: int) -> dict[str, Any]:
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.output_tokens": 1}
        return {"id": number, "parent": parent, "start": start, "end": start + 10, "attributes": attributes}

    agent = {"agent_name": "guide", "logfire.msg": "guide run", "final_result": ANSWER}
    return [
        {"id": 1, "start": 0, "end": 400, "attributes": {}},
        {"id": 2, "parent": 1, "start": 0, "end": 100, "attributes": agent},
        call(3, 2, 10),
        call(4, 2, 60),
        call(5, 1, 200),
    ]


def target_of_feedback_on(parent: int) -> str:
    (row,) = assemble(spans(*agent_trace(), feedback_on(parent))).feedback
    assert (row["kind"], row["value"], row["label"], row["source"]) == ("rating", 1.0, "helpful", "logfire")
    return str(row["target_id"])[-1]


def test_feedback_below_a_call_is_about_that_call() -> None:
    assert target_of_feedback_on(3) == "3"


def test_feedback_below_an_agent_is_about_the_answer_of_that_agent() -> None:
    assert target_of_feedback_on(2) == "4"


def test_a_pending_span_adds_no_call() -> None:
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "logfire.json_schema": "{}"}
    pending = {**attributes, "logfire.span_type": "pending_span"}
    rows = assemble(spans({"id": 1, "attributes": attributes}, {"id": 2, "parent": 1, "attributes": pending}))
    assert len(rows.interactions) == 1


def haystack_component(number: int, kind: str, given: Any, made: Any, start: int) -> dict[str, Any]:
    attributes = {
        "haystack.component.type": kind,
        "haystack.component.input": json.dumps(given),
        "haystack.component.output": json.dumps(made),
    }
    name = "haystack.component.run"
    return {"id": number, "parent": 1, "name": name, "start": start, "end": start + 10, "attributes": attributes}


def test_what_a_retriever_of_haystack_found_is_joined_to_the_generator_after_it() -> None:
    document = {"id": "d1", "content": "Open from nine.", "score": 0.5, "source": "hours.md"}
    asked = [{"role": "user", "content": [{"text": f"Open from nine.\n{QUESTION}"}]}]
    reply = {"role": "assistant", "content": [{"text": ANSWER}], "meta": {"model": "m", "finish_reason": "stop"}}
    found = assemble(
        spans(
            {"id": 1, "name": "haystack.pipeline.run", "end": 90, "attributes": {}},
            haystack_component(2, "InMemoryBM25Retriever", {"query": QUESTION}, {"documents": [document]}, 10),
            haystack_component(3, "OpenAIChatGenerator", {"messages": asked}, {"replies": [reply]}, 40),
        )
    )
    (call,) = found.interactions
    (joined,) = found.documents
    assert (call["prompt"], call["response"], call["provider"]) == (QUESTION, ANSWER, "openai")
    assert (joined["document_id"], joined["relevance"], joined["join_confidence"]) == ("d1", 0.5, 1.0)
    assert json.loads(joined["metadata"]) == {"source": "hours.md"}


def test_a_log_may_name_its_event_in_an_attribute_of_either_spelling() -> None:
    call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    told = [
        {"span": 1, "attributes": {key: "gen_ai.content.prompt"}, "body": {"role": "user", "content": QUESTION}}
        for key in ("event.name", "event_name")
    ]
    for log in told:
        (row,) = assemble([*spans({"id": 1, "attributes": call}), *logs(log)]).interactions
        assert row["prompt"] == QUESTION


def test_an_error_that_names_a_python_class_is_that_class() -> None:
    failed = {"gen_ai.operation.name": "chat", "error.type": "<class 'openai.RateLimitError'>"}
    (record,) = spans({"id": 1, "status": "ERROR", "attributes": failed})
    assert record["error_type"] == "openai.RateLimitError"
