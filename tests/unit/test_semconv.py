"""The names that Undertow takes for current are those of the pinned specification."""

from __future__ import annotations

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.schemas import Schemas

from undertow import semconv

SPECIFIED = {value for value in vars(gen_ai_attributes).values() if isinstance(value, str)}
CURRENT = [
    semconv.OPERATION_NAME,
    semconv.PROVIDER_NAMES[0],
    semconv.REQUEST_MODEL,
    semconv.RESPONSE_MODEL,
    semconv.RESPONSE_ID,
    semconv.FINISH_REASON_KEYS[0],
    semconv.STREAM_KEYS[0],
    semconv.TTFT_SECONDS[0],
    semconv.SESSION_IDS[0],
    semconv.AGENT_NAME,
    semconv.PROMPT_NAME,
    semconv.INPUT_MESSAGES,
    semconv.OUTPUT_MESSAGES,
    semconv.SYSTEM_INSTRUCTIONS,
    semconv.RETRIEVAL_QUERIES[0],
    semconv.RETRIEVAL_DOCUMENTS,
    semconv.TOOL_NAME,
    semconv.TOOL_CALL_ID,
    semconv.TOOL_ARGUMENTS[0],
    semconv.TOOL_RESULTS[0],
    semconv.EVALUATION_NAME,
    semconv.EVALUATION_VALUE,
    semconv.EVALUATION_LABEL,
    semconv.EVALUATION_EXPLANATION,
    *(keys[0] for field, keys in semconv.USAGE.items() if field != "cache_write_tokens"),
]


@pytest.mark.parametrize("name", CURRENT)
def test_a_current_name_is_specified(name: str) -> None:
    assert name in SPECIFIED


def test_the_pinned_version_is_one_that_the_sdk_knows() -> None:
    assert any(schema.value.endswith(f"/{semconv.SPECIFICATION_VERSION}") for schema in Schemas)


def test_every_operation_has_one_canonical_name_that_stands_for_itself() -> None:
    assert all(semconv.OPERATIONS[name] == name for name in semconv.OPERATIONS.values())


@pytest.mark.parametrize("table", [semconv.FINISH_REASONS, semconv.ROLES, semconv.PROVIDERS])
def test_a_canonical_value_has_no_further_name(table: dict[str, str]) -> None:
    assert not {*table.values()} & {key for key, value in table.items() if key != value}
