"""What every dialect promises."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.dialects import DIALECTS
from collector.dialects.base import Dialect
from collector.records import Facts
from tests.telemetry_factory import example_span, raw_log, raw_span
from undertow import semconv

EXAMPLES = Path(__file__).parents[1] / "testdata" / "dialects"
KNOWN_KEYS = sorted(
    {
        key
        for path in EXAMPLES.glob("*/*.json")
        for part in [json.loads(path.read_text()).get("span") or {}]
        for key in part.get("attributes", {})
    }
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "parts", "type", "id", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
VALUES = JSON | JSON.map(json.dumps) | JSON.map(repr)
EVENTS = sorted(
    {
        *semconv.MESSAGE_EVENTS,
        semconv.CHOICE_EVENT,
        semconv.DETAILS_EVENT,
        semconv.EVALUATION_EVENT,
        semconv.PROMPT_EVENT,
    }
)
OPERATIONS = {*semconv.OPERATIONS.values(), None}

members = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


def spans_of(dialect: Dialect) -> list[dict[str, Any]]:
    examples = [json.loads(path.read_text()) for path in sorted((EXAMPLES / dialect.name).glob("*.json"))]
    return [example["span"] for example in examples if "span" in example]


@members
def test_a_name_is_given_once(dialect: Dialect) -> None:
    assert [member.name for member in DIALECTS].count(dialect.name) == 1


@members
def test_a_span_without_attributes_is_claimed_by_the_last_only(dialect: Dialect) -> None:
    assert dialect.claims(raw_span({})) is (dialect is DIALECTS[-1])


@members
def test_reading_twice_gives_the_same_and_changes_nothing(dialect: Dialect) -> None:
    for example in spans_of(dialect):
        span = example_span(example)
        before = copy.deepcopy(span)
        assert dialect.read_span(span) == dialect.read_span(span)
        assert span == before


@members
def test_unknown_keys_are_left_to_the_residue(dialect: Dialect) -> None:
    for example in spans_of(dialect):
        attributes = {**example["attributes"], "my.own.key": "x", "gen_ai.not.yet.known": 1}
        span = example_span({**example, "attributes": attributes})
        assert not {"my.own.key", "gen_ai.not.yet.known"} & dialect.read_span(span).used


@members
def test_facts_have_canonical_names_and_are_json(dialect: Dialect) -> None:
    for example in spans_of(dialect):
        reading = dialect.read_span(example_span(example))
        assert reading.facts.keys() <= Facts.__annotations__.keys()
        assert reading.operation in OPERATIONS
        assert json.loads(json.dumps(reading.facts)) == reading.facts


@members
def test_a_log_of_another_kind_is_none_of_its_business(dialect: Dialect) -> None:
    assert dialect.read_log(raw_log("app.started", {"gen_ai.system": "openai"}, "text"), "app.started") is None


@members
@settings(max_examples=60, deadline=None)
@given(
    attributes=st.dictionaries(st.sampled_from(KNOWN_KEYS), VALUES, max_size=6),
    body=VALUES,
    event=st.sampled_from(EVENTS),
)
def test_no_value_under_a_known_key_breaks_it(
    dialect: Dialect, attributes: dict[str, Any], body: Any, event: str
) -> None:
    span = raw_span(attributes, [(event, attributes)])
    if dialect.claims(span):
        reading = dialect.read_span(span)
        assert reading.used <= attributes.keys() | {semconv.OPERATION_NAME}
        json.dumps(reading.facts, allow_nan=False)
    read = dialect.read_log(raw_log(event, attributes, body), event)
    if read is not None:
        json.dumps(read.facts, allow_nan=False)
