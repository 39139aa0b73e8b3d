"""A service whose instrumentation exports no text: noticed at once by the command line and by the pages."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import data
from tests import telemetry_factory as make
from tests.integration import instrumented_app
from tests.integration.running import LOGS, PATIENCE_S, RunningCollector
from tests.integration.standin import StandIn

APP = Path(__file__).parents[2] / "dashboard" / "app.py"
SWITCH = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only"
CALLS = 5


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    """A collector that got the calls of the real instrumentation at its defaults, and spans nobody understands."""
    collector = RunningCollector(tmp_path_factory.mktemp("quiet")).start()
    try:
        with StandIn() as standin:
            _run_application(collector, standin.base_url)
        attributes = {"llm.vendor": "private words of ann@example.org", "thread.id": 7}
        at = {"start_ns": time.time_ns(), "end_ns": time.time_ns()}
        homemade = {"id": 1, "scope": "homemade", "attributes": attributes, **at}
        assert collector.post("/v1/traces", make.spans_body(homemade)).status == 200
        collector.rpc(LOGS, make.logs_body({"event": "nothing.known", "span": 1}))
        assert collector.post("/v1/traces", b"no protobuf").status == 400
        assert collector.flush().status == 200
        yield collector
    finally:
        collector.stop()


def _run_application(collector: RunningCollector, api_url: str) -> None:
    env = {
        **{key: value for key, value in collector.env.items() if not key.startswith(("OTEL_", "OPENINFERENCE_"))},
        "OTEL_SERVICE_NAME": "checkout",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.http_port}",
        "OPENAI_BASE_URL": api_url,
        "OPENAI_API_KEY": "none",
    }
    command = [sys.executable, str(Path(instrumented_app.__file__)), "otel_genai", "http"]
    subprocess.run(command, env=env, check=True, timeout=PATIENCE_S, capture_output=True)


def doctor(collector: RunningCollector, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = collector.command("doctor", *arguments)
    where: dict[str, Any] = {"cwd": collector.work, "env": collector.env}
    return subprocess.run(command, **where, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_doctor_names_the_instrumentation_and_the_variable(quiet: RunningCollector) -> None:
    done = doctor(quiet, "telemetry")
    assert (done.returncode, done.stderr) == (3, "")
    assert f"checkout sends all of its newest {CALLS} calls without text" in done.stdout
    assert "through opentelemetry-instrumentation-genai-openai" in done.stdout
    assert f"set {SWITCH}\n" in done.stdout


def test_doctor_tells_as_json_what_was_not_understood_and_no_values(quiet: RunningCollector) -> None:
    done = doctor(quiet, "telemetry", "--json", "--since", "1h")
    report: dict[str, Any] = json.loads(done.stdout)
    assert [(s["scope"], s["evidence"]) for s in report["suspects"]] == [("homemade", ["llm.vendor"])]
    standing = {a["attribute"]: a["standing"] for a in report["attributes"] if a["service"] == "shop"}
    assert standing == {"llm.vendor": "plain", "thread.id": "not_needed"}
    assert [item["switch"] for item in report["without_content"]] == [SWITCH]
    assert report["ignored_log_records"] == 1
    assert "private words" not in done.stdout


def test_doctor_without_telemetry_names_it_too(quiet: RunningCollector) -> None:
    findings = json.loads(doctor(quiet, "--json").stdout)
    (content,) = [finding for finding in findings if finding["check"] == "content"]
    assert not content["ok"]
    assert SWITCH in content["advice"]


@pytest.fixture
def page(quiet: RunningCollector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Everything that a page over the running collector draws."""
    monkeypatch.setenv("UNDERTOW_DATA_DIR", str(quiet.data))
    st.cache_resource.clear()
    st.cache_data.clear()

    def draw(name: str) -> str:
        app = AppTest.from_file(str(APP), default_timeout=PATIENCE_S)
        if name != "overview":
            app.switch_page(f"views/{name}.py")
        app.run()
        assert not app.exception, [error.message for error in app.exception]
        return "\n".join(str(element.proto.body) for element in app.get("html"))

    yield draw
    data.store().close()
    st.cache_resource.clear()
    st.cache_data.clear()


def test_overview_names_the_switch_and_shows_no_zero_for_what_needs_text(page: Callable[[str], str]) -> None:
    text = page("overview")
    assert f"<code>{SWITCH}</code>" in text
    assert text.count(f"no content ({CALLS} calls)") >= 3
    assert "refusals 0" not in text


def test_health_shows_switch_sources_attributes_and_refusals(page: Callable[[str], str]) -> None:
    text = page("health")
    assert f"<code>{SWITCH}</code>" in text
    assert "looks like model calls: llm.vendor" in text
    assert "known and not needed" in text
    assert "the body could not be read" in text
    assert "log records of no known event" in text
    assert "EMAIL" in text
    assert "private words" not in text


@pytest.mark.parametrize("name", ["topics", "drift", "quality", "review", "prompts"])
def test_other_pages_say_in_a_line_that_text_is_missing(page: Callable[[str], str], name: str) -> None:
    text = page(name)
    assert f"in {CALLS} of the newest {CALLS} calls of checkout: Health says how to switch it on" in text
