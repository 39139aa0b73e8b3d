"""No planted secret reaches the journal, an answer or a log, wherever in a request it stands."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.courtesy import Courtesy
from collector.intake import Intake
from collector.normalise import normalise_logs, normalise_traces
from collector.redact import Redactor
from collector.redact_patterns import iban, luhn
from collector.segments import Recovery
from collector.telemetry import Telemetry
from tests.telemetry_factory import logs_body, spans_body
from undertow.errors import MalformedError
from undertow.settings.doors import RedactionSettings


class Kept:
    """A journal that remembers what it was given."""

    durable = 0
    recovery = Recovery()

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def append(self, payload: bytes, items: int) -> Future[int]:
        self.payloads.append(payload)
        done: Future[int] = Future()
        done.set_result(1)
        return done


def intake(journal: Kept, redactor: Any) -> Intake:
    return Intake(
        journal,  # type: ignore[arg-type] # all that the intake uses of one
        normalisers={"traces": normalise_traces, "logs": normalise_logs},
        redactor=redactor,
        courtesy=Courtesy(),
        telemetry=Telemetry(),
        max_body_bytes=2**24,
        max_backlog_bytes=2**24,
    )


OWN = {"badge": r"EMP-[0-9]{6}", "ward": r"\bStation [A-Z]\b"}
REDACTOR = Redactor(RedactionSettings(patterns=OWN))
letters, digits = "abcdefghijklmnopqrstuvwxyz", "0123456789"


def text_of(alphabet: str, shortest: int, longest: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=shortest, max_size=longest)


def checked(stem: str, valid: Any, candidates: list[str]) -> str:
    return next((c for c in candidates if valid(c)), stem)


def _card(stem: str, gap: str) -> str:
    number = checked("4111111111111111", luhn, [f"4{stem}{d}" for d in digits])
    return gap.join(number[i : i + 4] for i in range(0, 16, 4))


def _iban(stem: str, gap: str) -> str:
    number = checked("", iban, [f"DE{check:02d}{stem}" for check in range(100)])
    return gap.join(number[i : i + 4] for i in range(0, len(number), 4))


SECRETS = st.one_of(
    st.builds(_card, text_of(digits, 14, 14), st.sampled_from(["", " ", "-"])),
    st.builds(_iban, text_of(digits, 18, 18), st.sampled_from(["", " "])),
    st.builds("{}.{}@{}.example.org".format, *(text_of(letters, 1, 12) for _ in range(3))),
    st.builds("sk-{}".format, text_of(letters + digits, 20, 48)),
    st.builds("ghp_{}".format, text_of(letters + digits, 36, 36)),
    st.builds("AKIA{}".format, text_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16, 16)),
    st.builds("+49 170 {}".format, text_of(digits, 7, 7)),
    st.builds("{}-{}-{}".format, text_of(digits, 3, 3), text_of(digits, 2, 2), text_of(digits, 4, 4)),
    st.builds("10.{}.{}.77".format, st.integers(0, 255), st.integers(0, 255)),
    st.builds("EMP-{}".format, text_of(digits, 6, 6)),
    st.sampled_from(["Station K"]),
)
AROUND = st.text(st.characters(codec="utf-8", exclude_categories=("L", "N")), max_size=8).map(
    lambda text: text.translate({ord(c): " " for c in "-_.@+%/="})
)
PLANTED = st.tuples(AROUND, SECRETS, AROUND).map(lambda parts: (parts[1], f"{parts[0]} {parts[1]} {parts[2]}"))


def _messages(role: str, **part: Any) -> str:
    return json.dumps([{"role": role, "parts": [part]}])


def _called(id_: str) -> dict[str, Any]:
    """A tool call and its answer, both with an id."""
    asked = {"type": "tool_call", "id": id_, "name": "pay", "arguments": {}}
    answered = {"type": "tool_call_response", "id": id_, "response": "done"}
    return {
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [asked]}]),
        "gen_ai.input.messages": json.dumps([{"role": "tool", "parts": [answered]}]),
    }


SPAN_PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "name": lambda text: {"name": text},
    "status": lambda text: {"message": text},
    "value": lambda text: {"attributes": {"app.note": text}},
    "key": lambda text: {"attributes": {text: 1}},
    "nested": lambda text: {"attributes": {"app.deep": {text: [{"a": [text, 7]}], "b": text}}},
    "question": lambda text: {"attributes": {"gen_ai.input.messages": _messages("user", type="text", content=text)}},
    "answer": lambda text: {
        "attributes": {"gen_ai.output.messages": _messages("assistant", type="text", content=text)}
    },
    "arguments": lambda text: {
        "attributes": {
            "gen_ai.output.messages": _messages(
                "assistant", type="tool_call", id="c", name="pay", arguments={text: [text]}
            )
        }
    },
    "tool call": lambda text: {"attributes": _called(text)},
    "tool": lambda text: {"attributes": {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.id": text}},
    "response": lambda text: {"attributes": {"gen_ai.response.id": text, "gen_ai.response.model": text}},
    "model": lambda text: {"attributes": {"gen_ai.request.model": text}},
    "document": lambda text: {
        "attributes": {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.retrieval.documents": json.dumps([{"id": text, "content": "x"}]),
        }
    },
    "user": lambda text: {"attributes": {"user.id": text, "session.id": text}},
    "finish": lambda text: {"attributes": {"gen_ai.response.finish_reasons": [text], "gen_ai.provider.name": text}},
    "event": lambda text: {"events": [(text, {text: text}), ("exception", {"exception.message": text})]},
    "resource": lambda text: {"resource": {"service.name": "shop", "host.note": text, text: text}},
    "service": lambda text: {"resource": {"service.name": text, "deployment.environment.name": text}},
    "scope": lambda text: {"scope": text},
}


def _span(place: str, text: str) -> bytes:
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.provider.name": "p"}
    told = SPAN_PLACES[place](text)
    resource = told.pop("resource", None)
    attributes = chat | told.pop("attributes", {})
    return spans_body({"id": 1, "status": "ERROR", "attributes": attributes, **told}, resource=resource)


LOG = {"gen_ai.system": "openai"}


def _log(place: str, text: str) -> bytes:
    body: Any = {"content": text, "role": "user", text: [text]} if place == "body" else {"content": "hi"}
    attributes = {**LOG, **({"app.note": text, text: text} if place == "attributes" else {})}
    resource = {"service.name": "shop", "host.note": text} if place == "resource" else None
    return logs_body(
        {"event": "gen_ai.user.message", "span": 1, "body": body, "attributes": attributes}, resource=resource
    )


def leaks(secret: str, *texts: object) -> list[object]:
    return [text for text in texts if secret in str(text)]


def readable(journal: Kept) -> str:
    """What a journaled request says, escapes resolved."""
    lines = [line for payload in journal.payloads for line in payload.split(b"\n")]
    return json.dumps([orjson.loads(line) for line in lines], ensure_ascii=False)


many = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


PLACES = [("traces", place) for place in SPAN_PLACES] + [
    ("logs", place) for place in ("body", "attributes", "resource")
]


@many
@given(place=st.sampled_from(PLACES), planted=PLANTED)
def test_no_secret_in_a_span_or_log_record_reaches_the_journal(
    place: tuple[str, str], planted: tuple[str, str]
) -> None:
    secret, text = planted
    signal, where = place
    journal = Kept()
    body = _span(where, text) if signal == "traces" else _log(where, text)
    receipt = intake(journal, REDACTOR).submit(signal, body, encoding="protobuf")
    assert receipt.accepted == 1
    assert leaks(secret, readable(journal), receipt.error_message) == []


@many
@given(
    field=st.sampled_from(["comment", "label", "author", "id", "session_id", "response_id", "trace_id"]),
    planted=PLANTED,
)
def test_no_secret_in_feedback_or_a_change_reaches_the_journal(field: str, planted: tuple[str, str]) -> None:
    secret, text = planted
    journal = Kept()
    door = intake(journal, REDACTOR)
    target = {"trace_id": "a" * 32, **({field: text} if field.endswith("_id") else {})}
    told = {} if field.endswith("_id") else {field: text}
    record, _ = door.submit_feedback({"kind": "comment", "target": target, **told})
    assert leaks(secret, record) == []
    door.submit_change({"kind": "prompt", "name": text, "before": text, "after": text, "source": text, "id": text})
    assert leaks(secret, readable(journal)) == []


LIKE_IDS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-", min_size=6, max_size=60)
STRONG = {"EMAIL", "CARD", "IBAN", "CREDENTIAL", "PRIVATE_KEY"}


@many
@given(name=LIKE_IDS)
def test_an_id_is_changed_only_by_what_no_id_is_by_chance(name: str) -> None:
    record: Any = {"facts": {"response_id": name}, "attributes": {"a": "kim@example.net"}}
    before = REDACTOR.counts.copy()
    REDACTOR.records([record])
    found = set(REDACTOR.counts - before) - {"EMAIL"}
    assert (record["facts"]["response_id"] == name) == (not found)
    assert found <= STRONG


ALONE = st.one_of(
    st.builds(_card, text_of(digits, 14, 14), st.sampled_from(["", "-"])),
    st.builds(_iban, text_of(digits, 18, 18), st.just("")),
    st.builds("{}.{}@{}.example.org".format, *(text_of(letters, 1, 12) for _ in range(3))),
    st.builds("sk-{}".format, text_of(letters + digits, 20, 48)),
)


@many
@given(
    secret=ALONE, prefix=st.sampled_from(["", "call:", "id/"]), place=st.sampled_from(["tool call", "tool", "response"])
)
def test_no_secret_that_is_an_id_reaches_the_journal(secret: str, prefix: str, place: str) -> None:
    journal = Kept()
    assert intake(journal, REDACTOR).submit("traces", _span(place, prefix + secret), encoding="protobuf").accepted == 1
    assert leaks(secret, readable(journal)) == []


@many
@given(names=st.lists(st.builds("{}@example.org".format, text_of(letters, 3, 8)), min_size=2, max_size=2, unique=True))
def test_feedback_under_ids_that_redaction_marks_stays_apart_and_a_repetition_stays_one(names: list[str]) -> None:
    door = intake(Kept(), REDACTOR)
    bodies = [
        {"kind": "comment", "target": {"trace_id": "a" * 32}, "id": name, "comment": "the same"} for name in names
    ]
    again = {**bodies[0], "comment": "in other words"}
    ids = [door.submit_feedback(body)[0]["record_id"] for body in (*bodies, again)]
    assert ids[0] == ids[2] != ids[1]
    assert all(re.fullmatch(r"feedback:\[EMAIL:[0-9a-f]{12}\]", id_) for id_ in ids)


BROKEN = {
    "trace id": lambda text: {"traceId": text, "spanId": "1" * 16},
    "span id": lambda text: {"traceId": "a" * 32, "spanId": text},
    "time": lambda text: {"traceId": "a" * 32, "spanId": "1" * 16, "startTimeUnixNano": f"at {text}"},
    "kind of value": lambda text: {
        "traceId": "a" * 32,
        "spanId": "1" * 16,
        "attributes": [{"key": "n", "value": {"intValue": text}}],
    },
    "name": lambda text: {"traceId": "short", "spanId": "1" * 16, "name": text},
}


@many
@given(broken=st.sampled_from(sorted(BROKEN)), planted=PLANTED)
def test_no_secret_is_repeated_to_who_sent_a_bad_span(
    broken: str, planted: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    secret, text = planted
    caplog.set_level(logging.DEBUG)
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [BROKEN[broken](text)]}]}]}).encode()
    journal = Kept()
    try:
        told = intake(journal, REDACTOR).submit("traces", body, encoding="json").error_message
    except MalformedError as error:
        told = str(error)
    assert told or journal.payloads
    assert leaks(secret, told, caplog.text, readable(journal)) == []


@many
@given(place=st.sampled_from(["key", "value"]), planted=PLANTED, signal=st.sampled_from(["traces", "logs"]))
def test_no_secret_is_repeated_to_who_sent_a_bad_body(place: str, planted: tuple[str, str], signal: str) -> None:
    secret, text = planted
    for tree in (
        [text],
        {"resourceSpans": text, "resourceLogs": text},
        {"resourceSpans": [{"scopeSpans": {text: text}}]},
    ):
        bodies = [json.dumps(tree).encode(), json.dumps(tree).encode()[:-1], f"{{{text}".encode()]
        for body in bodies:
            try:
                told = intake(Kept(), REDACTOR).submit(signal, body, encoding="json").error_message
            except MalformedError as error:
                told = str(error)
            assert leaks(secret, told) == []


@pytest.mark.parametrize("signal", ["traces", "logs"])
def test_an_empty_request_has_nothing_to_redact(signal: str) -> None:
    journal = Kept()
    assert intake(journal, REDACTOR).submit(signal, b"", encoding="protobuf").accepted == 0
    assert journal.payloads == []


class Broken:
    """A redactor that fails half way."""

    counts = REDACTOR.counts

    def records(self, records: list[Any]) -> None:
        raise RuntimeError("the rule failed at kim@example.net")


def test_redaction_that_fails_lets_nothing_pass(caplog: pytest.LogCaptureFixture) -> None:
    journal = Kept()
    with pytest.raises(RuntimeError):
        intake(journal, Broken()).submit("traces", _span("value", "kim@example.net"), encoding="protobuf")
    assert journal.payloads == []
