from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from analysis.groundedness import load_scorer
from analysis.groundedness.encoder import (
    EncoderScorer,
    bundled_encoder_weights,
    bundled_graph,
    mark_features,
    verdict_features,
)
from analysis.groundedness.features import Passage, read_reference
from analysis.groundedness.windows import MEETINGS, WindowMaker, WordPieces, meetings, pack_passages, rank_passages
from analysis.scoring import plain_scorer
from tests.unit.exchanged_facts import DOCUMENTS, FACTS_AND_SWAPS
from undertow.config import load_settings
from undertow.errors import ConfigError, ModelMissingError
from undertow.text import sentences


@pytest.fixture(scope="module")
def encoder() -> EncoderScorer:
    return EncoderScorer()


def test_one_exchanged_fact_usually_raises_the_risk(encoder: EncoderScorer) -> None:
    raised = [
        (encoder.score(swap, DOCUMENTS).risk or 0) > (encoder.score(fact, DOCUMENTS).risk or 0)
        for fact, swap in FACTS_AND_SWAPS
    ]
    assert sum(raised) >= 6


def test_the_heads_refuse_a_graph_that_they_were_not_learned_with() -> None:
    with pytest.raises(ValueError, match="graph"):
        EncoderScorer(graph=bundled_graph() + b"\0")


def test_the_heads_refuse_lexical_weights_that_they_were_not_learned_with() -> None:
    weights = dataclasses.replace(bundled_encoder_weights(), lexical_version="0-older")
    with pytest.raises(ValueError, match="lexical 0-older"):
        EncoderScorer(weights=weights)


def test_a_scorer_with_a_model_needs_a_folder_that_holds_one() -> None:
    for name in ("nli", "nli:/nowhere/at/all"):
        with pytest.raises(ModelMissingError, match="nli:/path"):
            load_scorer(name)
    with pytest.raises(ValueError, match="takes no model"):
        load_scorer("lexical:/some/model")
    with pytest.raises(ValueError, match="unknown groundedness scorer 'oracle'"):
        load_scorer("oracle")


def test_without_a_name_the_configured_scorer_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_scorer().name == "lexical"
    monkeypatch.setenv("UNDERTOW_GROUNDEDNESS__SCORER", "encoder")
    assert load_scorer().name == "encoder"
    monkeypatch.setenv("UNDERTOW_GROUNDEDNESS__SCORER", "lexicl")
    with pytest.raises(ConfigError, match=r"groundedness\.scorer: unknown groundedness scorer 'lexicl'"):
        plain_scorer(load_settings().settings)


def weigh(forms: frozenset[str]) -> float:
    return float(len(forms))


def passage(*forms: str) -> Passage:
    return Passage(0, 0, 1, frozenset(forms), negated=False)


def test_the_second_passage_is_chosen_for_what_the_first_left_open() -> None:
    passages = [passage("a", "b"), passage("a", "b", "c"), passage("d"), passage("e")]
    assert rank_passages(frozenset("abcd"), passages, weigh) == [1, 2, 0]


def test_every_claim_gets_its_first_passage_before_any_gets_its_second() -> None:
    assert pack_passages([[4, 1], [2, 3]], {1: 10, 2: 10, 3: 10, 4: 10}, 20) == [2, 4]
    assert pack_passages([[4, 1], [2, 3]], {1: 10, 2: 10, 3: 10, 4: 10}, 30) == [1, 2, 4]
    assert pack_passages([[0]], {0: 500}, 20) == [0]
    assert pack_passages([[]], {}, 20) == []


def test_windows_cover_every_claim_once_and_fit_the_graph() -> None:
    response = " ".join(f"Claim {i} says that the ferry costs {i} euros on a calm Friday in winter." for i in range(40))
    documents = ["word " * 900 + "ferry.", *DOCUMENTS]
    spans = sentences(response)
    reference = read_reference(documents, [sentences(text) for text in documents], "How much?")
    windows = WindowMaker(WordPieces(), weigh)(response, spans, documents, reference, "How much? " * 50)
    assert max(len(window.ids) for window in windows) <= 256
    seen = [i for window in windows for i, _ in itertools.groupby(window.sentence)]
    assert seen == list(range(40))
    for window in windows:
        assert len(window.ids) == len(window.types)
        assert len(window.at) == len(window.spans) == len(window.sentence)
        assert [i for i, kind in enumerate(window.types) if kind >= MEETINGS][:-1] == list(window.at)
        assert set(window.types) <= set(range(2 * MEETINGS))
        assert all(spans[i][0] <= a < b <= spans[i][1] for (a, b), i in zip(window.spans, window.sentence, strict=True))


def test_a_word_piece_meets_the_other_side_alone_beside_its_neighbours_or_in_the_place_of_another() -> None:
    assert meetings([1, 2, 3, 4, 9], [7, 1, 2, 8, 4, 3]) == [3, 2, 5, 1, 0]
    assert meetings([1, 2, 3], [1, 2, 3]) == [3, 4, 2]
    assert meetings([1, 2, 3], []) == [0, 0, 0]
    assert meetings([], [1]) == []


def test_marks_and_verdicts_are_finite_at_the_extremes() -> None:
    for odds in ([0.0], [40.0, 40.0], [-40.0] * 50):
        assert np.isfinite(mark_features(np.array(odds), 0.0, 1.0, 0.5)).all()
        assert np.isfinite(verdict_features(np.array(odds), 0.0)).all()
