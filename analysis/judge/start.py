"""From settings to a judge."""

from __future__ import annotations

import pyarrow as pa

from analysis.judge.client import Judge
from analysis.judge.ledger import Ledger
from analysis.metrics.cost import own_prices, price
from undertow.clock import utc_now
from undertow.errors import ConfigError
from undertow.settings import Settings


def open_judge(settings: Settings) -> Judge:
    """Return the configured judge; no call is made.

    Raises
    ------
    ConfigError
        No address is configured.
    ModelMissingError
        The package ``openai`` is not installed.
    """
    if settings.judge.base_url is None:
        raise ConfigError(
            "the judge has no address, so nothing is sent anywhere: set judge.base_url (UNDERTOW_JUDGE__BASE_URL)"
            " to that of an OpenAI-compatible API"
        )
    provider = "openai" if "api.openai.com" in settings.judge.base_url else None
    own = own_prices(settings.cost.prices)

    def cost(tokens_in: int, tokens_out: int) -> float | None:
        call = {
            "provider": provider,
            "request_model": settings.judge.model,
            "start_time": utc_now(),
            "input_tokens": tokens_in,
            "output_tokens": tokens_out,
        }
        found = price(pa.Table.from_pylist([call]), own)["cost_usd"][0].as_py()
        return None if found is None else float(found)

    return Judge(settings.judge, Ledger(settings.data_dir), cost)
