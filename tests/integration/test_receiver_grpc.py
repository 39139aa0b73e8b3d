"""The promises of the gRPC door, through a real socket."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator

import grpc
import psutil
import pytest
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.integration.running import (
    LOGS,
    METRICS,
    PATIENCE_S,
    TRACES,
    RunningCollector,
    StartCollector,
    new_trace,
    trace_request,
)

MIB = 2**20
LIMIT = 64 * MIB


def stored(collector: RunningCollector, trace: str) -> int:
    assert collector.flush().status == 200
    found = collector.rows("SELECT count(*) AS n FROM spans WHERE trace_id = ?", [trace])
    return int(found[0]["n"])


def refused(collector: RunningCollector, method: str, body: bytes, **metadata: str) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        collector.rpc(method, body, **metadata)
    error: grpc.RpcError = caught.value
    return error


@pytest.mark.parametrize("gzipped", [False, True])
def test_spans_are_taken_plain_and_gzipped(collector: RunningCollector, gzipped: bool) -> None:
    trace = new_trace()
    answer = collector.rpc(TRACES, trace_request(trace, 3), gzipped=gzipped)
    assert ExportTraceServiceResponse.FromString(answer) == ExportTraceServiceResponse()
    assert stored(collector, trace) == 3


def test_logs_are_taken(collector: RunningCollector) -> None:
    assert collector.rpc(LOGS, ExportLogsServiceRequest().SerializeToString()) == b""


def test_metrics_are_accepted_and_dropped_with_a_warning(collector: RunningCollector) -> None:
    response = ExportMetricsServiceResponse.FromString(collector.rpc(METRICS, b""))
    assert response.partial_success.rejected_data_points == 0
    assert "dropped" in response.partial_success.error_message


def test_an_unknown_method_is_unimplemented(collector: RunningCollector) -> None:
    assert refused(collector, "/other.Service/Export", b"").code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("method", [TRACES, LOGS, METRICS])
def test_malformed_input_is_an_invalid_argument_with_details_and_without_its_bytes(
    collector: RunningCollector, method: str
) -> None:
    error = refused(collector, method, b"\x0bhunter2-my-password")
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    assert status_pb2.Status.FromString(details).message == error.details()
    assert "hunter2" not in error.details()
    assert "hunter2" not in collector.log.read_text()


def test_one_bad_span_in_a_good_batch_is_partial_success(collector: RunningCollector) -> None:
    trace = new_trace()
    request = ExportTraceServiceRequest.FromString(trace_request(trace, 3))
    request.resource_spans[0].scope_spans[0].spans[1].trace_id = b"short"
    response = ExportTraceServiceResponse.FromString(collector.rpc(TRACES, request.SerializeToString()))
    assert response.partial_success.rejected_spans == 1
    assert stored(collector, trace) == 2


def test_a_message_beyond_the_limit_is_resource_exhausted(collector: RunningCollector) -> None:
    assert refused(collector, TRACES, bytes(LIMIT + 1)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_bomb_is_resource_exhausted_and_memory_stays_within_twice_the_limit(collector: RunningCollector) -> None:
    process = psutil.Process(collector.pid)
    before = process.memory_info().rss
    peak = before
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(grpc.RpcError) as caught:
        collector.rpc(TRACES, bytes(256 * MIB), gzipped=True)
    done.set()
    watcher.join()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert peak - before < 2 * LIMIT


def test_tokens_are_checked_before_the_message_is_read(start_collector: StartCollector) -> None:
    tokens = json.dumps({"sender": ["ingest"], "reader": ["read"]})
    collector = start_collector(UNDERTOW_AUTH__TOKENS=tokens)
    body = trace_request(new_trace())
    assert collector.rpc(TRACES, body, authorization="Bearer sender") == b""
    assert refused(collector, TRACES, body).code() is grpc.StatusCode.UNAUTHENTICATED
    denied = refused(collector, TRACES, body, authorization="Bearer reader")
    assert denied.code() is grpc.StatusCode.PERMISSION_DENIED

    told = threading.Event()

    def never() -> Iterator[bytes]:
        told.wait(2 * PATIENCE_S)
        yield b""

    with grpc.insecure_channel(f"127.0.0.1:{collector.grpc_port}") as channel:
        with pytest.raises(grpc.RpcError) as caught:  # who waited for the message would be too late
            channel.stream_unary(TRACES)(never(), timeout=PATIENCE_S)
        told.set()
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_full_disk_is_unavailable_with_retry_info_in_the_details_and_in_the_trailer(
    start_collector: StartCollector,
) -> None:
    collector = start_collector()
    _, hard = resource.prlimit(collector.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    error = refused(collector, TRACES, trace_request(new_trace()))
    resource.prlimit(collector.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    trailer = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailer["grpc-status-details-bin"])
    told = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(told)
    assert told.retry_delay.seconds > 0
    assert error_details_pb2.RetryInfo.FromString(trailer["google.rpc.retryinfo-bin"]) == told
    trace = new_trace()
    collector.rpc(TRACES, trace_request(trace, 2))
    assert stored(collector, trace) == 2


STOCK_SDK = """
import sys
from opentelemetry.exporter.otlp.proto.{protocol}.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=sys.argv[1]{more})))
tracer = provider.get_tracer("stock")
for number in range(300):
    with tracer.start_as_current_span(f"stock {protocol}", attributes={{"gen_ai.operation.name": "chat"}}):
        pass
provider.shutdown()
"""


@pytest.mark.parametrize(("protocol", "more"), [("grpc", ", insecure=True"), ("http", "")])
def test_the_stock_sdk_sends_every_span(collector: RunningCollector, protocol: str, more: str) -> None:
    url = f"http://127.0.0.1:{collector.grpc_port if protocol == 'grpc' else collector.http_port}"
    endpoint = url if protocol == "grpc" else f"{url}/v1/traces"
    code = STOCK_SDK.format(protocol=protocol, more=more)
    done = subprocess.run(
        [sys.executable, "-c", code, endpoint], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    collector.flush()
    found = collector.rows("SELECT count(*) AS n FROM spans WHERE name = ?", [f"stock {protocol}"])
    assert found == [{"n": 300}]
