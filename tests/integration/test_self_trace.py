"""The collector traces its own work with OpenTelemetry, into another collector and never into itself without end."""

from __future__ import annotations

import time
from collections import Counter

from tests.integration.running import (
    PROTOBUF,
    RunningCollector,
    StartCollector,
    new_trace,
    trace_request,
    wait_until,
)

OWN = "SELECT name, parent_span_id, span_id, attributes FROM spans WHERE scope_name = 'undertow.collector'"


OFTEN = {"OTEL_BSP_SCHEDULE_DELAY": "200"}
"""The exporter sends five times a second; what it has not sent when its collector stops may be lost."""


def own_spans(collector: RunningCollector) -> list[dict[str, object]]:
    assert collector.flush().status == 200
    return collector.rows(OWN)


def names(spans: list[dict[str, object]]) -> Counter[object]:
    return Counter(span["name"] for span in spans)


def three_requests_and_whole_loads(spans: list[dict[str, object]]) -> bool:
    seen = names(spans)
    of_requests = {seen[name] for name in ("receive", "decode", "redact", "journal")}
    return of_requests == {3} and seen["load"] == seen["assemble"] == seen["commit"] >= 1


def test_requests_and_loads_become_traces_in_a_second_collector(start_collector: StartCollector) -> None:
    watcher = start_collector()
    traced = start_collector(
        UNDERTOW_COLLECTOR__TRACE_SELF=f"http://127.0.0.1:{watcher.http_port}",
        UNDERTOW_COLLECTOR__TRACE_SELF_RATIO="1",
        **OFTEN,
    )
    for _ in range(3):
        assert traced.post("/v1/traces", trace_request(new_trace(), 2, text="a private question")).status == 200
    assert traced.flush().status == 200
    wait_until(lambda: three_requests_and_whole_loads(own_spans(watcher)))
    assert traced.stop() == 0
    spans = own_spans(watcher)
    assert three_requests_and_whole_loads(spans)
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
        **OFTEN,
    }
    first.start()
    assert first.post("/v1/traces", trace_request(new_trace()), PROTOBUF).status == 200
    wait_until(lambda: len(own_spans(first)) >= 7)
    time.sleep(1.5)  # long enough for spans about spans
    assert len(own_spans(first)) == 7


def test_an_endpoint_that_does_not_answer_disturbs_nothing(start_collector: StartCollector) -> None:
    collector = start_collector(
        UNDERTOW_COLLECTOR__TRACE_SELF="true",
        UNDERTOW_COLLECTOR__TRACE_SELF_RATIO="1",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
        OTEL_EXPORTER_OTLP_TIMEOUT="3600",  # so long the exporter would try again
    )
    assert collector.post("/v1/traces", trace_request(new_trace())).status == 200
    assert collector.flush().status == 200
    assert collector.stop() == 0
