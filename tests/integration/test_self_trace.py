"""The collector traces its own work with OpenTelemetry, into another collector and never into itself without end."""

from __future__ import annotations

import time
from collections import Counter

from tests.integration.running import PROTOBUF, RunningCollector, StartCollector, new_trace, trace_request

OWN = "SELECT name, parent_span_id, span_id, attributes FROM spans WHERE scope_name = 'undertow.collector'"


def own_spans(collector: RunningCollector, at_least: int, timeout_s: float = 20) -> list[dict[str, object]]:
    """Spans arrive when the exporter sends: its schedule is five seconds, its end comes with the collector's."""
    deadline = time.monotonic() + timeout_s
    while True:
        assert collector.flush().status == 200
        found = collector.rows(OWN)
        if len(found) >= at_least or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def test_requests_and_loads_become_traces_in_a_second_collector(start_collector: StartCollector) -> None:
    watcher = start_collector()
    traced = start_collector(
        UNDERTOW_COLLECTOR__TRACE_SELF=f"http://127.0.0.1:{watcher.http_port}", UNDERTOW_COLLECTOR__TRACE_SELF_RATIO="1"
    )
    for _ in range(3):
        assert traced.post("/v1/traces", trace_request(new_trace(), 2, text="a private question")).status == 200
    assert traced.flush().status == 200
    assert traced.stop() == 0
    spans = own_spans(watcher, 15)
    names = Counter(span["name"] for span in spans)
    assert names["receive"] == names["decode"] == names["redact"] == names["journal"] == 3
    assert names["load"] == names["assemble"] == names["commit"] >= 1
    roots = {span["span_id"] for span in spans if span["name"] in ("receive", "load")}
    assert {span["parent_span_id"] for span in spans if span["name"] in ("decode", "commit")} <= roots
    assert "private" not in str(spans)
    assert watcher.rows("SELECT DISTINCT service_name FROM spans") == [{"service_name": "undertow-collector"}]


def test_a_collector_that_reports_to_itself_comes_to_rest(start_collector: StartCollector) -> None:
    first = start_collector()
    first.stop()
    first.env |= {  # its port is known now
        "UNDERTOW_COLLECTOR__TRACE_SELF": f"http://127.0.0.1:{first.http_port}",
        "UNDERTOW_COLLECTOR__TRACE_SELF_RATIO": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    first.start()
    assert first.post("/v1/traces", trace_request(new_trace()), PROTOBUF).status == 200
    spans = own_spans(first, 7)
    assert len(spans) == 7
    time.sleep(1.5)
    assert len(own_spans(first, 7)) == 7


def test_an_endpoint_that_does_not_answer_disturbs_nothing(start_collector: StartCollector) -> None:
    collector = start_collector(
        UNDERTOW_COLLECTOR__TRACE_SELF="true",
        UNDERTOW_COLLECTOR__TRACE_SELF_RATIO="1",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
    )
    assert collector.post("/v1/traces", trace_request(new_trace())).status == 200
    assert collector.flush().status == 200
    began = time.monotonic()
    assert collector.stop() == 0
    assert time.monotonic() - began < 10
