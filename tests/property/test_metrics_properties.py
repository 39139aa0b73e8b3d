from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.groundedness import load_scorer
from analysis.metrics.cost import price
from analysis.metrics.refusal import find_refusal
from analysis.metrics.severity import Judgements, judge

SHARE = st.floats(0, 1)
TOKENS = st.integers(0, 10**7)
TEXT = st.text(max_size=300)
SCORER = load_scorer("lexical")


@given(
    st.lists(st.tuples(st.sampled_from(["gpt-4o", "claude-sonnet-4-5", "x"]), *[TOKENS] * 5), max_size=20),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_costs_are_never_negative_and_every_row_is_priced_alone(rows: list[tuple], seed: int) -> None:
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    schema = pa.schema(
        [("request_model", pa.string()), ("start_time", pa.timestamp("us"))] + [(name, pa.int64()) for name in names]
    )
    at = np.datetime64("2026-10-01T12:00:00", "us").astype(object)
    table = pa.Table.from_pylist(
        [{"request_model": m, "start_time": at, **dict(zip(names, tokens, strict=True))} for m, *tokens in rows],
        schema=schema,
    )
    priced = price(table)
    assert all(cost is None or cost >= 0 for cost in priced["cost_usd"].to_pylist())
    order = np.random.default_rng(seed).permutation(len(rows))
    assert price(table.take(order)).to_pylist() == [priced.to_pylist()[i] for i in order]


@given(
    SHARE, st.floats(0.01, 0.99), st.integers(0, 9), st.floats(-1, 1), st.booleans(), st.booleans(), st.integers(0, 50)
)
@settings(deadline=None)
def test_severity_stays_in_the_unit_and_further_reasons_never_lower_it(
    risk: float, threshold: float, unsupported: int, feedback: float, refused: bool, truncated: bool, loops: int
) -> None:
    full = Judgements(risk, threshold, unsupported, 9, feedback, 1, False, "boom", truncated, refused, loops)
    less = Judgements(risk, threshold, unsupported, 9, feedback, 1, truncated=truncated, refused=refused)
    assert 0 <= judge(less).value <= judge(full).value <= 1
    assert len(judge(full).reasons) >= len(judge(less).reasons)


@given(TEXT)
@settings(deadline=None)
def test_a_refusal_lies_within_its_text(text: str) -> None:
    found = find_refusal(text)
    assert found is None or 0 <= found.start < found.end <= len(text)


@given(TEXT, st.lists(TEXT, max_size=3), st.one_of(st.none(), TEXT))
@settings(max_examples=60, deadline=None)
def test_any_text_is_judged_with_valid_offsets(response: str, documents: list[str], query: str | None) -> None:
    result = SCORER.score(response, documents, query)
    assert (result.risk is None) == (result.status == "not_evaluated") == bool(result.reason)
    assert result.risk is None or 0 <= result.risk <= 1
    for claim in result.claims:
        assert response[claim.start : claim.end] == claim.text
        assert claim.support is None or 0 <= claim.support <= 1
        if claim.evidence is not None:
            assert documents[claim.document][claim.evidence.start : claim.evidence.end] == claim.evidence.text
