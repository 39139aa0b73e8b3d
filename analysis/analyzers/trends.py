"""Hourly roll-ups of every metric by segment: cost, errors, latency, groundedness, refusals, feedback."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.analyzer import Batch, Context
from undertow.store import trend_reads


class Trends:
    """Hours that new calls or new feedback touched are counted again, in SQL."""

    name = "trends"
    version = "1"
    requires = ("groundedness", "refusals", "cost", "topics")

    def run(self, context: Context) -> Iterator[Batch]:
        """Replace the roll-ups of the touched hours."""
        hours = context.store.query(trend_reads.ROLLUP_HOURS, context.scope)
        if hours.num_rows == 0:
            return
        rows = context.store.query(trend_reads.ROLLUPS, context.scope)
        yield Batch({"rollups": rows}, delete={"rollups": hours}, rows=hours.num_rows)
