"""Counters of a collector as its text tells them."""

from __future__ import annotations

from collector.telemetry import Telemetry
from undertow.collector_metrics import parse, refusals, total


def test_what_the_collector_writes_is_read_back() -> None:
    telemetry = Telemetry()
    telemetry.add("undertow_accepted_items_total", 3, signal="traces")
    telemetry.add("undertow_accepted_items_total", 4, signal='lo"gs\\')
    telemetry.watch("undertow_load_lag_seconds", lambda: 1.5)
    samples = parse(telemetry.prometheus())
    assert total(samples, "undertow_accepted_items_total") == 7
    assert total(samples, "undertow_load_lag_seconds") == 1.5
    assert total(samples, "no_such_counter") == 0


def test_refusals_of_both_doors_are_counted_by_reason() -> None:
    telemetry = Telemetry()
    for door, status, times in (("http", "413", 2), ("grpc", "RESOURCE_EXHAUSTED", 1), ("http", "200", 9)):
        telemetry.add("undertow_requests_total", times, door=door, signal="traces", status=status)
    telemetry.add("undertow_requests_total", door="grpc", signal="traces", status="OK")
    telemetry.add("undertow_requests_total", door="http", signal="traces", status="418")
    telemetry.add("undertow_rejected_items_total", 2)
    assert refusals(parse(telemetry.prometheus())) == [
        ("larger than collector.max_body_bytes", 3),
        ("one bad item in a good request", 2),
        ("status 418", 1),
    ]
