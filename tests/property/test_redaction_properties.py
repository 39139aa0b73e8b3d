"""No planted secret reaches the journal, an answer or a log, wherever in a request it stands."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.intake import Intake
from collector.journal import Recovery
from collector.normalise import normalise_logs, normalise_traces
from collector.redact import Redactor, iban, luhn
from collector.telemetry import Telemetry
from tests.telemetry_factory import logs_body, spans_body
from undertow.config import RedactionSettings
from undertow.errors import MalformedError


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
@given(field=st.sampled_from(["comment", "label", "author", "session"]), planted=PLANTED)
def test_no_secret_in_feedback_or_a_change_reaches_the_journal(field: str, planted: tuple[str, str]) -> None:
    secret, text = planted
    journal = Kept()
    door = intake(journal, REDACTOR)
    target = {"trace_id": "a" * 32, **({"session_id": text} if field == "session" else {})}
    told = {} if field == "session" else {field: text}
    door.submit_feedback({"kind": "comment", "target": target, **told})
    door.submit_change({"kind": "prompt", "name": text, "before": text, "after": text, "source": text})
    assert leaks(secret, readable(journal)) == []


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
