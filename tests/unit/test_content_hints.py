"""Which instrumentation a scope belongs to, and that the page on telemetry shows the same options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from undertow.content_hints import HINTS, UNKNOWN, Hint, hint_for

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "telemetry.md").read_text("utf-8")


def test_the_page_on_telemetry_holds_the_table_of_options() -> None:
    table = PAGE.split("| instrumentation | option | besides | read in |\n|---|---|---|---|\n")[1].split("\n\n")[0]
    shown = [tuple(cell.strip().strip("`") for cell in line.strip("|").split(" | ")) for line in table.splitlines()]
    assert shown == [(hint.instrumentation, hint.switch, hint.note, hint.checked) for hint in HINTS]


@pytest.mark.parametrize("hint", HINTS, ids=lambda hint: hint.instrumentation)
def test_each_instrumentation_is_found_by_its_own_scopes_and_dialects(hint: Hint) -> None:
    assert hint.scopes or hint.dialects
    assert all(hint_for(pattern.replace("*", "x"), "otel_genai") is hint for pattern in hint.scopes)
    assert all(hint_for("app", dialect) is hint for dialect in hint.dialects)
    assert hint.checked


@pytest.mark.parametrize(
    ("scope", "dialect", "name", "switch"),
    [
        ("opentelemetry.instrumentation.genai.openai", "otel_genai", "-genai-openai", "CONTENT=span_only"),
        ("opentelemetry.instrumentation.genai.openai_agents", "otel_genai", "-genai-openai-agents", "=span_only"),
        ("opentelemetry.instrumentation.openai_v2", "otel_genai", "openai-v2", "CONTENT=true"),
        ("opentelemetry.instrumentation.openai.v1", "otel_genai", "Traceloop", "TRACELOOP_TRACE_CONTENT=true"),
        ("opentelemetry.instrumentation.openai_agents", "traceloop", "Traceloop", "TRACELOOP_TRACE_CONTENT=true"),
        ("opentelemetry.instrumentation.botocore.bedrock-runtime", "otel_genai", "botocore", "CONTENT=true"),
        ("litellm", "openinference", "LiteLLM", "CONTENT=span_only"),
        ("my.own.scope", "haystack", "Haystack", "HAYSTACK_CONTENT_TRACING_ENABLED=true"),
        ("agent_framework", "otel_genai", "Microsoft Agent Framework", "ENABLE_SENSITIVE_DATA=true"),
    ],
)
def test_the_exact_option_of_an_instrumentation_is_named(scope: str, dialect: str, name: str, switch: str) -> None:
    hint = hint_for(scope, dialect)
    assert name in hint.named(scope)
    assert switch in hint.switch


@pytest.mark.parametrize("scope", [None, "", "airline", "my.scope"])
def test_an_unknown_scope_gets_general_advice(scope: str | None) -> None:
    assert hint_for(scope, "otel_genai") is UNKNOWN
    assert not UNKNOWN.checked


def test_notes_are_plain_text_for_terminal_and_page() -> None:
    assert not [hint for hint in (*HINTS, UNKNOWN) if re.search(r"[`|\n]", hint.note + hint.switch)]
