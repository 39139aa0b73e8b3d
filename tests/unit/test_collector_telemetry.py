"""What `/metrics` says can be read by Prometheus, and means what its name says."""

import re

import pytest

from collector.auth import Authenticator, Verdict
from collector.telemetry import HELP, Telemetry

LINE = re.compile(r'^[a-z_]+(\{[a-z_]+="(?:[^"\\\n]|\\.)*"(?:,[a-z_]+="(?:[^"\\\n]|\\.)*")*\})? -?[0-9.e+-]+$')


def test_every_line_is_of_the_text_format_whatever_stands_in_a_label() -> None:
    telemetry = Telemetry()
    telemetry.add("undertow_requests_total", door='a"b\\c\nd', signal="traces", status="200")
    telemetry.watch("undertow_journal_bytes", lambda: 2**40)
    telemetry.watch("undertow_load_lag_seconds", lambda: 0.25)
    text = telemetry.prometheus()
    assert text.endswith("\n")
    lines = text.splitlines()
    assert all(line.startswith("# ") or LINE.match(line) for line in lines)
    assert "undertow_journal_bytes 1099511627776" in lines
    assert "undertow_load_lag_seconds 0.25" in lines


def test_names_carry_their_kind_and_unit_and_each_has_help_and_type_once() -> None:
    for name, (kind, text) in HELP.items():
        assert re.fullmatch(r"undertow_[a-z_]+", name)
        assert kind in ("counter", "gauge") and text and not text.endswith(".")
        assert name.endswith("_total") == (kind == "counter"), name
        if kind == "gauge":
            assert name.endswith(("_bytes", "_seconds", "_seq")), name
    lines = Telemetry().prometheus().splitlines()
    assert len(lines) == len(set(lines))
    for name, (kind, _) in HELP.items():
        if kind == "counter":
            assert f"# TYPE {name} counter" in lines and f"{name} 0" in lines


def test_a_counter_that_nobody_described_is_refused() -> None:
    with pytest.raises(KeyError, match="undertow_other_total"):
        Telemetry().add("undertow_other_total")


def test_without_a_tracer_nothing_is_traced() -> None:
    telemetry = Telemetry()
    assert telemetry.begin("receive") is None
    telemetry.close()


@pytest.mark.parametrize(
    ("header", "scope", "verdict"),
    [
        ("Bearer one", "ingest", Verdict.ALLOWED),
        ("bearer  one ", "ingest", Verdict.ALLOWED),
        ("Bearer one", "read", Verdict.FORBIDDEN),
        ("Bearer two", "read", Verdict.ALLOWED),
        ("Basic one", "ingest", Verdict.UNKNOWN),
        ("Bearer on", "ingest", Verdict.UNKNOWN),
        ("Bearer", "ingest", Verdict.UNKNOWN),
        ("", "ingest", Verdict.UNKNOWN),
        (None, "ingest", Verdict.UNKNOWN),
    ],
)
def test_a_token_opens_what_its_scopes_say(header: str | None, scope: str, verdict: Verdict) -> None:
    auth = Authenticator({"one": ["ingest", "service=shop"], "two": ["write"]})
    assert auth.decide(header, scope) is verdict


def test_bounds_belong_to_one_token_and_say_what_they_are() -> None:
    auth = Authenticator({"one": ["ingest", "service=shop", "service=bank", "environment=prod"], "two": ["write"]})
    assert str(auth.bounds("Bearer one")) == "service bank or shop and environment prod"
    assert auth.bounds("Bearer two") is None
    assert Authenticator({}).bounds(None) is None
