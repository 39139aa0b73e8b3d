"""Messages of every shape become canonical ones, and base64 never survives."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from collector.dialects.messages import add_input, add_output, nested, read_messages
from collector.dialects.values import finish_reason, structured, without_binary
from collector.records import Facts

PICTURE = bytes(range(256)) * 500
ENCODED = base64.b64encode(PICTURE).decode()
PLACEHOLDER = f"[image sha256:{hashlib.sha256(PICTURE).hexdigest()[:16]} 128 kB]"

SHAPES: dict[str, Any] = {
    "parts": [{"role": "user", "parts": [{"type": "text", "content": "Hello"}]}],
    "chat": [{"role": "user", "content": "Hello"}],
    "content parts": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    "responses input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}],
    "langchain": [[{"lc": 1, "id": ["HumanMessage"], "kwargs": {"type": "human", "content": "Hello"}}]],
    "other role names": [{"role": "human", "content": "Hello"}],
    "wrapped": {"messages": [{"role": "user", "content": "Hello"}]},
    "bare string": "Hello",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_message(shape: str) -> None:
    value = SHAPES[shape]
    expected = [{"role": "user", "content": "Hello"}]
    assert read_messages(value) == expected
    assert read_messages(json.dumps(value)) == expected


@pytest.mark.parametrize(
    "value",
    ['[{"role": "user"}]', json.dumps('[{"role": "user"}]'), "[{'role': 'user'}]", [{"role": "user"}]],
)
def test_a_structure_may_be_json_json_twice_or_a_python_repr(value: object) -> None:
    assert structured(value) == [{"role": "user"}]


def test_json_nested_too_deep_to_be_written_again_stays_text() -> None:
    text = "[" * 500 + "]" * 500
    assert structured(text) == text


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{ENCODED}"}},
        {"type": "input_image", "image_url": f"data:image/png;base64,{ENCODED}"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ENCODED}},
        {"type": "blob", "modality": "image", "content": ENCODED},
        {"type": "media", "inline_data": {"mime_type": "image/png", "data": ENCODED}},
    ],
)
def test_a_picture_stands_as_its_hash_and_size(part: dict[str, Any]) -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, part]}
    assert read_messages([message]) == [{"role": "user", "content": f"What is this?\n{PLACEHOLDER}"}]


def test_base64_inside_other_text_is_replaced() -> None:
    text = json.dumps({"image": f"data:image/png;base64,{ENCODED}", "raw": {"type": "base64", "data": ENCODED}})
    tidied = without_binary(text)
    assert ENCODED[:100] not in tidied
    assert len(json.loads(tidied)) == 2
    assert PLACEHOLDER in tidied


def test_an_address_of_a_picture_is_kept() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    assert read_messages([{"role": "user", "content": [part]}])[0]["content"] == "[image https://example.org/a.png]"


def test_reasoning_is_no_part_of_an_answer() -> None:
    parts = [{"type": "reasoning", "content": "hm"}, {"type": "text", "content": "Yes."}]
    assert read_messages([{"role": "assistant", "parts": parts}]) == [{"role": "assistant", "content": "Yes."}]


def test_the_answer_of_a_tool_in_json_stays_whole() -> None:
    answer = '[{"type": "savings", "rate": 2}]'
    message = {"role": "tool", "tool_call_id": "c1", "content": answer}
    assert read_messages([message]) == [{"role": "tool", "content": answer, "tool_call_id": "c1"}]


def test_calls_of_the_responses_api_are_tool_calls() -> None:
    items = [
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "done"},
    ]
    assert read_messages(items) == [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "name": "f", "arguments": {"a": 1}}]},
        {"role": "tool", "content": "done", "tool_call_id": "c1"},
    ]


def test_a_system_message_told_twice_is_kept_once() -> None:
    facts: Facts = {}
    messages = read_messages([{"role": "system", "content": "Be kind."}, {"role": "developer", "content": "Be kind."}])
    add_input(facts, messages, [{"type": "text", "content": "Be kind."}])
    assert facts == {"system_prompt": "Be kind.", "input_messages": [{"role": "system", "content": "Be kind."}]}


def test_an_answer_is_the_first_text_and_every_call() -> None:
    facts: Facts = {}
    call = {"id": "c", "function": {"name": "f", "arguments": "{}"}}
    add_output(
        facts,
        read_messages([{"role": "assistant", "content": "A", "tool_calls": [call]}, {"content": "B"}]),
        "END_TURN",
    )
    assert facts == {
        "response": "A",
        "tool_calls": [{"id": "c", "name": "f", "arguments": {}}],
        "finish_reason": "stop",
    }


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("tool-calls", "tool_calls"),
        ("tool_use", "tool_calls"),
        (["stop"], "stop"),
        ('["length"]', "length"),
        ("FinishReason.STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("content-filter", "content_filter"),
        ("something_new", "something_new"),
        (None, None),
    ],
)
def test_finish_reasons_are_canonical(told: object, reason: str | None) -> None:
    assert finish_reason(told) == reason


def test_numbered_keys_are_put_in_the_order_of_their_numbers() -> None:
    assert nested({"10.a": 1, "2.a": 2, "2.b.0.c": 3, "name": 4}) == [{"a": 2, "b": [{"c": 3}]}, {"a": 1}]
