"""Token usage in any of the shapes in which providers and frameworks report it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from collector.dialects.genai_fields import put
from collector.dialects.values import as_count, as_dict
from collector.records import Facts

_INPUT = (
    "input_tokens",
    "prompt_tokens",
    "input",
    "prompt_token_count",
    "promptTokenCount",
    "inputTokens",
    "promptTokens",
    "input_token_count",
    "inputTokenCount",
)
_OUTPUT = (
    "output_tokens",
    "completion_tokens",
    "output",
    "candidates_token_count",
    "candidatesTokenCount",
    "outputTokens",
    "completionTokens",
    "generated_token_count",
    "outputTokenCount",
)
_SUMS = frozenset((*_INPUT, *_OUTPUT))
_TOTAL = ("total_tokens", "total", "total_token_count", "totalTokenCount", "totalTokens")
_CACHE_READ = (
    "cache_read_input_tokens",
    "cacheReadInputTokens",
    "cache_read_tokens",
    "input_cache_read",
    "input_cached_tokens",
    "input_cache_read_input_tokens",
    "cached_content_token_count",
    "cachedContentTokenCount",
    "cached_tokens",
)
_CACHE_WRITE = (
    "cache_creation_input_tokens",
    "cacheWriteInputTokens",
    "cache_write_tokens",
    "input_cache_creation",
    "input_cache_write_tokens",
    "input_cache_creation_input_tokens",
)
_REASONING = (
    "reasoning_tokens",
    "output_reasoning",
    "output_reasoning_tokens",
    "thoughts_token_count",
    "thoughtsTokenCount",
)
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details", "output_token_details")
_APART_INPUT, _APART_OUTPUT = "input_", "output_"
_INSIDE = frozenset({"cached_content_token_count", "cachedContentTokenCount", "cached_tokens", "reasoning_tokens"})
"""Counts that every provider who sends them includes in the sums."""


def read_usage(facts: Facts, value: Any, *, cached_apart: bool = False) -> None:
    """Add the counts that a usage report states and the facts do not have; cached tokens are part of the input.

    Some reports count cached and reasoning tokens beside the others instead of among them. The total tells which,
    where there is one; else names that begin with ``input_`` and ``output_`` (parts that were split off), and an
    input that is smaller than what was cached.

    Parameters
    ----------
    value : the report, a dictionary or JSON.
    cached_apart : the provider is known to count cached tokens beside the input.
    """
    usage = as_dict(value)
    if not usage:
        return
    given, produced, total = _first(usage, _INPUT), _first(usage, _OUTPUT), _first(usage, _TOTAL)
    inside, outside = _details(usage, _INPUT_DETAILS), _details(usage, _OUTPUT_DETAILS)
    read = _either(_first(usage, _CACHE_READ), _first(inside, ("cached_tokens", "cache_read")))
    written = _either(_first(usage, _CACHE_WRITE), _first(inside, ("cache_write_tokens", "cache_creation")))
    reasoning = _either(_first(usage, _REASONING), _first(outside, ("reasoning_tokens", "reasoning")))
    extra_given = _apart(usage, _APART_INPUT, (*_CACHE_READ, *_CACHE_WRITE))
    extra_produced = _apart(usage, _APART_OUTPUT, _REASONING)
    whole = (given or 0) + (produced or 0)
    apart = _told_by_total(total, whole, extra_given + extra_produced)
    if apart is None:
        apart = cached_apart or _is_split(usage) or (given or 0) < extra_given
    if apart:
        given = None if given is None else given + extra_given
        produced = None if produced is None else produced + extra_produced
    counts = {
        "input_tokens": given,
        "output_tokens": produced,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "reasoning_tokens": reasoning,
    }
    for field, count in counts.items():
        if field not in facts:
            put(facts, field, count)


def _details(usage: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return next((found for found in (as_dict(usage[key]) for key in keys if key in usage) if found), {})


def _first(usage: dict[str, Any], keys: Iterable[str]) -> int | None:
    for key in keys:
        if key in usage:
            count = as_count(usage[key])
            if count is not None:
                return count
    return None


def _either(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def _apart(usage: dict[str, Any], prefix: str, names: Iterable[str]) -> int:
    """Return the sum of what may have been split off: everything under a prefix, else the named parts."""
    split = [as_count(v) for key, v in usage.items() if key.startswith(prefix) and key not in _SUMS]
    parts = [count for count in split if count is not None]
    named = [
        as_count(usage[key]) for key in names if key in usage and key not in _INSIDE and not key.startswith(prefix)
    ]
    return sum(parts) if parts else sum(count for count in named if count is not None)


def _told_by_total(total: int | None, whole: int, extra: int) -> bool | None:
    """Tell whether parts count beside input and output, or None where no total says so."""
    if not total or total not in (whole, whole + extra):
        return None
    return total != whole


def _is_split(usage: dict[str, Any]) -> bool:
    return any(key in usage for key in _CACHE_READ + _REASONING if key.startswith((_APART_INPUT, _APART_OUTPUT)))
