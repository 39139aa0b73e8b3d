"""Whether groups of people are answered alike: measured once a day over all traffic."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from analysis import bias
from analysis.analyzer import Batch, Context
from undertow.store import answer_reads, reads

_EVERY = timedelta(days=1)


class Bias:
    """One artifact with the newest comparison; `undertow bias` measures at once."""

    name = "bias"
    version = "1"
    requires = ("groundedness", "refusals", "safety")

    def run(self, context: Context) -> Iterator[Batch]:
        """Compare anew where the last comparison is a day old and there is something that it has not seen.

        Not what is beyond the watermark: that moves on with every pass, while a comparison waits for its day.
        """
        known = context.store.query(reads.NEWEST_ARTIFACT, {"kind": bias.KIND}).to_pylist()
        if known and context.now - known[0]["created_at"] < _EVERY:
            return
        (state,) = context.store.query(answer_reads.COUNTERFACTUAL_SEEN).to_pylist()
        if state["newest"] <= (state["seen"] or 0):
            return
        prompts, found = bias.measure(context.store)
        table = bias.artifact(found, len(prompts), context.run_id, context.now)
        yield Batch({"artifacts": table}, rows=len(prompts))
