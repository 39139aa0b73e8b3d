from __future__ import annotations

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest

from analysis.groundedness import load_scorer
from analysis.groundedness.head import Calibration, Head, sigmoid
from analysis.groundedness.kinds import is_claim, looks_english, response_sentences
from analysis.groundedness.lexical import READER, LexicalScorer, bundled_weights
from analysis.groundedness.tokens import NAME, NUMBER, claim_start, plain_number, stem, tokenize

BANK = json.loads((Path(__file__).parents[1] / "testdata" / "bank_answers.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def scored() -> list[tuple[dict, object, object]]:
    scorer = load_scorer("lexical")
    return [
        (
            pair,
            scorer.score(pair["grounded"], pair["documents"], pair["query"]),
            scorer.score(pair["invented"], pair["documents"], pair["query"]),
        )
        for pair in BANK
    ]


def test_short_answers_with_invented_facts_are_told_from_grounded_ones(scored: list) -> None:
    # The pairs were written by hand and are no training data; a few may fail without alarm.
    caught = sum(invented.ungrounded for _, _, invented in scored)
    alarmed = sum(grounded.ungrounded for _, grounded, _ in scored)
    assert len(scored) >= 40
    assert caught >= 0.9 * len(scored)
    assert alarmed <= 0.05 * len(scored)
    assert all(invented.risk > grounded.risk for _, grounded, invented in scored)


def test_the_invented_sentence_is_the_one_that_is_marked(scored: list) -> None:
    marked = sum(
        any(claim.text == pair["invention"] and claim.verdict == "unsupported" for claim in invented.claims)
        for pair, _, invented in scored
    )
    others = [
        claim.verdict == "unsupported"
        for pair, grounded, invented in scored
        for claim in (*grounded.claims, *invented.claims)
        # A pair with two wrong figures names one of them.
        if claim.text in pair["grounded"]
    ]
    assert marked >= 0.9 * len(scored)
    assert np.mean(others) <= 0.05


def test_evidence_is_the_closest_sentence_of_the_right_document(scored: list) -> None:
    pair, grounded, _ = scored[3]
    claim = grounded.claims[0]
    assert claim.document == 1
    assert claim.evidence.text == "After three wrong PIN entries the card is blocked automatically."


def test_a_number_may_come_from_the_question() -> None:
    document = ["Transfers above the daily limit need a second approval by the branch."]
    response = "Transfers of EUR 8,250 above the daily limit need a second approval."
    scorer = load_scorer()
    asked = scorer.score(response, document, "Can I send EUR 8250 above my limit?")
    unasked = scorer.score(response, document)
    assert asked.risk < unasked.risk


def test_numbers_are_compared_by_value() -> None:
    assert plain_number("1,200.00") == plain_number("1200") == plain_number("1200.0") == plain_number("1'200")
    assert plain_number("9:00") == "9"
    assert plain_number("007") == "7"
    assert plain_number("0") == "0"
    assert tokenize("within five days").form == tokenize("within 5 days").form


def test_names_are_capitalised_words_inside_a_sentence() -> None:
    tokens = tokenize("Call Lufthansa in Bonn. Then wait for IBAN checks.")
    assert [f for f, k in zip(tokens.form, tokens.kind, strict=True) if k == NAME] == ["lufthansa", "bonn", "iban"]
    assert NUMBER not in tokens.kind


@pytest.mark.parametrize(
    ("one", "other"), [("charged", "charges"), ("policies", "policy"), ("withdrawals", "withdrawal"), ("paying", "pay")]
)
def test_inflections_share_a_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


def test_a_list_marker_is_no_part_of_the_claim() -> None:
    assert claim_start("3. Pay 5 euros.", 0, 15) == 3
    assert claim_start("- Pay", 0, 5) == 2
    assert claim_start("3.5 percent", 0, 11) == 0
    assert claim_start("12 days", 0, 7) == 0


@pytest.mark.parametrize(
    "sentence",
    ["Hello there!", "How can I help you today?", "I hope this helps.", "I'm sorry, I can't help with that.", "Yes.",
     "I could not find this in the documents.", "Here are the steps:", "***",
     "Please let me know if you have any questions.", "Hello, how may I help you?", "Sure, I can help you with that.",
     "Got it.", "Thank you for your patience.", "Sorry, I didn't understand your question.", "You're welcome!",
     "(Not mentioned in the passages)", "The documents say nothing about fees in 2031.", "```\nfee = 5\n```"],
)  # fmt: skip
def test_small_talk_questions_and_refusals_are_no_claims(sentence: str) -> None:
    assert not is_claim(sentence)


@pytest.mark.parametrize(
    "sentence",
    ["The fee is waived for students.", "I don't know why, but the account is free for members.", "It costs EUR 5.",
     "Sorry for the delay, the transfer of 300 euros was executed.", "You can block the card in the app.",
     "Hello, the card is free.", "Sorry, the app was discontinued.", "Here is the thing: the branch is closed.",
     "Welcome gifts are sent to new customers.", "Absolutely free for students.",
     "I see that you paid the invoice in March.", "I am happy to confirm that breakfast is included.",
     "The documents say nothing about students, the others pay 20 euros."],
)  # fmt: skip
def test_statements_are_claims(sentence: str) -> None:
    assert is_claim(sentence)


def test_what_stands_behind_a_block_of_code_is_judged() -> None:
    thought = "<think>\nIt may be 80.\n</think>\n"
    response = f"{thought}Run this:\n```sql\nSELECT 1;\n```\nThe fee is 90 euros.\r\n\r\nIt is due in May."
    claims = load_scorer().score(response, ["The fee is 20 euros and due in May. Run the query once a month."]).claims
    assert [claim.text for claim in claims if claim.verdict != "not_a_claim"] == [
        "The fee is 90 euros.",
        "It is due in May.",
    ]
    assert [claim.text[:7] for claim in claims[:3]] == ["<think>", "Run thi", "```sql\n"]


def test_the_versions_of_both_weights_tell_how_answers_are_read() -> None:
    assert {load_scorer(name).version.partition("-")[0] for name in ("lexical", "encoder")} == {str(READER)}


def test_a_sentence_that_names_a_mark_of_thoughts_opens_no_block() -> None:
    response = "Thoughts stand behind <think> in the log. The fee is 90 euros."
    said = [response[slice(*span)] for span in response_sentences(response)]
    assert said == ["Thoughts stand behind <think> in the log.", "The fee is 90 euros."]


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("The fee is waived for students.", True),
        ("Arthur's Magazine", True),
        ("EUR 12", True),
        ("", True),
        ("Die Gebühr entfällt für Studenten und Auszubildende.", False),
        ("La comisión es de 25 euros al mes para los clientes", False),
        ("手数料は25ユーロです", False),
    ],
)
def test_english_is_recognised(text: str, english: bool) -> None:
    assert looks_english(text) is english


def test_a_head_survives_its_json() -> None:
    rng = np.random.default_rng(0)
    head = Head(rng.normal(size=3), np.ones(3), rng.normal(size=3), np.triu(rng.normal(size=(3, 3))), 0.5, 3.0)
    x = rng.normal(size=(20, 3)) * 3
    again = Head.from_json(json.loads(json.dumps(head.to_json())))
    np.testing.assert_allclose(again.logit(x), head.logit(x), rtol=1e-4, atol=1e-4)
    z = np.clip(x - head.mean, -3, 3)
    by_hand = [r @ head.linear + r @ head.quadratic @ r + 0.5 for r in z]
    np.testing.assert_allclose(head.logit(x), by_hand)


def test_probability_follows_the_prior_and_the_threshold_follows_it() -> None:
    rng = np.random.default_rng(1)
    positive, negative = rng.normal(1.0, 1.4, 4000), rng.normal(-1.0, 1.4, 4000)
    calibration = Calibration(1.0, 0.0, 0.5, positive, negative)
    assert calibration.probability(0.0, 0.5) == pytest.approx(0.5)
    assert calibration.probability(0.0, 0.2) == pytest.approx(0.2)
    decided = []
    for prior in (0.1, 0.3, 0.5, 0.8):
        threshold = calibration.threshold(prior)
        decided.append(np.log(threshold / (1 - threshold)) - calibration.shift(prior))
    # Where few are ungrounded, more evidence is asked for.
    assert decided == sorted(decided, reverse=True)


def test_sigmoid_does_not_overflow() -> None:
    assert sigmoid(np.array([-1e6, 0.0, 1e6])).tolist() == [0.0, 0.5, 1.0]


def test_the_weights_state_data_seed_and_figures() -> None:
    path = Path(__file__).parents[2] / "analysis" / "groundedness" / "weights" / "lexical.json"
    body = json.loads(path.read_text(encoding="utf-8"))
    assert body["trained_on"]["seed"]
    assert body["figures"]["auroc"] > body["figures"]["auroc_length_alone"]
    assert body["version"] == bundled_weights().version
    assert path.stat().st_size < 200_000


def test_three_hundred_answers_take_about_a_second_of_one_core() -> None:
    scorer = LexicalScorer()
    documents = [" ".join(BANK[i]["documents"]) * 2 for i in (0, 7, 14)]
    response = " ".join(pair["invented"] for pair in BANK[:8])
    scorer.score(response, documents)
    start = time.process_time()
    for _ in range(30):
        scorer.score(response, documents)
    # Four times the bench's bar: this only catches a change of complexity.
    assert (time.process_time() - start) / 30 < 4 / 300


@pytest.mark.parametrize(
    ("response", "documents", "reason"),
    [
        ("Die Karte kostet im Monat zwei Euro und fünfzig Cent.", ["The card is free."], "the response is .*\\(de\\)"),
        ("The card is free of charge.", ["La carte coûte deux euros par mois."], "the documents are .*\\(fr\\)"),
    ],
)
def test_what_is_in_another_language_is_said_to_be_in_which(response: str, documents: list[str], reason: str) -> None:
    result = load_scorer("lexical").score(response, documents)
    assert result.status == "not_evaluated"
    assert re.match(reason, result.reason)


def test_the_beginning_of_a_block_of_code_is_no_claim() -> None:
    response = "The card is free.\n\n```python\nfee = 0\nprint(fee)\n```\n"
    claims = load_scorer("lexical").score(response, ["The card is free."]).claims
    assert [claim.verdict for claim in claims] == ["supported", "not_a_claim"]
