"""Cached and reasoning tokens are part of the sums, however a provider counts them."""

from __future__ import annotations

from typing import Any

import pytest

from collector.dialects.usage import read_usage
from collector.records import Facts

WHOLE = {"input_tokens": 57, "output_tokens": 19, "cache_read_tokens": 32}


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(
            {
                "prompt_tokens": 57,
                "completion_tokens": 19,
                "total_tokens": 76,
                "prompt_tokens_details": {"cached_tokens": 32},
            },
            id="openai",
        ),
        pytest.param(
            {"input_tokens": 57, "output_tokens": 19, "input_token_details": {"cache_read": 32}}, id="langchain"
        ),
        pytest.param({"input_tokens": 25, "output_tokens": 19, "cache_read_input_tokens": 32}, id="anthropic"),
        pytest.param(
            {"inputTokens": 25, "outputTokens": 19, "totalTokens": 76, "cacheReadInputTokens": 32}, id="bedrock"
        ),
        pytest.param(
            {
                "promptTokenCount": 57,
                "candidatesTokenCount": 19,
                "totalTokenCount": 76,
                "cachedContentTokenCount": 32,
            },
            id="gemini",
        ),
        pytest.param({"input": 25, "output": 19, "total": 76, "input_cache_read": 32}, id="langfuse of langchain"),
        pytest.param({"input": 25, "output": 19, "input_cached_tokens": 32}, id="langfuse of openai"),
        pytest.param('{"input_tokens": "57", "output_tokens": 19, "cached_tokens": 32}', id="json text"),
    ],
)
def test_every_report_of_the_same_usage_is_read_alike(report: Any) -> None:
    facts: Facts = {}
    read_usage(facts, report)
    assert facts == WHOLE


def test_reasoning_that_is_counted_beside_the_output_is_added_to_it() -> None:
    facts: Facts = {}
    read_usage(facts, {"input": 5, "output": 3, "output_reasoning": 4, "total": 12})
    assert facts == {"input_tokens": 5, "output_tokens": 7, "reasoning_tokens": 4}


def test_a_report_that_may_be_read_both_ways_is_left_as_it_is() -> None:
    facts: Facts = {}
    read_usage(facts, {"input": 10, "output": 3, "cache_read_input_tokens": 4})
    assert facts["input_tokens"] == 10


def test_the_same_report_of_a_provider_that_is_known_to_count_apart_is_summed() -> None:
    facts: Facts = {}
    read_usage(facts, {"input_tokens": 10, "output_tokens": 3, "cache_read_input_tokens": 4}, cached_apart=True)
    assert facts["input_tokens"] == 14


def test_what_is_known_stands_and_what_is_not_said_stays_unknown() -> None:
    facts: Facts = {"input_tokens": 9}
    read_usage(facts, {"input_tokens": 10, "output_tokens": None, "total_tokens": 10})
    assert facts == {"input_tokens": 9}


@pytest.mark.parametrize("report", [None, "", "none", [], {}, {"input": -1}, {"input": True}])
def test_no_report_says_nothing(report: Any) -> None:
    facts: Facts = {}
    read_usage(facts, report)
    assert facts == {}
