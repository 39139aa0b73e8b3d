"""Tokens that are bound to a service or environment, through both doors."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from collector import bound_reads
from collector.bound_reads import VISIBLE, BoundReads
from collector.bounds import Bounds
from tests.integration.running import TRACES, RunningCollector, new_trace, trace_request
from undertow.errors import QueryError, QueryStoppedError
from undertow.store import data_version
from undertow.store.base import Params
from undertow.store.embedded import EmbeddedStore
from undertow.store.flight import FlightStore
from undertow.store.tables import TABLES

TOKENS = {
    "bank": ["ingest", "service=bank", "environment=prod"],
    "both": ["ingest", "service=bank", "service=shop"],
    "free": ["ingest", "write"],
    "reader": ["read", "service=bank"],
}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    work = tmp_path_factory.mktemp("bound")
    running = RunningCollector(work, UNDERTOW_AUTH__TOKENS=json.dumps(TOKENS)).start()
    yield running
    running.stop()


def send(collector: RunningCollector, token: str, door: str, body: bytes) -> ExportTraceServiceResponse:
    if door == "grpc":
        return ExportTraceServiceResponse.FromString(collector.rpc(TRACES, body, authorization=f"Bearer {token}"))
    answer = collector.post("/v1/traces", body, Authorization=f"Bearer {token}")
    assert answer.status == 200
    return ExportTraceServiceResponse.FromString(answer.body)


def stored(collector: RunningCollector, trace: str) -> list[tuple[str, str | None]]:
    assert collector.request("POST", "/v1/flush", b"", Authorization="Bearer free").status == 200
    with FlightStore(collector.store_url, token="free") as store:
        sql = "SELECT service_name, environment FROM spans WHERE trace_id = ? ORDER BY 1"
        return [(row["service_name"], row["environment"]) for row in store.query(sql, [trace]).to_pylist()]


def merged(*bodies: bytes) -> bytes:
    """Several requests as one: protobuf messages join by concatenation."""
    return b"".join(bodies)


@pytest.mark.parametrize("door", ["http", "grpc"])
def test_spans_of_another_service_are_rejected_and_the_others_stored(collector: RunningCollector, door: str) -> None:
    trace = new_trace()
    body = merged(
        trace_request(trace, 2, service="bank"),
        trace_request(trace, 3, first=10, service="payroll"),
        trace_request(trace, 1, first=20, service="unknown_service:python"),
    )
    partial = send(collector, "bank", door, body).partial_success
    assert partial.rejected_spans == 3
    assert partial.error_message == "3 items are not of the token's service bank and environment prod"
    assert stored(collector, trace) == [("bank", "prod")] * 3


def test_a_token_of_several_services_stamps_nothing_and_a_free_one_is_not_bound(collector: RunningCollector) -> None:
    trace = new_trace()
    mixed = merged(trace_request(trace, 1, service="shop"), trace_request(trace, 1, first=5, service="unknown_service"))
    assert send(collector, "both", "http", mixed).partial_success.rejected_spans == 1
    assert (
        send(
            collector, "free", "http", trace_request(trace, 1, first=9, service="payroll")
        ).partial_success.rejected_spans
        == 0
    )
    assert stored(collector, trace) == [("payroll", None), ("shop", None)]


def test_a_declared_environment_that_is_not_the_tokens_is_rejected(collector: RunningCollector) -> None:
    trace = new_trace()
    request = ExportTraceServiceRequest.FromString(trace_request(trace, 1, service="bank"))
    name = request.resource_spans[0].resource.attributes.add()
    name.key, name.value.string_value = "deployment.environment.name", "test"
    assert send(collector, "bank", "grpc", request.SerializeToString()).partial_success.rejected_spans == 1
    assert stored(collector, trace) == []


def test_feedback_of_a_bound_token_names_a_trace_and_changes_are_refused(collector: RunningCollector) -> None:
    def post(path: str, body: object) -> tuple[int, str]:
        answer = collector.post(path, json.dumps(body).encode(), "application/json", Authorization="Bearer bank")
        return answer.status, answer.body.decode()

    thumb = {"kind": "thumb", "value": 1}
    assert post("/v1/feedback", {**thumb, "target": {"trace_id": new_trace()}})[0] == 202
    status, told = post("/v1/feedback", {**thumb, "target": {"session_id": "s-1"}})
    assert status == 403 and "by trace_id alone" in told
    status, told = post("/v1/changes", {"kind": "model", "name": "m"})
    assert status == 403 and "marked for every service" in told


def test_a_bound_token_has_no_other_scope_than_its_own(collector: RunningCollector) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        collector.rpc(TRACES, trace_request(new_trace()), authorization="Bearer nobody")
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.fixture(scope="module")
def two_projects(collector: RunningCollector) -> str:
    """A trace in which two services have one call each, with texts of their own."""
    trace = new_trace()
    ours = trace_request(trace, 1, service="bank", text="our question")
    theirs = trace_request(trace, 1, first=9, service="payroll", text="their salary")
    assert send(collector, "free", "http", merged(ours, theirs)).partial_success.rejected_spans == 0
    assert collector.request("POST", "/v1/flush", b"", Authorization="Bearer free").status == 200
    return trace


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT prompt AS text FROM interactions",
        "SELECT prompt AS text FROM main.interactions",
        "SELECT prompt AS text FROM semantic_interactions",
        "WITH a AS (FROM interactions_priced) SELECT prompt AS text FROM a UNION ALL SELECT service_name FROM spans",
        "SELECT stats(prompt) AS text FROM interactions",
        "FROM query_table('interactions') SELECT prompt AS text",
        "FROM query('SELECT prompt AS text FROM interactions')",
    ],
)
def test_a_bound_reader_sees_no_row_of_another_service(
    collector: RunningCollector, two_projects: str, sql: str
) -> None:
    with FlightStore(collector.store_url, token="reader") as store:
        shown = str(store.query(sql).to_pylist())
    assert "salary" not in shown and "payroll" not in shown
    if "query" not in sql:
        assert "our question" in shown or "stats" in sql


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "SELECT * FROM records",
            "records does not exist(.|\n)*bound to a service or environment can read claims, commits",
        ),
        ("SELECT * FROM topics JOIN interactions ON true", "topics does not exist"),
        ("SELECT CAST(prompt AS INTEGER) FROM interactions", "Could not convert string"),
        ("DROP TABLE interactions", "one SELECT statement is expected"),
        ("SELECT 1; SELECT 2", "one SELECT statement is expected"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled"),
        ("SELEC 1", "syntax error"),
    ],
)
def test_a_bound_reader_is_told_what_he_cannot_do_without_a_word_of_others(
    collector: RunningCollector, two_projects: str, sql: str, message: str
) -> None:
    with FlightStore(collector.store_url, token="reader") as store, pytest.raises(QueryError, match=message) as refused:
        store.query(sql)
    assert "salary" not in str(refused.value)


def test_a_bound_reader_binds_values_and_knows_the_version_of_the_data(
    collector: RunningCollector, two_projects: str
) -> None:
    with (
        FlightStore(collector.store_url, token="reader") as bound,
        FlightStore(collector.store_url, token="free") as free,
    ):
        sql = "SELECT count(*) AS n FROM interactions WHERE trace_id = $trace"
        assert bound.query(sql, {"trace": two_projects}).to_pylist() == [{"n": 1}]
        assert free.query(sql, {"trace": two_projects}).to_pylist() == [{"n": 2}]
        assert data_version(bound) == data_version(free)


def test_every_relation_is_either_shown_to_bound_readers_by_a_rule_or_refused(collector: RunningCollector) -> None:
    hidden = {*TABLES, "schema_migrations"} - set(VISIBLE)
    with FlightStore(collector.store_url, token="reader") as store:
        for name in hidden:
            with pytest.raises(QueryError, match="does not exist"):
                store.query(f"SELECT * FROM {name}")
        for name in VISIBLE:
            store.query(f"SELECT * FROM {name}")


def test_a_bound_reader_is_refused_a_result_beyond_the_limit_and_served_the_next(
    collector: RunningCollector, two_projects: str
) -> None:
    with FlightStore(collector.store_url, token="reader") as store:
        with pytest.raises(QueryError, match="the result is larger than"):
            store.query("SELECT repeat('x', 1000000) || i AS text FROM range(300) AS r(i)")
        assert store.query("SELECT count(*) > 0 AS some FROM interactions").to_pylist() == [{"some": True}]


def test_a_bound_readers_time_may_be_over_just_before_his_statement_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = bound_reads._prepare

    def prepare_beyond_the_limit(*arguments: Any) -> None:
        prepare(*arguments)
        time.sleep(0.5)

    monkeypatch.setattr(bound_reads, "_prepare", prepare_beyond_the_limit)
    endless = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range = 7"
    with EmbeddedStore(tmp_path / "store.duckdb") as store, pytest.raises(QueryStoppedError, match="longer than"):
        BoundReads(store, timeout_s=0.4).stream(Bounds(frozenset({"bank"})), endless, None)


def test_results_that_bound_readers_do_not_take_are_bounded_together(tmp_path: Path) -> None:
    sql = "SELECT repeat('x', 600) || i AS text FROM range(1000) AS r(i)"
    with EmbeddedStore(tmp_path / "store.duckdb") as store:
        reads = BoundReads(store, timeout_s=120, most_bytes=1_000_000)
        _, untaken = reads.stream(Bounds(frozenset({"bank"})), sql, None)
        with pytest.raises(QueryError, match="readers have not taken yet"):
            reads.stream(Bounds(frozenset({"bank"})), sql, None)
        del untaken
        assert reads.untaken_bytes == 0
        _, taken = reads.stream(Bounds(frozenset({"bank"})), sql, None)
        assert sum(batch.num_rows for batch in taken) == 1000
        del taken
        assert reads.untaken_bytes == 0


def test_copies_for_bound_readers_take_turns(tmp_path: Path) -> None:
    copies = 0
    most = 0
    counting, both = threading.Lock(), threading.Barrier(2)

    class Watched(EmbeddedStore):
        def stream(self, sql: str, params: Params = None) -> tuple[pa.Schema, Generator[pa.RecordBatch]]:
            nonlocal copies, most
            with counting:
                copies += 1
                most = max(most, copies)
            both.wait(120)  # until a second one is here
            time.sleep(0.1)  # long enough that every other reader would come in between
            with counting:
                copies -= 1
            return super().stream(sql, params)

    with Watched(tmp_path / "store.duckdb") as store, ThreadPoolExecutor(6) as pool:
        reads = BoundReads(store, timeout_s=120)
        asked = [
            pool.submit(reads.stream, Bounds(frozenset({"bank"})), "SELECT count(*) FROM spans", None) for _ in range(6)
        ]
        assert [next(one.result()[1]).column(0)[0].as_py() for one in asked] == [0] * 6
    assert most == 2
