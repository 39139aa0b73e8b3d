"""What calls cost, from maintained list prices, at the rates of their day.

Input tokens include cached tokens and output tokens include reasoning tokens, as the semantic conventions have it:
the parts are priced at their own rates and taken out of the whole, never added to it. Where an instrumentation
reports more cached than input tokens, it has left them out of the input; then nothing is taken out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

SOURCES = ("reported", "override", "list_price", "unknown")
RATES = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "output_reasoning_mtok", "request")
_RATE_OF_SETTING = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "reasoning": "output_reasoning_mtok",
}
_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
_MILLION = 1e6
# Names of the OpenTelemetry conventions that the price list does not know.
_PROVIDER_ALIASES = {"gcp.gen_ai": "google", "x_ai": "x-ai", "azure.ai.inference": "azure"}
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - times in the store are naive UTC
_DAY_US, _HALF_HOUR_US = 86_400_000_000, 1_800_000_000

Step = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Prices:
    """Rates of one model at one time in US dollars; per million tokens, `request` per call.

    A rate is a step function of the call's input tokens: ``((0, base), (more_than, rate), ...)``. A part without a
    rate of its own is None and is paid at the rate of its whole.
    """

    input_mtok: tuple[Step, ...]
    output_mtok: tuple[Step, ...]
    cache_read_mtok: tuple[Step, ...] | None = None
    cache_write_mtok: tuple[Step, ...] | None = None
    output_reasoning_mtok: tuple[Step, ...] | None = None
    request: tuple[Step, ...] | None = None


def price(calls: pa.Table, overrides: Mapping[str, Mapping[str, float]] | None = None) -> pa.Table:
    """Price model calls.

    Parameters
    ----------
    calls
        Columns `provider`, `request_model`, `response_model`, `start_time` (naive UTC), `input_tokens`,
        `output_tokens`, `cache_read_tokens`, `cache_write_tokens`, `reasoning_tokens`, `reported_cost_usd`; any but
        `start_time` may be absent.
    overrides
        Own prices: model, or ``provider/model``, in lower case → rates out of `RATES`. They apply before list
        prices; a cost that the call itself reports applies before both.

    Returns
    -------
    pyarrow.Table
        One row per call in the same order: `cost_usd` (null when unknown, never zero), `cost_source` (one of
        `SOURCES`), `price_version`.

    Raises
    ------
    ValueError
        An override names an unknown rate.
    """
    own = {name.lower(): _override(name, rates) for name, rates in (overrides or {}).items()}
    columns = {name: _floats(calls, name) for name in (*_TOKENS, "reported_cost_usd")}
    cost = np.full(calls.num_rows, np.nan)
    source = np.full(calls.num_rows, SOURCES.index("unknown"))
    measured = ~(np.isnan(columns["input_tokens"]) & np.isnan(columns["output_tokens"]))
    for rows, prices, name in _priced_groups(calls, own):
        kept = rows[measured[rows]]
        cost[kept] = _charge(prices, {token: np.nan_to_num(columns[token][kept]) for token in _TOKENS})
        source[kept] = SOURCES.index(name)
    reported = ~np.isnan(columns["reported_cost_usd"])
    cost[reported] = columns["reported_cost_usd"][reported]
    source[reported] = SOURCES.index("reported")
    versions = pa.array([None, "override", price_list_version(), None])
    return pa.table(
        {
            "cost_usd": pa.array(cost, from_pandas=True),
            "cost_source": pa.array(SOURCES).take(pa.array(source)),
            "price_version": versions.take(pa.array(source)),
        }
    )


def own_prices(prices: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return the user's prices, as the setting ``cost.prices`` names their rates, in the form that `price` takes."""
    return {
        model: {name if name == "request" else _RATE_OF_SETTING[name]: rate for name, rate in rates.items()}
        for model, rates in prices.items()
    }


@cache
def price_list_version() -> str:
    """Return the name and version of the price data."""
    from importlib.metadata import version

    return f"genai-prices {version('genai-prices')}"


def _charge(prices: Prices, tokens: Mapping[str, Floats]) -> Floats:
    """Return the cost of calls that share their prices."""
    whole = tokens["input_tokens"]

    def rate(steps: tuple[Step, ...]) -> Floats:
        # Crossing a step puts all tokens at the new rate.
        starts = np.array([start for start, _ in steps[1:]])
        levels: Floats = np.array([level for _, level in steps])[np.searchsorted(starts, whole, side="left")]
        return levels

    total = np.zeros(len(whole))
    plain = whole.copy()
    for part, steps in (("cache_read_tokens", prices.cache_read_mtok), ("cache_write_tokens", prices.cache_write_mtok)):
        if steps is not None:
            total += tokens[part] * rate(steps)
            plain -= tokens[part]
    # More cached than input tokens: the reporter counts them apart.
    plain = np.where(plain < 0, whole, plain)
    output = tokens["output_tokens"].copy()
    if prices.output_reasoning_mtok is not None:
        reasoning = np.minimum(tokens["reasoning_tokens"], output)
        total += reasoning * rate(prices.output_reasoning_mtok)
        output -= reasoning
    total += plain * rate(prices.input_mtok) + output * rate(prices.output_mtok)
    fee = rate(prices.request) if prices.request else 0.0
    return np.asarray(total / _MILLION + fee, dtype=np.float64)


def _priced_groups(calls: pa.Table, own: Mapping[str, Prices]) -> Iterator[tuple[Rows, Prices, str]]:
    """Yield rows that share their prices; the price list is asked once per provider, model and day."""
    microseconds = np.asarray(
        pc.fill_null(calls["start_time"].cast(pa.timestamp("us")).cast(pa.int64()), 0), dtype=np.int64
    )
    names = ("provider", "response_model", "request_model")
    encoded = [_strings(calls, name).dictionary_encode() for name in names]
    codes = [np.asarray(column.indices.fill_null(-1)) for column in encoded]
    for day, members in _groups(np.column_stack([*codes, microseconds // _DAY_US])):
        provider, *models = (
            None if code < 0 else column.dictionary[int(code)].as_py()
            for column, code in zip(encoded, day, strict=False)
        )
        override = next((own[key] for key in _override_keys(provider, models) if key in own), None)
        if override is not None:
            yield members, override, "override"
            continue
        model = next((found for ref in models if ref and (found := _find_model(provider, ref))), None)
        if model is None:
            continue
        slot = _HALF_HOUR_US if _varies_within_a_day(model) else _DAY_US
        for (at,), inside in _groups((microseconds[members] // slot * slot)[:, None]):
            listed = _list_prices(model, _EPOCH + timedelta(microseconds=int(at)))
            if listed is not None:
                yield members[inside], listed, "list_price"


def _groups(keys: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Rows]]:
    """Yield each distinct row of `keys` (n, d) with the positions where it stands."""
    if not len(keys):
        return
    distinct, inverse = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    bounds = np.searchsorted(inverse[order], np.arange(1, len(distinct)))
    yield from zip(distinct, np.split(order, bounds), strict=True)


def _override_keys(provider: str | None, models: list[str | None]) -> Iterator[str]:
    for model in models:
        if model:
            if provider:
                yield f"{provider}/{model}".lower()
            yield model.lower()


def _find_model(provider: str | None, model: str) -> Any:
    """Return the price list's entry for a model, or None.

    A provider that the list does not know is never guessed from the model's name: the same weights cost nothing on
    one's own machine.
    """
    from genai_prices.data_snapshot import get_snapshot

    name = _PROVIDER_ALIASES.get(provider.lower(), provider) if provider else None
    try:
        return get_snapshot().find_provider_model(model, None, name, None)[1]
    except LookupError:
        return None


def _varies_within_a_day(model: Any) -> bool:
    return isinstance(model.prices, list) and any(hasattr(item.constraint, "start_time") for item in model.prices)


def _list_prices(model: Any, at: datetime) -> Prices | None:
    listed = model.get_prices(at)
    if listed.input_mtok is None and listed.output_mtok is None:
        return None
    per_thousand_requests = listed.requests_kcount
    return Prices(
        input_mtok=_steps(listed.input_mtok) or ((0, 0.0),),
        output_mtok=_steps(listed.output_mtok) or ((0, 0.0),),
        cache_read_mtok=_steps(listed.cache_read_mtok),
        cache_write_mtok=_steps(listed.cache_write_mtok),
        output_reasoning_mtok=_steps(listed.output_reasoning_mtok),
        request=None if per_thousand_requests is None else ((0, float(per_thousand_requests) / 1000),),
    )


def _steps(listed: Any) -> tuple[Step, ...] | None:
    if listed is None:
        return None
    if hasattr(listed, "tiers"):
        return ((0, float(listed.base)), *((tier.start, float(tier.price)) for tier in listed.tiers))
    return ((0, float(listed)),)


def _override(name: str, rates: Mapping[str, float]) -> Prices:
    unknown = sorted(set(rates) - set(RATES))
    if unknown:
        raise ValueError(f"price override of {name!r} has unknown rates {unknown}: expected some of {list(RATES)}")
    given: dict[str, Any] = {key: ((0, float(rate)),) for key, rate in rates.items()}
    return Prices(**{"input_mtok": ((0, 0.0),), "output_mtok": ((0, 0.0),)} | given)


def _strings(calls: pa.Table, name: str) -> pa.Array:
    if name not in calls.column_names:
        return pa.nulls(calls.num_rows, pa.string())
    return calls[name].cast(pa.string()).combine_chunks()


def _floats(calls: pa.Table, name: str) -> Floats:
    """Return a column as floats, null as NaN."""
    if name not in calls.column_names:
        return np.full(calls.num_rows, np.nan)
    return np.asarray(calls[name].cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
