"""Real instrumentations under the real SDK, through a running collector, to what the store then says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration import instrumented_app as app
from tests.integration.running import PATIENCE_S, RunningCollector
from tests.integration.standin import ANSWERING_MODEL, EMBEDDING_MODEL, REASONING_TOKENS, StandIn, answer_to, words
from undertow.store import open_store

_GUIDE = Path(__file__).parents[2] / "docs" / "send-your-traffic.md"
_CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@dataclass(frozen=True)
class Scenario:
    """One application in a process of its own.

    A protocol of None runs the snippet of the guide's section of that name instead of our application.
    """

    instrumentation: str
    protocol: str | None = None
    env: dict[str, str] = field(default_factory=dict)


SCENARIOS = {
    "otel-span": Scenario("otel_genai", "http", {_CAPTURE: "span_only"}),
    "otel-event": Scenario("otel_genai", "grpc", {_CAPTURE: "event_only"}),
    "otel-off": Scenario("otel_genai", "grpc"),
    "openinference": Scenario("openinference", "http"),
    "openinference-hidden": Scenario(
        "openinference", "grpc", {"OPENINFERENCE_HIDE_INPUTS": "true", "OPENINFERENCE_HIDE_OUTPUTS": "true"}
    ),
    "both": Scenario("both", "grpc", {_CAPTURE: "span_and_event"}),
}
WITH_CONTENT = ["otel-span", "otel-event", "openinference", "both"]
WITHOUT_CONTENT = ["otel-off", "openinference-hidden"]
AT_ONCE = 2

Row = dict[str, Any]


@dataclass
class Seen:
    """What the store says of each scenario; its name is the name of the service."""

    rows: list[Row]
    documents: list[Row]
    failures: dict[str, str]

    def calls(self, service: str, operation: str = "chat", *, duplicates: bool = False) -> list[Row]:
        """The calls of one scenario, in order of time."""
        assert service not in self.failures, self.failures[service]
        mine = [row for row in self.rows if row["service_name"] == service and row["operation"] == operation]
        return [row for row in mine if duplicates or row["duplicate_of"] is None]

    def call(self, service: str, number: int) -> Row:
        return self.calls(service)[number]


SNIPPETS = {
    "guide-otel": Scenario("OpenTelemetry GenAI for OpenAI"),
    "guide-openinference": Scenario("OpenInference for OpenAI"),
    "guide-by-hand": Scenario("By hand"),
}

ASKED, STREAMED, TOOL_WANTED, TOOL_ANSWERED, FROM_DOCUMENTS = range(5)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Run every scenario in a process of its own against one collector, then read the store once."""
    collector = RunningCollector(tmp_path_factory.mktemp("instrumented")).start()
    try:
        with StandIn() as standin:
            failures = _run_all(collector, standin.base_url)
        assert collector.flush().status == 200
        with open_store(collector.store_url) as store:
            rows = store.query("SELECT * FROM interactions ORDER BY service_name, start_time").to_pylist()
            documents = store.query("SELECT * FROM documents ORDER BY interaction_id, rank").to_pylist()
        yield Seen(rows, documents, failures)
    finally:
        collector.stop()


def _run_all(collector: RunningCollector, api_url: str) -> dict[str, str]:
    """Run the applications a few at a time; return what those that failed had to say."""
    failures: dict[str, str] = {}
    scenarios = list((SCENARIOS | SNIPPETS).items())
    for first in range(0, len(scenarios), AT_ONCE):
        batch = scenarios[first : first + AT_ONCE]
        running = {name: _start(name, scenario, collector, api_url) for name, scenario in batch}
        for name, process in running.items():
            try:
                said, _ = process.communicate(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                said = f"not done after {PATIENCE_S} s\n{process.communicate()[0]}"
            if process.returncode != 0:
                failures[name] = said
    return failures


def _start(name: str, scenario: Scenario, collector: RunningCollector, api_url: str) -> subprocess.Popen[str]:
    port = collector.grpc_port if scenario.protocol == "grpc" else collector.http_port
    env = {
        **{key: value for key, value in collector.env.items() if not key.startswith(("OTEL_", "OPENINFERENCE_"))},
        "OTEL_SERVICE_NAME": name,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OPENAI_BASE_URL": api_url,
        "OPENAI_API_KEY": "none",
        **scenario.env,
    }
    if scenario.protocol is None:
        arguments = ["-c", _snippet(scenario.instrumentation)]
    else:
        arguments = [str(Path(app.__file__)), scenario.instrumentation, scenario.protocol]
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _snippet(section: str) -> str:
    """The guide's lines for every application, and the Python of one of its sections."""
    parts = re.split(r"^## ", _GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    wanted = next(part for part in parts if part.startswith(f"{section}\n"))
    blocks = [re.findall(r"```python\n(.*?)```", part, flags=re.DOTALL) for part in (parts[0], wanted)]
    return "\n".join(block for found in blocks for block in found)


@pytest.mark.parametrize("service", SCENARIOS)
def test_every_call_is_exactly_one_interaction(seen: Seen, service: str) -> None:
    assert len(seen.calls(service)) == 5
    assert len(seen.calls(service, "embeddings")) == 1
    doubled = 2 if service == "both" else 1
    assert len(seen.calls(service, duplicates=True)) == 5 * doubled


@pytest.mark.parametrize("service", WITH_CONTENT)
def test_question_answer_and_system_prompt_arrive(seen: Seen, service: str) -> None:
    row = seen.call(service, ASKED)
    assert (row["prompt"], row["response"]) == (app.QUESTION, answer_to(app.QUESTION))
    assert row["system_prompt"] == app.SYSTEM
    assert row["content_state"] == "full"
    assert row["language"] == "en"


@pytest.mark.parametrize("service", SCENARIOS)
def test_models_provider_tokens_and_finish_reason_arrive_with_or_without_content(seen: Seen, service: str) -> None:
    row = seen.call(service, ASKED)
    assert (row["request_model"], row["response_model"]) == (app.MODEL, ANSWERING_MODEL)
    assert (row["provider"], row["finish_reason"]) == ("openai", "stop")
    assert row["input_tokens"] == words(app.SYSTEM) + words(app.QUESTION)
    assert row["output_tokens"] == words(answer_to(app.QUESTION)) + REASONING_TOKENS
    assert row["cache_read_tokens"] == words(app.SYSTEM)
    assert row["reasoning_tokens"] == REASONING_TOKENS
    assert json.loads(row["parameters"])["temperature"] == 0.2


@pytest.mark.parametrize("service", SCENARIOS)
def test_session_and_user_arrive_and_stay_with_their_own_call(seen: Seen, service: str) -> None:
    row = seen.call(service, ASKED)
    assert (row["session_id"], row["user_id"]) == (app.SESSION, app.USER)
    assert {row["session_id"] for row in seen.calls(service)[STREAMED:]} == {None}


@pytest.mark.parametrize("service", SCENARIOS)
def test_a_streamed_call_says_so_and_when_its_first_piece_came(seen: Seen, service: str) -> None:
    row = seen.call(service, STREAMED)
    assert row["streaming"] is True
    assert 0 < row["ttft_ms"] <= row["duration_ms"]
    assert row["finish_reason"] == "stop"
    assert row["input_tokens"] == words(app.SYSTEM) + words(app.STREAMED)
    assert not seen.call(service, ASKED)["streaming"]


@pytest.mark.parametrize("service", WITH_CONTENT)
def test_the_pieces_of_a_streamed_answer_arrive_as_one_text(seen: Seen, service: str) -> None:
    row = seen.call(service, STREAMED)
    assert (row["prompt"], row["response"]) == (app.STREAMED, answer_to(app.STREAMED))


@pytest.mark.parametrize("service", WITH_CONTENT)
def test_a_wanted_tool_and_what_it_answered_arrive_in_one_turn(seen: Seen, service: str) -> None:
    wanted, answered = seen.call(service, TOOL_WANTED), seen.call(service, TOOL_ANSWERED)
    (call,) = json.loads(wanted["tool_calls"])
    assert (call["name"], call["arguments"]) == ("look_up", {"question": app.TOOL_QUESTION})
    assert wanted["finish_reason"] == "tool_calls"
    assert wanted["response"] is None
    assert wanted["content_state"] == "full"
    result = json.loads(answered["messages"])[-1]
    assert (result["role"], result["tool_call_id"], result["content"]) == ("tool", call["id"], '{"balance": 12}')
    assert answered["response"] == answer_to(app.TOOL_QUESTION)
    assert wanted["turn_id"] == answered["turn_id"]


@pytest.mark.parametrize("service", SCENARIOS)
def test_an_embedding_call_counts_its_tokens_and_has_no_question(seen: Seen, service: str) -> None:
    (row,) = seen.calls(service, "embeddings")
    assert row["request_model"] == EMBEDDING_MODEL
    assert row["input_tokens"] == sum(words(text) for text in app.TEXTS)
    assert row["prompt"] is None
    assert row["response"] is None


@pytest.mark.parametrize("service", WITH_CONTENT)
def test_retrieved_documents_join_the_call_and_the_question_is_what_was_looked_for(seen: Seen, service: str) -> None:
    row = seen.call(service, FROM_DOCUMENTS)
    joined = [found for found in seen.documents if found["interaction_id"] == row["interaction_id"]]
    assert [(d["document_id"], d["content"], d["relevance"]) for d in joined] == app.DOCUMENTS
    assert [d["rank"] for d in joined] == [1, 2]
    assert {d["query"] for d in joined} == {app.RAG_QUESTION}
    assert {d["join_confidence"] for d in joined} == {1.0}
    assert row["prompt"] == app.RAG_QUESTION


@pytest.mark.parametrize("service", WITHOUT_CONTENT)
def test_without_content_capture_a_call_says_that_it_has_none(seen: Seen, service: str) -> None:
    text = ("prompt", "response", "system_prompt", "messages", "prompt_text_hash", "response_text_hash")
    for row in seen.calls(service):
        assert row["content_state"] == "none"
        assert {name: row[name] for name in text} == dict.fromkeys(text)


def test_a_second_instrumentation_of_the_same_call_points_at_the_first(seen: Seen) -> None:
    kept = {row["interaction_id"] for row in seen.calls("both")}
    doubles = [row for row in seen.calls("both", duplicates=True) if row["interaction_id"] not in kept]
    assert {row["duplicate_of"] for row in doubles} == kept


@pytest.mark.parametrize("service", SNIPPETS)
def test_the_snippets_of_the_guide_bring_question_answer_and_tokens(seen: Seen, service: str) -> None:
    (row,) = seen.calls(service)
    assert row["prompt"] == "When does the branch open?"
    assert row["response"]
    assert row["content_state"] == "full"
    assert row["input_tokens"] > 0
    assert row["output_tokens"] > 0
    if service != "guide-otel":
        assert (row["session_id"], row["user_id"]) == ("session-1", "user-1")


def test_the_documents_of_the_snippet_by_hand_are_joined(seen: Seen) -> None:
    (row,) = seen.calls("guide-by-hand")
    (document,) = [found for found in seen.documents if found["interaction_id"] == row["interaction_id"]]
    assert (document["document_id"], document["join_confidence"]) == ("kb-7", 1.0)
    assert document["content"] == "The branch opens at nine."
