"""What a record says of its span beside the facts."""

from __future__ import annotations

import json

import pytest

from collector.normalise import normalise_logs, normalise_traces
from tests.telemetry_factory import START_NS, chat, logs, logs_body, spans, spans_body

YEAR_1970, YEAR_2101 = 1_000, 4_134_000_000 * 10**9


def test_what_no_dialect_maps_stays_with_the_span() -> None:
    (record,) = spans(chat(1, extra={"own.key": [1, "x"]}, events=[("own event", {"a": 1})]))
    assert record["attributes"] == {"own.key": [1, "x"]}
    assert record["events"] == [{"name": "own event", "time_ns": START_NS + 5 * 10**6, "attributes": {"a": 1}}]
    assert record["dialect"] == "otel_genai"


@pytest.mark.parametrize("key", ["deployment.environment.name", "deployment.environment"])
def test_service_and_environment_come_from_the_resource(key: str) -> None:
    (record,) = spans({"id": 1}, resource={"service.name": "bank", key: "staging", "host.name": "h"})
    assert (record["service_name"], record["environment"]) == ("bank", "staging")
    assert record["resource"] == {"host.name": "h"}


def test_a_service_without_a_name_is_unknown() -> None:
    (record,) = spans({"id": 1}, resource={})
    assert record["service_name"] == "unknown_service"
    assert "environment" not in record


@pytest.mark.parametrize(
    ("times", "flags"),
    [
        ((START_NS, START_NS + 1), []),
        ((START_NS, START_NS - 1), ["end_time_before_start"]),
        ((YEAR_1970, YEAR_1970), ["impossible_time"]),
        ((YEAR_2101, YEAR_2101 + 1), ["impossible_time"]),
        ((START_NS, 0), ["end_time_before_start", "impossible_time"]),
        ((START_NS + 400 * 10**9, START_NS + 401 * 10**9), ["time_in_future"]),
    ],
)
def test_times_that_cannot_be_right_are_flagged(times: tuple[int, int], flags: list[str]) -> None:
    (record,) = spans({"id": 1, "start_ns": times[0], "end_ns": times[1]})
    assert record["flags"] == flags
    assert (record["start_ns"], record["end_ns"]) == times


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ({"attributes": {"error.type": "TimeoutError"}}, ("TimeoutError", None)),
        ({"status": "ERROR", "message": "RateLimitError: slow down"}, ("RateLimitError", "RateLimitError: slow down")),
        ({"status": "ERROR", "message": "it broke"}, ("_OTHER", "it broke")),
        ({"status": "ERROR", "events": [("exception", {"exception.type": "E", "exception.message": "m"})]}, ("E", "m")),
        ({"events": [("exception", {"exception.type": "E"})]}, (None, None)),
        (
            {
                "attributes": {
                    "langfuse.observation.type": "generation",
                    "langfuse.observation.level": "ERROR",
                    "langfuse.observation.status_message": "it broke",
                }
            },
            ("_OTHER", "it broke"),
        ),
        (
            {
                "status": "ERROR",
                "events": [
                    (
                        "exception",
                        {"exception.type": "Exception", "exception.message": "TimeoutError('slow')\n\nTraceback"},
                    )
                ],
            },
            ("TimeoutError", "TimeoutError('slow')\n\nTraceback"),
        ),
    ],
)
def test_an_error_has_a_type_and_a_message(span: dict[str, object], expected: tuple[object, object]) -> None:
    (record,) = spans({"id": 1, **span})
    assert (record["error_type"], record["error_message"]) == expected


def test_a_log_record_sent_again_has_the_same_id() -> None:
    message = {"event": "gen_ai.user.message", "span": 1, "body": {"content": "Hi"}}
    first, second = (normalise_logs(logs_body(message), encoding="protobuf").records for _ in range(2))
    other = logs(message | {"at": 1})
    assert first[0]["record_id"] == second[0]["record_id"] != other[0]["record_id"]


def test_ordinary_log_lines_are_accepted_and_ignored() -> None:
    body = logs_body(
        {"body": "user said hi", "span": 1}, {"event": "gen_ai.choice", "span": 1, "body": {"message": {}}}
    )
    found = normalise_logs(body, encoding="protobuf")
    assert (len(found.records), found.ignored, found.rejected) == (1, 1, 0)


def test_refused_spans_are_counted_and_explained() -> None:
    found = normalise_traces(spans_body({"id": 1}, {"id": 0, "name": "bad"}), encoding="protobuf")
    assert (len(found.records), found.rejected) == (1, 1)
    assert "bad" in found.error_message


def test_records_are_plain_json() -> None:
    records = spans(chat(1), {"id": 2, "attributes": {"d": float("nan")}})
    assert json.loads(json.dumps(records, allow_nan=False)) == records
