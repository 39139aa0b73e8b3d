import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.redact import Redactor, iban, luhn
from undertow.config import RedactionSettings
from undertow.errors import ConfigError


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor(RedactionSettings())


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("write to anna.b@example.co.uk please", "[EMAIL]"),
        ("card 4111 1111 1111 1111 was refused", "[CARD]"),
        ("transfer to DE89 3704 0044 0532 0130 00 today", "[IBAN]"),
        ("my number is +49 170 1234567", "[PHONE]"),
        ("call (555) 010-4477", "[PHONE]"),
        ("ssn 078-05-1120", "[NATIONAL_ID]"),
        ("from 192.168.17.4 at noon", "[IP_ADDRESS]"),
        ("key sk-abcdefghijklmnop1234", "[CREDENTIAL]"),
        ("Authorization: Bearer abcdefghijklmnopqrstu", "[CREDENTIAL]"),
        ('{"password": "hunter2hunter2"}', "[CREDENTIAL]"),
    ],
)
def test_what_is_personal_or_secret_is_replaced_by_its_kind(redactor: Redactor, text: str, mark: str) -> None:
    assert mark in redactor.text(text)


@pytest.mark.parametrize(
    "text",
    [
        "order 4111111111111112 has no valid check digit",
        "the fee was 1,250.00 on 2026-11-21 at 10:45:12",
        "version 3.11.7 of the library, release 2026.11.21",
        "build 999.999.999.999",
        "DE12 3456 7890 1234 5678 90",
    ],
)
def test_what_only_looks_like_a_secret_stays(redactor: Redactor, text: str) -> None:
    assert redactor.text(text) == text


def test_records_are_redacted_in_place_and_ids_are_exempt(redactor: Redactor) -> None:
    record = {
        "trace_id": "0" * 32,
        "name": "mail bob@example.org",
        "facts": {
            "response_id": "bob@example.org",
            "input_messages": [{"role": "user", "content": "I am bob@example.org\n4111111111111111"}],
            "documents": [{"document_id": "a@b.io", "content": "10.0.0.1"}],
        },
        "attributes": {"deep": [["x", {"y": "sk-abcdefghijklmnop1234"}]]},
    }
    before = redactor.counts["EMAIL"]
    redactor.records([record])
    assert record["facts"]["input_messages"][0]["content"] == "I am [EMAIL]\n[CARD]"
    assert record["facts"]["documents"][0] == {"document_id": "a@b.io", "content": "[IP_ADDRESS]"}
    assert record["attributes"]["deep"][0][1]["y"] == "[CREDENTIAL]"
    assert record["facts"]["response_id"] == "bob@example.org"
    assert redactor.counts["EMAIL"] == before + 2


def test_a_keyed_hash_keeps_equal_secrets_equal() -> None:
    hashing = Redactor(RedactionSettings(mode="hash", key="k"))
    one, two = hashing.text("a@b.io and c@d.io and a@b.io").split(" and ")[:2]
    assert one != two
    assert hashing.text("a@b.io") == one


def test_own_patterns_are_applied_and_a_bad_one_is_named() -> None:
    assert Redactor(RedactionSettings(patterns={"badge": r"EMP-[0-9]{6}"})).text("EMP-123456") == "[BADGE]"
    with pytest.raises(ConfigError, match="BADGE"):
        Redactor(RedactionSettings(patterns={"badge": "("}))


def test_the_hash_mode_asks_for_a_key() -> None:
    with pytest.raises(ConfigError, match=r"redaction\.key"):
        Redactor(RedactionSettings(mode="hash"))


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_planted_card_or_address_survives_any_surroundings(redactor: Redactor, before: str, after: str) -> None:
    cleaned = redactor.text(f"{before} kim@example.net 5500005555555559 {after}")
    assert "kim@example.net" not in cleaned
    assert "5500005555555559" not in cleaned


@given(st.from_regex(r"[0-9]{12,18}", fullmatch=True))
def test_exactly_one_check_digit_makes_a_card(digits: str) -> None:
    valid = [d for d in "0123456789" if luhn(digits + d)]
    assert len(valid) == (0 if len(set(digits + valid[0] if valid else digits)) == 1 else 1)


def test_check_digits_of_the_standards_examples() -> None:
    assert iban("GB82 WEST 1234 5698 7654 32")
    assert not iban("GB82 WEST 1234 5698 7654 33")
