from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.groundedness import load_scorer
from analysis.groundedness.citations import first_number, read_citations

DOCUMENTS = [
    "The ferry to Aldra leaves Port Ness at 8:15 every Friday. Tickets cost 24 euros for adults.",
    "Dogs are not allowed in the restaurant. The crossing takes three hours in calm weather.",
]


@pytest.mark.parametrize(
    ("sentence", "cited"),
    [
        ("According to passage 2, dogs are not allowed.", {1}),
        ("Dogs are not allowed (Document 2).", {1}),
        ("Dogs are not allowed [2].", {1}),
        ("Both say so (Passages 1 and 2).", {0, 1}),
        ("Sources #1, 2 agree.", {0, 1}),
        ("It says so in passage 1 and passage 2.", {0, 1}),
        ("It says so in passages 1, and 2.", {0, 1}),
        ("According to passage 1, 10 minutes are enough.", {0}),
        ("They cost 5 (Passages 2 and 7).", {1}),
        ("The years [1, 7] are missing.", set()),
        ("It began in [1998].", set()),
        ("Document 7 is a form.", set()),
        ("The documents 1.5 metres long are old.", set()),
        ("Tickets cost 24 euros.", set()),
        ("Dogs are not allowed [2](https://ferry.example/rules?id=77).", {1}),
        ("See [the rules](https://ferry.example/rules/2).", set()),
    ],
)
def test_documents_are_cited_by_number_from_one_on(sentence: str, cited: set[int]) -> None:
    blanked, found = read_citations(sentence, 2)
    assert found == cited
    assert (blanked == sentence) is not bool(cited)


@pytest.mark.parametrize(
    ("response", "cited"),
    [
        ("Dogs are not allowed [1]. They cost 24 euros [0].", {0, 1}),
        ("Document 0 says so.", {0}),
        ("It says so [0-2].", {0, 1, 2}),
        ("Between [0, 5] degrees [1].", {0}),
        ("Both [0] and [3].", {2}),
    ],
)
def test_an_answer_that_cites_a_document_0_counts_from_zero(response: str, cited: set[int]) -> None:
    assert read_citations(response, 3, first_number(response, 3))[1] == cited


@pytest.mark.parametrize("mark", ["(documents 1-3)", "[1–3]", "Passages 1 - 3", "[1, 2-3]"])
def test_a_range_cites_what_lies_between(mark: str) -> None:
    assert read_citations(mark, 3)[1] == {0, 1, 2}


@pytest.mark.parametrize("mark", ["[1]", "[^1]", "【4:0†source】", "(documents 1-2)", "[0]", "[1](https://a.b/c?d=77)"])
def test_the_way_of_citing_makes_no_supported_claim_suspect(mark: str) -> None:
    claim = load_scorer("lexical").score(f"Tickets cost 24 euros for adults {mark}.", DOCUMENTS)
    assert claim.risk is not None and claim.risk < 0.15


def test_only_the_numbers_of_documents_are_blanked() -> None:
    assert read_citations("According to passage 1, 10 minutes are enough.", 3)[0] == (
        "According to          , 10 minutes are enough."
    )


def test_a_long_gap_costs_no_more_than_its_length() -> None:
    gap = "source" + " " * 200_000 + "x"
    assert read_citations(gap, 2) == (gap, frozenset())


@given(st.text(max_size=120), st.integers(0, 12))
def test_blanking_keeps_offsets_and_cites_only_what_is_there(sentence: str, documents: int) -> None:
    blanked, cited = read_citations(sentence, documents)
    assert len(blanked) == len(sentence)
    assert all(0 <= index < documents for index in cited)
    assert all(a in (b, " ") for a, b in zip(blanked, sentence, strict=True))


def test_naming_the_right_document_is_less_suspect_than_naming_another() -> None:
    scorer = load_scorer("lexical")
    right = scorer.score("According to passage 2, the crossing takes three hours in calm weather.", DOCUMENTS)
    wrong = scorer.score("According to passage 1, the crossing takes three hours in calm weather.", DOCUMENTS)
    assert (wrong.claims[0].support or 0) < (right.claims[0].support or 0)


def test_the_number_of_a_cited_document_is_no_invented_number() -> None:
    scorer = load_scorer("lexical")
    plain = scorer.score("Tickets cost 24 euros for adults.", DOCUMENTS)
    cited = scorer.score("Tickets cost 24 euros for adults (Passage 1).", DOCUMENTS)
    assert cited.risk is not None and plain.risk is not None
    assert not cited.ungrounded
    assert cited.claims[0].verdict == "supported"


def test_a_sentence_that_is_only_a_citation_is_no_claim_and_names_the_source_of_the_one_before() -> None:
    scorer = load_scorer("lexical")
    right = scorer.score("Tickets cost 24 euros for adults.\n\n(Passage 1)", DOCUMENTS).claims
    wrong = scorer.score("Tickets cost 24 euros for adults.\n\n(Passage 2)", DOCUMENTS).claims
    assert [claim.verdict for claim in right] == ["supported", "not_a_claim"]
    assert (wrong[0].support or 0) < (right[0].support or 0)
