"""What each call cost."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from analysis.analyzer import Batch, Context
from analysis.metrics.cost import own_prices, price
from undertow.store import trend_reads


class Cost:
    """Prices new calls by maintained list prices, the user's own coming first; unknown stays unknown."""

    name = "cost"
    version = "1"
    requires: tuple[str, ...] = ()

    def run(self, context: Context) -> Iterator[Batch]:
        """Price the new calls."""
        calls = context.store.query(trend_reads.CALLS_TO_PRICE, context.scope)
        if calls.num_rows == 0:
            return
        priced = price(calls, own_prices(context.settings.cost.prices))
        rows = pa.table(
            {
                "interaction_id": calls["interaction_id"],
                **{name: priced[name] for name in priced.column_names},
                "run_id": pa.repeat(context.run_id, calls.num_rows),
            }
        )
        yield Batch({"costs": rows}, rows=calls.num_rows)
