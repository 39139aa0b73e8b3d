"""What a run of a tool leaves out, the call that asked for it tells."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collector.assemble import assemble
from tests.telemetry_factory import chat, spans

ASKED = [{"type": "tool_call", "id": "call-4", "name": "pool_hours", "arguments": {"day": "monday"}}]


def arguments_of_the_run(**told: Any) -> str | None:
    attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "pool_hours"}
    attributes.update({f"gen_ai.tool.call.{key}": value for key, value in told.items()})
    answer = {"gen_ai.output.messages": [{"role": "assistant", "parts": ASKED}]}
    records = spans(
        chat(1, parent=9, extra=answer, end=10),
        {"id": 2, "parent": 9, "name": "execute_tool pool_hours", "start": 20, "attributes": attributes},
    )
    (run,) = assemble(records).tool_runs
    found: str | None = run["arguments"]
    return found


@pytest.mark.parametrize("told", [{"id": "call-4"}, {"id": "call-4", "arguments": "monday"}])
def test_a_missing_or_bare_argument_is_the_one_that_was_asked_for(told: dict[str, Any]) -> None:
    assert json.loads(arguments_of_the_run(**told) or "null") == {"day": "monday"}


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ({"id": "call-4", "arguments": "sunday"}, "sunday"),
        ({"id": "call-4", "arguments": {"day": "sunday"}}, '{"day":"sunday"}'),
        ({"id": "call-5"}, None),
        ({}, None),
    ],
)
def test_other_arguments_stay_as_they_were_sent(told: dict[str, Any], kept: str | None) -> None:
    assert arguments_of_the_run(**told) == kept
