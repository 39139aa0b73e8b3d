from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from genai_prices import Usage, calc_price

from analysis.metrics.cost import price

AT = datetime(2026, 11, 3, 12, 0)  # noqa: DTZ001 - times in the store are naive UTC


def calls(*rows: dict) -> pa.Table:
    defaults = {
        "provider": "openai", "request_model": "gpt-4o-mini", "response_model": None, "start_time": AT,
        "input_tokens": 1000, "output_tokens": 100, "cache_read_tokens": None, "cache_write_tokens": None,
        "reasoning_tokens": None, "reported_cost_usd": None,
    }  # fmt: skip
    schema = pa.schema(
        [(name, pa.string()) for name in ("provider", "request_model", "response_model")]
        + [("start_time", pa.timestamp("us"))]
        + [(name, pa.int64()) for name in list(defaults)[4:9]]
        + [("reported_cost_usd", pa.float64())]
    )
    return pa.Table.from_pylist([defaults | row for row in rows], schema=schema)


def one(row: dict, **options: dict) -> tuple[float | None, str, str | None]:
    (result,) = price(calls(row), **options).to_pylist()
    return result["cost_usd"], result["cost_source"], result["price_version"]


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o-mini"),
        ("anthropic", "claude-sonnet-4-5"),
        ("google", "gemini-2.5-pro"),
        ("deepseek", "deepseek-chat"),
        ("aws", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
        ("perplexity", "sonar-deep-research"),
        (None, "gpt-4o"),
    ],
)
@pytest.mark.parametrize("size", [1, 250])
@pytest.mark.parametrize("hour", [2, 20])
def test_costs_agree_with_the_library_call_by_call(provider: str | None, model: str, size: int, hour: int) -> None:
    tokens = {"input_tokens": 1000 * size, "cache_read_tokens": 300 * size, "output_tokens": 400}
    at = AT.replace(hour=hour)
    listed = calc_price(
        Usage(**tokens), model, provider_id=provider, genai_request_timestamp=at.replace(tzinfo=UTC)
    ).total_price
    cost, source, version = one({"provider": provider, "request_model": model, "start_time": at, **tokens})
    assert cost == pytest.approx(float(listed), rel=1e-9)
    assert source == "list_price"
    assert version.startswith("genai-prices ")


def test_cached_tokens_are_taken_out_of_the_input_and_never_added() -> None:
    full, cached = one({})[0], one({"cache_read_tokens": 1000})[0]
    assert cached < full
    assert one({"cache_read_tokens": 0})[0] == full


def test_input_that_leaves_cached_tokens_out_is_not_negative() -> None:
    cost, _, _ = one({"input_tokens": 10, "cache_read_tokens": 5000})
    assert cost == pytest.approx((10 * 0.15 + 5000 * 0.075 + 100 * 0.6) / 1e6)


def test_reasoning_tokens_have_their_own_rate_where_one_is_given() -> None:
    own = {"house": {"input_mtok": 1.0, "output_mtok": 2.0, "output_reasoning_mtok": 10.0}}
    row = {"provider": None, "request_model": "House", "reasoning_tokens": 60}
    assert one(row, overrides=own)[0] == pytest.approx((1000 * 1 + 40 * 2 + 60 * 10) / 1e6)


def test_unknown_models_and_providers_are_unknown_and_never_zero() -> None:
    for row in ({"request_model": "no-such-model-9"}, {"provider": "ollama"}, {"request_model": None}):
        assert one(row) == (None, "unknown", None)


def test_a_call_without_token_counts_is_unknown() -> None:
    assert one({"input_tokens": None, "output_tokens": None})[1] == "unknown"
    assert one({"output_tokens": None})[1] == "list_price"


def test_a_reported_cost_wins() -> None:
    assert one({"reported_cost_usd": 0.5, "request_model": "no-such-model-9"}) == (0.5, "reported", None)
    assert one({"reported_cost_usd": 0.5})[0] == 0.5


def test_the_answering_model_decides_and_the_asked_one_steps_in() -> None:
    assert one({"response_model": "gpt-4o"})[0] > one({})[0]
    assert one({"response_model": "no-such-model-9"})[0] == one({})[0]


def test_overrides_apply_before_the_list_and_the_narrower_first() -> None:
    own = {"gpt-4o-mini": {"input_mtok": 1.0}, "openai/gpt-4o-mini": {"input_mtok": 2.0, "request": 0.01}}
    assert one({}, overrides=own) == (pytest.approx(1000 * 2 / 1e6 + 0.01), "override", "override")
    assert one({"provider": "azure"}, overrides=own)[0] == pytest.approx(0.001)


def test_an_override_with_an_unknown_rate_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="inptu_mtok"):
        price(calls({}), {"m": {"inptu_mtok": 1.0}})


def test_prices_are_those_of_the_day() -> None:
    from genai_prices.data import providers

    openai = next(provider for provider in providers if provider.id == "openai")
    assert openai
    before, after = AT.replace(year=2025, month=5), AT
    ours = [one({"request_model": "o3", "start_time": at})[0] for at in (before, after)]
    listed = [
        calc_price(
            Usage(input_tokens=1000, output_tokens=100),
            "o3",
            provider_id="openai",
            genai_request_timestamp=at.replace(tzinfo=UTC),
        ).total_price
        for at in (before, after)
    ]
    assert ours == [pytest.approx(float(cost)) for cost in listed]
    assert listed[0] != listed[1]
    assert isinstance(listed[0], Decimal)


def test_an_empty_table_gives_an_empty_table() -> None:
    assert price(calls()).num_rows == 0
    assert price(calls()).column_names == ["cost_usd", "cost_source", "price_version"]


def test_order_is_kept_and_columns_may_be_absent() -> None:
    rows = [{"request_model": m, "input_tokens": i} for i in range(50) for m in ("gpt-4o", "gpt-4o-mini", "nope")]
    table = calls(*rows)
    shuffled = np.random.default_rng(0).permutation(table.num_rows)
    assert price(table).take(shuffled).equals(price(table.take(shuffled)).combine_chunks())
    assert price(table.drop_columns(["cache_read_tokens", "reported_cost_usd"])).equals(price(table))


def test_a_hundred_thousand_calls_are_priced_in_about_a_second() -> None:
    table = pa.concat_tables([calls(*[{"input_tokens": i} for i in range(1000)])] * 100)
    price(table)
    start = time.process_time()
    price(table)
    assert time.process_time() - start < 2
