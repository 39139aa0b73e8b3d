"""Whole requests and responses of several SDKs are read alike."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collector.dialects.exchange import (
    called_with,
    embedded_texts,
    read_echo,
    read_found,
    read_query,
    read_request,
    read_response,
    read_tool_answer,
)
from collector.records import Facts

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Rain?"}]
CALL = {"id": "c-1", "name": "forecast", "arguments": {"day": "today"}}


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"messages": ASKED}, id="openai chat"),
        pytest.param(ASKED, id="messages"),
        pytest.param({"args": [], "kwargs": {"messages": ASKED}}, id="function"),
        pytest.param(
            {"messages": [[{"type": "system", "content": "Be brief."}, {"type": "human", "content": "Rain?"}]]},
            id="langchain",
        ),
        pytest.param(
            {
                "messages": [
                    {"role": "system", "blocks": [{"block_type": "text", "text": "Be brief."}]},
                    {"role": "user", "blocks": [{"block_type": "text", "text": "Rain?"}]},
                ]
            },
            id="llamaindex",
        ),
    ],
)
def test_system_and_user_are_found_among_the_messages(request_: Any) -> None:
    facts: Facts = {}
    read_request(facts, json.dumps(request_))
    assert facts["system_prompt"] == "Be brief."
    assert facts["input_messages"] == ASKED


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"system": "Be brief.", "messages": [{"role": "user", "content": "Rain?"}]}, id="anthropic"),
        pytest.param({"instructions": "Be brief.", "input": "Rain?"}, id="responses"),
        pytest.param(
            {"system_instruction": "Be brief.", "contents": [{"role": "user", "parts": [{"text": "Rain?"}]}]},
            id="gemini",
        ),
    ],
)
def test_a_system_prompt_beside_the_messages_is_no_message(request_: Any) -> None:
    facts: Facts = {}
    read_request(facts, {"model": "m", "temperature": 0, "stream": True, **request_})
    assert facts == {
        "request_model": "m",
        "streaming": True,
        "parameters": {"temperature": 0},
        "system_prompt": "Be brief.",
        "input_messages": [{"role": "user", "content": "Rain?"}],
    }


@pytest.mark.parametrize("request_", ["Rain?", {"question": "Rain?"}, {"args": ["Rain?"], "kwargs": {}}])
def test_a_bare_question_is_the_users(request_: Any) -> None:
    facts: Facts = {}
    read_request(facts, request_)
    assert facts == {"input_messages": [{"role": "user", "content": "Rain?"}]}


def _chat_completion() -> dict[str, Any]:
    function = {"name": "forecast", "arguments": '{"day": "today"}'}
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "c-1", "function": function}]}
    return {"id": "r-1", "model": "m-1", "choices": [{"finish_reason": "tool_calls", "message": message}]}


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(_chat_completion(), id="openai chat"),
        pytest.param(
            {
                "id": "r-1",
                "model": "m-1",
                "status": "completed",
                "output": [
                    {"type": "reasoning", "summary": []},
                    {"type": "function_call", "call_id": "c-1", "name": "forecast", "arguments": '{"day": "today"}'},
                ],
            },
            id="responses",
        ),
        pytest.param(
            {
                "id": "r-1",
                "type": "message",
                "role": "assistant",
                "model": "m-1",
                "stop_reason": "tool_use",
                "content": [{"type": "tool_use", "id": "c-1", "name": "forecast", "input": {"day": "today"}}],
            },
            id="anthropic",
        ),
        pytest.param({"message": {"role": "assistant"}, "raw": _chat_completion()}, id="llamaindex"),
        pytest.param(
            {
                "content": "",
                "type": "ai",
                "id": "run-1",
                "tool_calls": [{"id": "c-1", "name": "forecast", "args": {"day": "today"}, "type": "tool_call"}],
                "response_metadata": {"id": "r-1", "model_name": "m-1", "finish_reason": "tool_calls"},
            },
            id="langchain",
        ),
    ],
)
def test_a_tool_call_is_found_in_every_response(response: Any) -> None:
    facts: Facts = {}
    read_response(facts, json.dumps(response))
    assert facts == {
        "response_id": "r-1",
        "response_model": "m-1",
        "tool_calls": [CALL],
        "finish_reason": "tool_calls",
    }


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(
            {
                "candidates": [{"content": {"role": "model", "parts": [{"text": "Dry."}]}, "finishReason": "STOP"}],
                "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 2, "totalTokenCount": 6},
            },
            id="gemini",
        ),
        pytest.param(
            {
                "output": {"message": {"role": "assistant", "content": [{"text": "Dry."}]}},
                "stopReason": "end_turn",
                "usage": {"inputTokens": 4, "outputTokens": 2, "totalTokens": 6},
            },
            id="bedrock",
        ),
        pytest.param(
            {
                "choices": [{"text": "Dry.", "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 4, "completion_tokens": 2},
            },
            id="completions",
        ),
    ],
)
def test_text_reason_and_usage_are_found_in_every_response(response: Any) -> None:
    facts: Facts = {}
    read_response(facts, response)
    assert facts == {"response": "Dry.", "finish_reason": "stop", "input_tokens": 4, "output_tokens": 2}


@pytest.mark.parametrize("response", ["Dry.", {"output": "Dry."}, {"output": {"content": "Dry."}}, ["Dry."]])
def test_a_wrapped_text_is_the_answer(response: Any) -> None:
    facts: Facts = {}
    read_response(facts, response)
    assert facts == {"response": "Dry."}


def test_nothing_is_no_answer() -> None:
    blanks: list[Any] = [None, "", {}, [], {"output": None}, {"choices": []}]
    for nothing in blanks:
        facts: Facts = {}
        read_response(facts, nothing)
        assert facts == {}


def test_a_very_deep_response_is_no_trouble() -> None:
    value: Any = "Dry."
    for _ in range(240):
        value = {"output": value}
    facts: Facts = {}
    read_response(facts, value)
    assert facts == {"response": "Dry."}
    assert read_query(value) is not None


def test_of_a_conversation_the_last_answer_is_the_echo() -> None:
    answer = {"type": "ai", "content": "Dry.", "response_metadata": {"id": "r-1", "finish_reason": "stop"}}
    facts: Facts = {}
    read_echo(facts, json.dumps({"messages": [{"type": "human", "content": "Rain?"}, answer]}))
    assert facts == {"response": "Dry.", "response_id": "r-1", "finish_reason": "stop"}


def test_a_query_is_found_among_arguments() -> None:
    for given in (
        "rain",
        {"args": ["rain"], "kwargs": {}},
        {"q": "rain"},
        {"query": "rain", "k": 4},
        '{"topic": "rain"}',
    ):
        assert read_query(given) == "rain"


def test_a_call_without_arguments_that_is_wrapped_twice_names_no_query() -> None:
    nothing = {"args": [], "kwargs": {"k": 4}}
    assert read_query([nothing]) is None
    assert read_query({"args": [nothing], "kwargs": {}}) is None


def test_documents_are_found_in_their_wrapping() -> None:
    for given in ([{"page_content": "Dry."}], {"documents": ["Dry."]}, {"output": [{"text": "Dry."}]}):
        assert [document["content"] for document in read_found(given)] == ["Dry."]


def test_a_tool_answers_with_a_value_or_with_a_message() -> None:
    for given in ("dry", {"output": "dry"}, {"content": "dry", "tool_call_id": None, "artifact": None}):
        facts: Facts = {}
        read_tool_answer(facts, given)
        assert facts == {"tool_result": "dry"}


def test_arguments_are_keywords_else_the_single_one_else_all() -> None:
    assert called_with({"args": [], "kwargs": {"a": 1}}) == {"a": 1}
    assert called_with({"args": ["x"], "kwargs": {}}) == "x"
    assert called_with({"args": [1, 2], "kwargs": {}}) == [1, 2]
    assert called_with({"args": [1], "kwargs": {"a": 1}}) == {"args": [1], "kwargs": {"a": 1}}
    assert called_with({"city": "Oslo"}) == {"city": "Oslo"}


def test_tokens_are_no_embedded_text() -> None:
    assert embedded_texts({"input": ["rain", "sun"], "model": "m"}) == ["rain", "sun"]
    assert embedded_texts({"input": [101, 102]}) == []
