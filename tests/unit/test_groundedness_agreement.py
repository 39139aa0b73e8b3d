from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analysis.groundedness.agreement import AGREEMENT_FEATURES, agreement
from analysis.groundedness.features import content_forms, read_reference
from analysis.groundedness.tokens import tokenize
from undertow.text import sentences

DOCUMENTS = [
    "The council of Harrow Falls voted to close Mill Bridge in March. Repairs would cost 41 million dollars. "
    "Mayor Paul Reiner opposed the plan. Buses run over Station Bridge in May.",
    "Dana Ortiz proposed the closure in 2019. The rate will increase. Dogs are not allowed in the hall.",
]


def weigh(forms: object) -> float:
    return float(len(list(forms)))  # type: ignore[call-overload]  # sets and sequences alike


def seen(claim: str) -> dict[str, float]:
    """Return the features of a claim by name."""
    reference = read_reference(DOCUMENTS, [sentences(text) for text in DOCUMENTS], None)
    tokens = tokenize(claim)
    forms = frozenset(content_forms(tokens))
    near = max(reference.passages, key=lambda passage: len(passage.forms & forms)).forms
    values = agreement(tokens, reference.places, reference.triples, near, weigh)
    return dict(zip(AGREEMENT_FEATURES, values, strict=True))


def test_a_copied_sentence_agrees_with_its_document_in_everything() -> None:
    assert set(seen("Repairs would cost 41 million dollars.").values()) == {0.0}
    assert set(seen("So Paul Reiner opposed the plan.").values()) == {0.0}


def test_a_known_number_in_other_company_is_lonely() -> None:
    assert seen("Repairs would cost 2019 million dollars.")["lone_number"] == 1.0
    assert seen("Repairs would cost 41 million dollars.")["lone_number"] == 0.0


def test_a_known_name_in_other_company_is_lonely_and_parted_from_its_neighbour() -> None:
    told = seen("The council of Harrow Falls heard that Ortiz opposed the plan.")
    assert told["lone_name"] > 0.5
    assert seen("It was Dana Reiner who spoke.")["parted_names"] == 1.0
    assert seen("It was Paul Reiner who spoke.")["parted_names"] == 0.0


def test_another_word_between_the_same_neighbours_is_an_exchange() -> None:
    told = seen("Repairs would cost 14 million dollars.")
    assert (told["exchanged_numbers"], told["exchanged_words"]) == (1.0, 0.0)
    assert seen("The plan saves 41 million dollars.")["exchanged_words"] == 0.0
    assert seen("Repairs would save 41 million dollars.")["exchanged_words"] == 1.0


def test_a_negation_put_in_or_left_out_is_a_turn() -> None:
    assert seen("Dogs are allowed in the hall.")["turned_words"] >= 1.0
    assert seen("Dogs are not allowed in the hall.")["turned_words"] == 0.0
    assert seen("The rate will not increase.")["turned_words"] >= 1.0


def test_the_opposite_of_what_the_closest_passage_says_is_noticed() -> None:
    assert seen("The rate will decrease.")["opposites"] == 1.0
    assert seen("The rate will increase.")["opposites"] == 0.0


@given(st.text(max_size=200), st.lists(st.text(max_size=200), max_size=3))
def test_any_text_gives_finite_features_within_their_bounds(claim: str, documents: list[str]) -> None:
    reference = read_reference(documents, [sentences(text) for text in documents], None)
    values = agreement(tokenize(claim), reference.places, reference.triples, frozenset(), weigh)
    assert len(values) == len(AGREEMENT_FEATURES)
    assert all(0 <= value <= 3 for value in values)
