"""The configuration for the OpenTelemetry Collector names what exists, on both sides."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from undertow.config import load_settings

PATH = Path(__file__).resolve().parents[2] / "docs" / "otel-collector.yaml"
SETTINGS = load_settings(env={}, folder=PATH.parent / "nowhere").settings
KINDS = ("receivers", "processors", "exporters")


class Strict(yaml.SafeLoader):
    """YAML in which a key stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key stands twice among {keys}"
        return super().construct_mapping(node, deep)


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(PATH.read_text("utf-8"), Loader=Strict)
    return loaded


def default_of(value: str) -> str:
    """What a value is where the variable is not set."""
    return re.sub(r"\$\{env:\w+(?::-([^}]*))?\}", lambda found: found[1] or "", value)


def test_every_pipeline_names_components_that_are_defined(config: dict[str, Any]) -> None:
    assert set(config) == {*KINDS, "extensions", "service"}
    for name, pipeline in config["service"]["pipelines"].items():
        assert name.partition("/")[0] in ("traces", "logs", "metrics")
        assert {"receivers", "exporters"} <= set(pipeline) <= set(KINDS)
        for kind, used in pipeline.items():
            assert set(used) <= set(config[kind]), (name, kind)
    assert set(config["service"]["extensions"]) == set(config["extensions"])


def test_every_signal_that_undertow_reads_goes_to_both_backends(config: dict[str, Any]) -> None:
    reached: dict[str, set[str]] = {}
    for name, pipeline in config["service"]["pipelines"].items():
        reached.setdefault(name.partition("/")[0], set()).update(pipeline["exporters"])
    both = {"otlp_http/undertow", "otlp_http/yours"}
    assert reached == {"traces": both, "logs": both, "metrics": {"otlp_http/yours"}}


def test_undertow_is_reached_where_it_listens_and_the_ports_do_not_meet(config: dict[str, Any]) -> None:
    collector = SETTINGS.collector
    endpoint = default_of(config["exporters"]["otlp_http/undertow"]["endpoint"])
    assert endpoint == f"http://{collector.host}:{collector.http_port}"
    listening = {part["endpoint"].rpartition(":")[2] for part in config["receivers"]["otlp"]["protocols"].values()}
    assert not listening & {str(port) for port in (collector.http_port, collector.grpc_port, SETTINGS.store.port)}


def test_nothing_is_given_up_and_every_queue_is_on_the_disk(config: dict[str, Any]) -> None:
    for name, exporter in config["exporters"].items():
        assert exporter["retry_on_failure"]["enabled"], name
        assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s", name
        queue = exporter["sending_queue"]
        assert queue["enabled"] and queue["storage"] in config["extensions"], name
        assert queue["sizer"] == "bytes" and queue["batch"]["max_size"] < SETTINGS.collector.max_body_bytes
    (storage,) = config["extensions"].values()
    assert storage["fsync"] and storage["create_directory"]
    assert storage["compaction"]["directory"] == storage["directory"]


def test_the_filter_keeps_every_span_that_a_dialect_is_recognised_by(config: dict[str, Any]) -> None:
    (condition,) = config["processors"]["filter/genai"]["traces"]["span"]
    named = set(re.findall(r'attributes\["([^"]+)"\] == nil', condition))
    assert condition.count(" == nil") == len(named)
    assert named >= {
        *("langfuse.observation.type", "langsmith.span.kind", "openinference.span.kind", "mlflow.spanType"),
        *("ai.operationId", "gen_ai.operation.name", "traceloop.span.kind", "llm.request.type"),
    }


def test_the_page_shows_the_way_to_the_file() -> None:
    page = (PATH.parent / "send-your-traffic.md").read_text("utf-8")
    assert "(otel-collector.yaml)" in page


@pytest.mark.skipif(shutil.which("otelcol-contrib") is None, reason="the OpenTelemetry Collector is not installed")
def test_the_collector_itself_accepts_the_file() -> None:
    done = subprocess.run(
        ["otelcol-contrib", "validate", "--config", str(PATH)],
        env={"YOUR_BACKEND": "https://otlp.example.com", "QUEUE_DIR": "/tmp"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
