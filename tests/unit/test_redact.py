import copy
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import server
from collector.redact import Redactor
from collector.redact_key import installation_key
from collector.redact_patterns import iban, luhn
from undertow.config import load_settings
from undertow.errors import ConfigError, StoreError
from undertow.settings import Settings
from undertow.settings.doors import RedactionSettings

KEY = b"of this installation"


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor(RedactionSettings(), KEY)


def marked(kind: str, secret: object) -> str:
    """What stands in an id instead of a secret."""
    return f"[{kind}:{hmac.new(KEY, str(secret).encode(), hashlib.sha256).hexdigest()[:12]}]"


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("write to anna.b@example.co.uk please", "[EMAIL]"),
        ("card 4111 1111 1111 1111 was refused", "[CARD]"),
        ("cards 12 4111 1111 1111 1111 7 days", "12 [CARD] 7"),
        ("5500-0055-5555-5559, and 378282246310005", "[CARD], and [CARD]"),
        ("Amex 3782 822463 10005, Diners 30569309025904", "Amex [CARD], Diners [CARD]"),
        ("UnionPay 6205500000000000004", "UnionPay [CARD]"),
        ("from 2001:db8::8a2e:370:7334 and fe80::1ff:fe23:4567:890a", "from [IP_ADDRESS] and [IP_ADDRESS]"),
        ("transfer to DE89 3704 0044 0532 0130 00 today", "[IBAN]"),
        ("my number is +49 170 1234567", "[PHONE]"),
        ("call (555) 010-4477", "[PHONE]"),
        ("ssn 078-05-1120", "[NATIONAL_ID]"),
        ("from 192.168.17.4 at noon", "[IP_ADDRESS]"),
        ("key sk-abcdefghijklmnop1234", "[CREDENTIAL]"),
        ("Authorization: Bearer abcdefghijklmnopqrstu", "[CREDENTIAL]"),
        ('{"password": "hunter2hunter2"}', "[CREDENTIAL]"),
        ("export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIK7MDENGbPxRfiCY", "[CREDENTIAL]"),
        ("OPENAI_API_KEY: abcdefgh", "[CREDENTIAL]"),
        ("see https://app.example/?mail=kim%40example.net&x=1", "mail=[EMAIL]&x=1"),
        ("postgres://bank:pa55word@db.internal/x", "[CREDENTIAL]"),
        ("'Authorization': 'Basic dXNlcjpwYXNzd29yZA=='", "[CREDENTIAL]"),
        ("use ASIAABCDEFGHIJKLMNOP or sk_live_abcdefghijklmnop", "use [CREDENTIAL] or [CREDENTIAL]"),
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
        "0.5686274509803921 and 1.5686274509803921",
        "archived 20151013030736, at 1790000000000000 us, 1790000000000003 ns",
        "1715 1715-1754 1754 and 01101110 00100000 and 978 0966502039",
        "server 127.0.0.1:4318 and 0.0.0.0",
        "ISBN: 951-22-5214-7",
        "std::beef::cafe, fade::bed, 00:1b:44:11:3a:b7, 12:30::",
    ],
)
def test_what_only_looks_like_a_secret_stays(redactor: Redactor, text: str) -> None:
    assert redactor.text(text) == text


def test_records_are_redacted_in_place(redactor: Redactor) -> None:
    record = {
        "trace_id": "0" * 32,
        "name": "mail bob@example.org",
        "facts": {
            "response_id": "resp-555-010-4477",
            "input_messages": [{"role": "user", "content": "I am bob@example.org\n4111111111111111"}],
            "documents": [{"document_id": "v10.0.0.1", "content": "10.0.0.1"}],
        },
        "attributes": {"deep": [["x", {"y": "sk-abcdefghijklmnop1234"}]]},
    }
    before = redactor.counts["EMAIL"]
    redactor.records([record])
    assert record["facts"]["input_messages"][0]["content"] == "I am [EMAIL]\n[CARD]"
    assert record["facts"]["documents"][0] == {"document_id": "v10.0.0.1", "content": "[IP_ADDRESS]"}
    assert record["attributes"]["deep"][0][1]["y"] == "[CREDENTIAL]"
    assert record["facts"]["response_id"] == "resp-555-010-4477"
    assert redactor.counts["EMAIL"] == before + 2


SECRETS = {
    "kim@example.net": "EMAIL",
    "5500 0055 5555 5559": "CARD",
    "sk-abcdefghijklmnop1234": "CREDENTIAL",
    "078-05-1120": "NATIONAL_ID",
}
EXEMPT_NAMES = (
    "record_id kind trace_id span_id parent_span_id operation service_name environment scope_name dialect status flags"
    " id response_id tool_call_id document_id provider request_model response_model finish_reason start_ns target"
)
FREE_PLACES = ("attributes", "events", "resource", "arguments", "result", "parameters", "metadata", "value")

names = st.sampled_from([*EXEMPT_NAMES.split(), "customer.id", "user.id", "facts", "content"])
keys = names | st.sampled_from(sorted(SECRETS)).map(lambda secret: f"for {secret} only")
contents = st.recursive(
    st.sampled_from([*SECRETS, "nothing", 7, None]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(keys, below, max_size=4),
    max_leaves=12,
)


def record_with(place: str, content: object) -> dict[str, Any]:
    call = {"id": "call_1", "name": "look_up", "arguments": content if place == "arguments" else {}}
    document = {"document_id": "d1", "content": "x", "metadata": {"m": content} if place == "metadata" else None}
    facts = {
        "response_id": "resp-1",
        "tool_calls": [call],
        "input_messages": [{"role": "assistant", "content": None, "tool_calls": [call], "tool_call_id": "call_0"}],
        "documents": [document],
        "tool_result": content if place == "result" else None,
        "parameters": {"p": content} if place == "parameters" else {},
    }
    record = {"record_id": "span:1", "trace_id": "0" * 32, "start_ns": 1_790_000_000_000_000_000, "facts": facts}
    return {
        **record,
        "attributes": {"a": content} if place == "attributes" else {},
        "events": [{"name": "e", "attributes": {"a": content}}] if place == "events" else [],
        "resource": {"r": content} if place == "resource" else {},
        "feedback": {"id": "f", "target": {"trace_id": "0"}, "value": content if place == "value" else 1},
    }


@settings(max_examples=150, deadline=None)
@given(place=st.sampled_from(FREE_PLACES), content=contents)
def test_no_secret_survives_in_content_whatever_it_is_called_or_as_a_name_itself(
    redactor: Redactor, place: str, content: object
) -> None:
    def size(node: object) -> int:
        below = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        return 1 + sum(size(item) for item in below)

    record = record_with(place, content)
    before = size(record)
    redactor.records([record])
    record.pop("redactions", None)
    told = json.dumps(record)
    assert [secret for secret in SECRETS if secret in told] == []
    assert size(record) == before
    assert record["facts"]["tool_calls"][0]["id"] == "call_1"


def test_what_the_collector_makes_itself_stays(redactor: Redactor) -> None:
    odd = "ann@example.com"
    record = record_with("attributes", odd) | {"span_id": odd, "start_ns": 4111111111111111}
    kept = copy.deepcopy({**record, "attributes": {"a": "[EMAIL]"}, "redactions": {"EMAIL": 1}})
    redactor.records([record])
    assert record == kept


def with_ids(value: object) -> dict[str, Any]:
    record = record_with("attributes", "kim@example.net")  # so that the record is looked at closely
    record["facts"] |= dict.fromkeys(("request_model", "response_model", "response_id", "tool_call_id"), value)
    record["facts"]["tool_calls"][0]["id"] = value
    record["facts"]["input_messages"][0]["tool_call_id"] = value
    record["facts"]["documents"][0]["document_id"] = value
    record["facts"]["judgements"] = [{"name": "n", "response_id": value}]
    record["feedback"] |= {"id": value, "target": dict.fromkeys(("trace_id", "span_id", "response_id"), value)}
    record["change"] = {"id": value}
    return record


@pytest.mark.parametrize(
    "name",
    [
        "chatcmpl-AbC0123456789",
        "call_9xY7pQ2mN4kL",
        "toolu_01A09q90qw90lq917835lq9",
        "3f8e1b7a-12d4-4c3e-9a57-0123456789ab",
        "00000000000000000000000000000042",
        "1790000000000000000",
        "123-45-6789",
        "555-010-4477",
        "arn:aws:bedrock:eu-west-1:123456789012:model/x.y-v1:0",
        "claude-3-5-sonnet@20240620",
        "docs/handbook/2026.11.21#page=3",
        "10.0.0.1",
    ],
)
def test_what_looks_like_an_id_or_a_model_stays_where_ids_stand(redactor: Redactor, name: str) -> None:
    record = with_ids(name)
    kept = copy.deepcopy({**record, "attributes": {"a": "[EMAIL]"}, "redactions": {"EMAIL": 1}})
    redactor.records([record])
    assert record == kept


@pytest.mark.parametrize(
    ("name", "kind", "secret"),
    [
        ("ann@example.com", "EMAIL", "ann@example.com"),
        ("call-7/ann%40example.com", "EMAIL", "ann%40example.com"),
        ("card:4111111111111111", "CARD", "4111111111111111"),
        ("call_4111111111111111_2", "CARD", "4111111111111111"),
        ("5500-0055-5555-5559", "CARD", "5500-0055-5555-5559"),
        (4111111111111111, "CARD", "4111111111111111"),
        ("DE89370400440532013000", "IBAN", "DE89370400440532013000"),
        ("sk-abcdefghijklmnop1234", "CREDENTIAL", "sk-abcdefghijklmnop1234"),
        ("my number is 555-010-4477", "PHONE", "555-010-4477"),
        ("x" * 250 + " 078-05-1120", "NATIONAL_ID", "078-05-1120"),
    ],
)
def test_what_only_stands_where_ids_stand_is_redacted(redactor: Redactor, name: object, kind: str, secret: str) -> None:
    record = with_ids(name)
    left = str(name).replace(secret, marked(kind, secret))
    expected = with_ids(left) | {"attributes": {"a": "[EMAIL]"}}
    redactor.records([record])
    assert {key: value for key, value in record.items() if key != "redactions"} == expected


def people(name: str) -> dict[str, Any]:
    return {
        "facts": {"user_id": name, "session_id": f"chat of {name}", "response": f"Dear {name}"},
        "feedback": {"target": {"session_id": f"chat of {name}"}, "author": name, "comment": name},
    }


def test_users_and_sessions_named_by_an_address_are_masked_and_stay_apart(redactor: Redactor) -> None:
    marks = set()
    for name in ("ann@example.com", "bob@example.com"):
        record = people(name)
        redactor.records([record])
        mark = marked("EMAIL", name)
        assert record["facts"] == {"user_id": mark, "session_id": f"chat of {mark}", "response": "Dear [EMAIL]"}
        assert record["feedback"] == {
            "target": {"session_id": f"chat of {mark}"},
            "author": mark,
            "comment": "[EMAIL]",
        }
        marks.add(mark)
    assert len(marks) == 2


def test_the_key_of_the_settings_goes_before_that_of_the_installation() -> None:
    def user(settings: RedactionSettings, key: bytes | None) -> str:
        record = people("ann@example.com")
        Redactor(settings, key).records([record])
        return str(record["facts"]["user_id"])

    chosen = RedactionSettings(key="chosen")
    assert user(chosen, b"one") == user(chosen, b"two") == user(RedactionSettings(mode="hash", key="chosen"), None)
    assert user(RedactionSettings(), b"one") != user(RedactionSettings(), b"two")
    assert user(RedactionSettings(), None) != user(RedactionSettings(), None)


def test_an_installation_has_one_key_that_only_its_owner_may_read(tmp_path: Path) -> None:
    (tmp_path / "redaction.tmp").write_text("half a k")  # of a start that was killed
    key = installation_key(tmp_path)
    assert len(key) == 32
    assert installation_key(tmp_path) == key
    assert [(path.name, path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [("redaction.key", 0o600)]


@pytest.mark.parametrize("text", ["not a key", "", "00ff"])
def test_a_file_that_holds_no_whole_key_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "redaction.key").write_text(text)
    with pytest.raises(StoreError, match="restore the file"):
        installation_key(tmp_path)


@pytest.mark.parametrize("settings", [RedactionSettings(), RedactionSettings(key="")])
def test_a_collector_without_a_key_in_its_settings_keeps_that_of_its_folder(
    tmp_path: Path, settings: RedactionSettings
) -> None:
    def user() -> str:
        record = people("ann@example.com")
        server._redactor(Settings(data_dir=tmp_path, redaction=settings)).records([record])
        return str(record["facts"]["user_id"])

    assert user() == user()


def test_two_entries_named_by_secrets_stay_two_entries_in_their_order(redactor: Redactor) -> None:
    record = {"attributes": {"a@b.io": 1, "[EMAIL] 2": 2, "c@d.io": 3, "last": 4}}
    redactor.records([record])
    assert record["attributes"] == {"[EMAIL]": 1, "[EMAIL] 2": 2, "[EMAIL] 3": 3, "last": 4}
    assert list(record["attributes"]) == ["[EMAIL]", "[EMAIL] 2", "[EMAIL] 3", "last"]


def test_arguments_lose_card_numbers_and_passwords_that_only_their_names_tell(redactor: Redactor) -> None:
    arguments = {"card": 4111111111111111, "count": 4111, "password": "hunter2hunter2", "at_ns": 1790000000000000007}
    record = {"facts": {"tool_calls": [{"id": "c", "name": "pay", "arguments": arguments}]}}
    redactor.records([record])
    assert record["facts"]["tool_calls"][0]["arguments"] == {
        "card": "[CARD]",
        "count": 4111,
        "password": "[CREDENTIAL]",
        "at_ns": 1790000000000000007,
    }


def test_text_that_is_no_valid_unicode_is_redacted_too(redactor: Redactor) -> None:
    record = {"attributes": {"a": "\ud800 kim@example.net"}}
    redactor.records([record])
    assert record["attributes"]["a"] == "? [EMAIL]"


def test_an_own_pattern_may_be_anchored() -> None:
    record = {"name": "other", "attributes": {"badge": "EMP-123456", "note": "not EMP-123456"}}
    Redactor(RedactionSettings(patterns={"badge": r"^EMP-[0-9]{6}$"})).records([record])
    assert record["attributes"] == {"badge": "[BADGE]", "note": "not EMP-123456"}


def test_a_keyed_hash_keeps_equal_secrets_equal() -> None:
    hashing = Redactor(RedactionSettings(mode="hash", key="k"))
    one, two = hashing.text("a@b.io and c@d.io and a@b.io").split(" and ")[:2]
    assert one != two
    assert hashing.text("a@b.io") == one


@pytest.mark.parametrize(
    ("expression", "text", "clean"),
    [
        (r"EMP-[0-9]{6}", "EMP-123456", "[OWN]"),
        (r"\b[0-9]{4}\b", "1234", "[OWN]"),
        (r"é{2}", "née, créée, éé", "née, cr[OWN]e, [OWN]"),
        (r"Name: .{3}$", "Name: Zoë", "[OWN]"),
        (r"\AKim\z", "Kim", "[OWN]"),
        (r"(?i)größe [0-9]+", "GRÖßE 44", "[OWN]"),
        (r"^PIN [0-9]+$", "PIN 99", "[OWN]"),
    ],
)
@pytest.mark.parametrize("engine", ["hyperscan", "re2"])
def test_own_patterns_find_what_they_say_in_texts_of_any_length_and_language(
    monkeypatch: pytest.MonkeyPatch, engine: str, expression: str, text: str, clean: str
) -> None:
    if engine == "re2":
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    record = {"name": "other", "attributes": {"a": text, "b": "nothing \ud800 here", "c": [text]}}
    Redactor(RedactionSettings(patterns={"own": expression})).records([record])
    assert record["attributes"] == {"a": clean, "b": record["attributes"]["b"], "c": [clean]}
    assert record["redactions"]["OWN"] >= 2


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"PATTERNS": '{"badge": "("}'},
            r"redaction.patterns .*'badge' is not a regular expression of RE2: missing \)",
        ),
        ({"PATTERNS": '{"badge": "(?=x)"}'}, "'badge' is not a regular expression of RE2"),
        ({"PATTERNS": '{"badge": "x*"}'}, "'badge' also matches where nothing stands"),
        ({"PATTERNS": '{"two words": "x"}'}, "'two words': a name is a letter and"),
        ({"MODE": "hash"}, r"'hash' needs redaction\.key"),
        ({"MODE": "hash", "KEY": ""}, r"'hash' needs redaction\.key"),
    ],
)
def test_redaction_that_cannot_work_is_refused_at_the_start(
    variables: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings(env={f"UNDERTOW_REDACTION__{k}": v for k, v in variables.items()}, folder=tmp_path)


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
