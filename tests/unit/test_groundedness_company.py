from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analysis.groundedness import load_scorer
from analysis.groundedness.company import CLAIM_FEATURES, claim_features
from analysis.groundedness.features import SENTENCE_FEATURES

DOCUMENTS = [
    "The ferry to Aldra leaves Port Ness at 8:15 every Friday. Tickets cost 24 euros for adults and 11 for children. "
    "Captain Ines Moreau has commanded it since 2009.",
    "Dogs are not allowed in the restaurant. The crossing takes three hours in calm weather. "
    "In winter the ferry calls at Skarn, where Olof Brandt runs the pier.",
]
FACTS_AND_SWAPS = [
    ("The ferry leaves Port Ness at 8:15 every Friday.", "The ferry leaves Port Ness at 8:15 every Monday."),
    ("Tickets cost 24 euros for adults.", "Tickets cost 42 euros for adults."),
    ("Ines Moreau has commanded the ferry since 2009.", "Olof Brandt has commanded the ferry since 2009."),
    ("The crossing takes three hours.", "The crossing takes three days."),
    ("Tickets cost 11 euros for children.", "Tickets cost 24 euros for children."),
    ("The ferry calls at Skarn in winter.", "The ferry calls at Skarn in summer."),
    ("Dogs are not allowed in the restaurant.", "Dogs are allowed in the restaurant."),
    ("Olof Brandt runs the pier at Skarn.", "Olof Brandt runs the pier at Aldra."),
]


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
