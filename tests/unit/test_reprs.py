"""Objects that clients send as Python writes them."""

from __future__ import annotations

import pytest

from collector.dialects.messages import add_input
from collector.dialects.values import structured, without_wrapping
from collector.records import Facts, Message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'role': <Role.USER: 'user'>, 'n': -1}", {"role": "user", "n": -1}),
        ("[TextContent(text='it\\'s \"open\"')]", [{"text": 'it\'s "open"'}]),
        ("[HumanMessage(content='Hi', id=None)]", [{"content": "Hi", "id": None, "type": "human"}]),
        ("{'run': <function f.<locals>.g at 0x7f00>, 'of': <class 'str'>}", {"run": None, "of": None}),
    ],
)
def test_an_object_is_the_dictionary_of_its_fields(text: str, value: object) -> None:
    assert structured(text) == value


@pytest.mark.parametrize(
    "text", ["[see below", "{'a': open('x')}", "{'a': f(1, b=2)}", "{**x}", "{'a': b}", "[" * 5_000]
)
def test_what_is_no_literal_stays_text(text: str) -> None:
    assert structured(text) == text


def test_a_written_tool_message_is_its_content() -> None:
    assert without_wrapping("content='{\"opens\": 8}' name='pool_hours' tool_call_id='c'") == {"opens": 8}
    assert without_wrapping("content='eight' is what it says") == "content='eight' is what it says"


def test_an_answer_of_a_tool_told_twice_in_a_row_counts_once() -> None:
    answer: Message = {"role": "tool", "content": "eight", "tool_call_id": "c"}
    question: Message = {"role": "user", "content": "When?"}
    facts: Facts = {}
    add_input(facts, [question, answer, answer, question, answer])
    assert facts["input_messages"] == [question, answer, question, answer]
