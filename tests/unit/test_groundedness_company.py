from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analysis.groundedness import load_scorer
from analysis.groundedness.company import CLAIM_FEATURES, claim_features
from analysis.groundedness.features import SENTENCE_FEATURES
from tests.unit.exchanged_facts import DOCUMENTS, FACTS_AND_SWAPS


def test_one_exchanged_fact_usually_raises_the_risk_of_the_lexical_scorer() -> None:
    scorer = load_scorer("lexical")
    raised = [
        (scorer.score(swap, DOCUMENTS).risk or 0) > (scorer.score(fact, DOCUMENTS).risk or 0)
        for fact, swap in FACTS_AND_SWAPS
    ]
    assert sum(raised) >= 6


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=12))
def test_every_claim_is_told_of_its_neighbours_and_of_the_worst(invented: list[float]) -> None:
    n = len(invented)
    odds = np.array(invented)
    told = claim_features(np.zeros((n, len(SENTENCE_FEATURES))), odds, odds[::-1])
    assert told.shape == (n, len(CLAIM_FEATURES))
    column = {name: told[:, i] for i, name in enumerate(CLAIM_FEATURES)}
    np.testing.assert_array_equal(column["invented_before"][1:], odds[:-1])
    np.testing.assert_array_equal(column["invented_behind"][:-1], odds[1:])
    assert column["below_most_invented"].max() == 0.0
    assert len(set(column["claims"])) == 1
    if n > 1:
        np.testing.assert_allclose(column["invented_elsewhere"] * (n - 1) + odds, odds.sum(), atol=1e-9)
