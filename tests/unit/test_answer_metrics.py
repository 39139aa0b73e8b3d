"""Relevance, use of the context and consistency: what each sees, and what it says where it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.metrics import consistency, relevance, utilisation


def unit(*values: float) -> np.ndarray:
    vector = np.array(values, np.float32)
    return (vector / np.linalg.norm(vector))[None]


@pytest.mark.parametrize("kind", ["answer", "context"])
def test_relevance_rises_with_the_cosine_and_is_a_probability(kind) -> None:
    values = [float(relevance.relevance(kind, unit(1, 0), unit(c, (1 - c * c) ** 0.5))[0]) for c in (0, 0.3, 0.6, 1)]
    assert values == sorted(values)
    assert values[0] < 0.01
    assert 0.99 < values[-1] < 1
    assert [relevance.label(value) for value in (values[0], 0.3, values[-1])] == ["irrelevant", "unclear", "relevant"]


def test_a_short_answer_is_never_called_irrelevant() -> None:
    assert relevance.answer_label(0.05, "Yes, that is possible until noon.") == "unclear"
    assert relevance.answer_label(0.05, "The recipe " * 10) == "irrelevant"
    assert relevance.answer_label(0.9, "Yes.") == "relevant"


def test_relevance_says_nothing_of_other_embeddings_or_languages() -> None:
    assert relevance.why_not(relevance.MODEL, "en") == ""
    assert "st:other" in relevance.why_not("st:other", "en")
    assert "de" in relevance.why_not(relevance.MODEL, "de")


def test_the_sentences_that_an_answer_takes_up_count_as_used() -> None:
    document = "The card costs 2.50 euros per month. Replacement takes five business days. Branches open at nine."
    used, whole = utilisation.used_share(
        utilisation.read(document), utilisation.read("Sure. The monthly card costs are 2.50 euros.")
    )
    assert used == len("The card costs 2.50 euros per month.")
    assert whole == sum(len(part) for part in ("The card costs 2.50 euros per month.", "Branches open at nine.")) + len(
        "Replacement takes five business days."
    )
    assert utilisation.used_share(utilisation.read(document), utilisation.read("I am sorry, I cannot help."))[0] == 0


def test_an_empty_document_has_nothing_to_use() -> None:
    assert utilisation.used_share(utilisation.read(""), utilisation.read("Anything at all.")) == (0, 0)


def clash(one: str, other: str) -> tuple[str, str] | None:
    return consistency.contradiction(consistency.read_figures(one), consistency.read_figures(other))


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("The replacement card costs EUR 12 each.", "A replacement card costs EUR 15 today.", ("12", "15")),
        ("The fee is 1,200.00 euros a year.", "The fee is 1200 euros a year.", None),
        ("The replacement card costs EUR 12.", "The card costs EUR 12 and arrives within 5 days.", None),
        ("The replacement card costs EUR 12.", "Branches close at 17 on Fridays.", None),
        ("No number here.", "The card costs EUR 12.", None),
    ],
)
def test_different_numbers_for_the_same_thing_contradict(one, other, found) -> None:
    assert clash(one, other) == found
    assert clash(other, one) == (found and found[::-1])


def agreements(texts: list[str], vectors: np.ndarray, counts: list[int]) -> list[consistency.Agreement]:
    return consistency.agreements(vectors, [consistency.read_figures(text) for text in texts], counts)


def test_the_one_that_says_otherwise_agrees_least() -> None:
    texts = ["The card costs EUR 12 a year.", "Each card costs EUR 12 a year.", "The card costs EUR 99 a year."]
    found = agreements(texts, np.repeat(unit(1, 0), 3, axis=0), [5, 3, 1])
    assert [agreement.consistent for agreement in found] == [True, True, False]
    assert found[2].against == ("99", "12")
    assert found[2].value == 0


def test_rewording_alone_is_no_disagreement_but_another_meaning_is() -> None:
    near = np.concatenate([unit(1, 0), unit(1, 0.5)])
    far = np.concatenate([unit(1, 0), unit(0, 1)])
    assert [agreement.value for agreement in agreements(["a", "b"], near, [1, 1])] == [1, 1]
    assert [agreement.value for agreement in agreements(["a", "b"], far, [1, 1])] == pytest.approx([0, 0])


def test_a_missing_vector_is_no_disagreement() -> None:
    vectors = np.concatenate([unit(1, 0), np.full((1, 2), np.nan, np.float32)])
    assert [agreement.value for agreement in agreements(["a", "b"], vectors, [1, 1])] == [1, 1]
