"""One suite that every store backend passes."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from pyarrow import flight

from collector.auth import Authenticator
from collector.store_service import StoreService, Uploads
from tests.integration.running import wait_until
from undertow.errors import QueryError, QueryStoppedError, StoreError, StoreLockedError, StoreUnavailableError
from undertow.store import Store, data_version
from undertow.store.embedded import EmbeddedStore
from undertow.store.flight import COMMIT_ACTION, FlightStore, encode_query

OPEN = Authenticator({})
LIMIT_S = 600.0


def embedded(stack: ExitStack, path: Path) -> Store:
    return stack.enter_context(EmbeddedStore(path, query_timeout_s=LIMIT_S))


def served(stack: ExitStack, path: Path) -> Store:
    owner = stack.enter_context(EmbeddedStore(path, query_timeout_s=LIMIT_S))
    service = StoreService(owner, OPEN, host="127.0.0.1", port=0)
    stack.callback(service.shutdown)
    return stack.enter_context(FlightStore(f"grpc://127.0.0.1:{service.port}"))


BACKENDS: dict[str, Callable[[ExitStack, Path], Store]] = {"embedded": embedded, "flight": served}


@pytest.fixture(params=sorted(BACKENDS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with ExitStack() as stack:
        yield BACKENDS[request.param](stack, tmp_path / "store.duckdb")


def rows(store: Store, sql: str, params: Any = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = store.query(sql, params).to_pylist()
    return found


def table(*values: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(values))


def span(number: int, **more: Any) -> dict[str, Any]:
    return {"trace_id": f"{number:032x}", "span_id": f"{number:016x}", "name": f"span {number}", **more}


def review(state: str, severity: float, by: str | None = None) -> pa.Table:
    return pa.table(
        {
            "interaction_id": ["i"],
            "state": [state],
            "severity": [severity],
            "decided_by": pa.array([by], pa.string()),
        }
    )


def test_several_tables_are_written_in_one_commit(store: Store) -> None:
    seq = store.commit({"spans": table(span(1)), "costs": table({"interaction_id": "a", "cost_usd": 0.5})}, key="k")
    assert rows(store, "SELECT name, load_seq FROM spans") == [{"name": "span 1", "load_seq": seq}]
    assert rows(store, "SELECT cost_usd FROM costs") == [{"cost_usd": 0.5}]
    assert data_version(store) == seq


def test_a_bad_table_leaves_the_good_ones_unwritten(store: Store) -> None:
    before = data_version(store)
    bad = {"spans": table(span(1)), "costs": table({"interaction_id": "a", "no_such_column": 1})}
    with pytest.raises(StoreError, match="no_such_column"):
        store.commit(bad, key="k")
    assert rows(store, "SELECT count(*) AS n FROM spans") == [{"n": 0}]
    assert data_version(store) == before


def test_a_commit_without_tables_still_takes_its_number(store: Store) -> None:
    seq = store.commit({}, key="empty")
    assert data_version(store) == seq
    assert store.commit({}, key="empty") == seq


def test_a_second_commit_with_a_key_changes_nothing_and_returns_the_first_number(store: Store) -> None:
    first = store.commit({"spans": table(span(1))}, key="same")
    store.commit({"spans": table(span(2))}, key="other")
    assert store.commit({"spans": table(span(3))}, key="same") == first
    assert rows(store, "SELECT count(*) AS n FROM spans") == [{"n": 2}]


def test_sequence_numbers_grow(store: Store) -> None:
    numbers = [store.commit({"spans": table(span(i))}, key=f"k{i}") for i in range(5)]
    assert numbers == sorted(set(numbers))


def test_a_table_that_keeps_ignores_a_row_with_a_stored_key(store: Store) -> None:
    first = store.commit({"spans": table(span(1, name="old"))}, key="a")
    store.commit({"spans": table(span(1, name="new"), span(2))}, key="b")
    assert rows(store, "SELECT name, load_seq FROM spans WHERE trace_id = ?", [f"{1:032x}"]) == [
        {"name": "old", "load_seq": first}
    ]
    assert rows(store, "SELECT count(*) AS n FROM spans") == [{"n": 2}]


def test_a_table_that_replaces_takes_the_new_row_and_its_number(store: Store) -> None:
    store.commit({"interactions": table({"interaction_id": "i", "response": "old", "provider": "p"})}, key="a")
    second = store.commit({"interactions": table({"interaction_id": "i", "response": "new"})}, key="b")
    assert rows(store, "SELECT response, provider, load_seq FROM interactions") == [
        {"response": "new", "provider": None, "load_seq": second}
    ]


def test_a_machine_never_overwrites_a_human_unless_severity_has_risen(store: Store) -> None:
    store.commit({"reviews": review("open", 0.5)}, key="a")
    store.commit({"reviews": review("archived", 0.5, by="ana")}, key="b")
    store.commit({"reviews": review("open", 0.9)}, key="c")
    store.commit({"reviews": review("escalated", 0.5)}, key="d")
    assert rows(store, "SELECT state, decided_by FROM reviews") == [{"state": "archived", "decided_by": "ana"}]
    store.commit({"reviews": review("escalated", 0.9)}, key="e")
    assert rows(store, "SELECT state, severity FROM reviews") == [{"state": "escalated", "severity": 0.9}]


def test_deletion_comes_before_writing_and_takes_only_what_it_selects(store: Store) -> None:
    claims = [{"claim_id": f"c{i}", "interaction_id": "a" if i < 2 else "b", "text": "old"} for i in range(4)]
    store.commit({"claims": table(*claims)}, key="a")
    store.commit(
        {"claims": table({"claim_id": "c1", "interaction_id": "a", "text": "new"})},
        key="b",
        delete={"claims": table({"interaction_id": "a"})},
    )
    assert rows(store, "SELECT claim_id, text FROM claims ORDER BY 1") == [
        {"claim_id": "c1", "text": "new"},
        {"claim_id": "c2", "text": "old"},
        {"claim_id": "c3", "text": "old"},
    ]


def test_an_empty_table_is_no_error(store: Store) -> None:
    empty = pa.table({"trace_id": pa.array([], pa.string()), "span_id": pa.array([], pa.string())})
    store.commit({"spans": empty}, key="a", delete={"spans": empty})
    assert rows(store, "SELECT count(*) AS n FROM spans") == [{"n": 0}]


@pytest.mark.parametrize(
    ("tables", "named"),
    [
        ({"no_such_table": {"a": 1}}, "no_such_table"),
        ({"spans": {"trace_id": "a", "span_id": "b", "colour": "red"}}, "colour"),
        ({"spans": {"trace_id": "a"}}, "span_id"),
        ({"commits": {"key": "a"}}, "commits"),
    ],
)
def test_an_unknown_table_or_column_and_a_missing_key_are_named(
    store: Store, tables: dict[str, dict[str, Any]], named: str
) -> None:
    with pytest.raises(StoreError, match=named):
        store.commit({name: table(row) for name, row in tables.items()}, key="k")


def test_a_key_that_stands_twice_in_the_rows_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="twice"):
        store.commit({"spans": table(span(1), span(1))}, key="k")


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM spans",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE spans",
        "CREATE TABLE mine (a INTEGER)",
        "INSERT INTO spans (trace_id) VALUES ('a')",
        "COPY spans TO 'out.csv'",
        "ATTACH 'other.duckdb'",
        "SET memory_limit = '100GB'",
        "INSTALL httpfs",
        "EXPLAIN ANALYZE SELECT 1",
        "",
    ],
)
def test_only_one_select_is_taken(store: Store, sql: str) -> None:
    with pytest.raises(QueryError):
        store.query(sql)
    assert rows(store, "SELECT count(*) AS n FROM spans") == [{"n": 0}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_parquet('https://example.com/a.parquet')",
        "SELECT * FROM local_table",
    ],
)
def test_a_query_reaches_nothing_outside_the_store(store: Store, sql: str) -> None:
    local_table = pa.table({"a": [1]})
    assert local_table.num_rows == 1
    with pytest.raises(QueryError):
        store.query(sql)


@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT no_such_column FROM spans", "SELECT * FROM no_such_table"])
def test_wrong_sql_is_a_query_error(store: Store, sql: str) -> None:
    with pytest.raises(QueryError):
        store.query(sql)


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_a_query_that_takes_too_long_is_stopped(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "LIMIT_S", 0.5)
    with ExitStack() as stack, pytest.raises(QueryStoppedError, match="longer than"):
        store = BACKENDS[backend](stack, tmp_path / "store.duckdb")
        store.query("SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range = 7")


def test_an_error_in_the_middle_of_a_result_is_a_query_error(store: Store) -> None:
    with pytest.raises(QueryError, match="Could not convert"):
        store.query(
            "SELECT repeat('x', 100) AS t, CAST(CASE WHEN range < 50000 THEN '1' ELSE 'x' END AS INTEGER) AS v"
            " FROM range(60000)"
        )


ENDLESS = "SELECT range AS i, repeat('x', 1000) AS t FROM range(100000000000)"


def test_a_stream_works_out_only_what_is_taken(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "store.duckdb") as store:
        schema, batches = store.stream(ENDLESS)
        assert schema.names == ["i", "t"]
        assert next(batches).column("i")[0].as_py() == 0
        batches.close()
        assert list(batches) == []
        assert sum(batch.num_rows for batch in store.stream("SELECT * FROM range(5000)")[1]) == 5000


def test_a_stream_has_the_time_limit_of_a_query(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "store.duckdb", query_timeout_s=0.3) as store:
        with pytest.raises(QueryStoppedError, match="longer than"):
            _, batches = store.stream(ENDLESS)
            next(batches)
            time.sleep(0.5)
            for _ in batches:
                pass


def test_the_service_holds_no_result_in_memory(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "store.duckdb") as owner:
        service = StoreService(owner, OPEN, host="127.0.0.1", port=0)
        client = flight.connect(f"grpc+tcp://127.0.0.1:{service.port}")
        memory = psutil.Process().memory_info
        before = memory().rss
        reader = client.do_get(flight.Ticket(encode_query(ENDLESS, None)))
        for _ in range(50):
            reader.read_chunk()
        assert memory().rss - before < 2**28
        reader.cancel()
        with FlightStore(f"grpc://127.0.0.1:{service.port}") as store:
            assert rows(store, "SELECT 1 AS one") == [{"one": 1}]
        client.close()
        service.shutdown()


VALUES: list[Any] = [
    True,
    7,
    -(2**62),
    0.25,
    "text with 'quotes', emoji 🙂 and \n lines",
    None,
    b"\x00\xff bytes",
    datetime(2026, 2, 3, 4, 5, 6, 789),
    ["a", "b"],
    [1, 2, 3],
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_of_any_type_travels_bound_by_position_or_by_name(store: Store, value: Any) -> None:
    assert rows(store, "SELECT ? AS v", [value]) == [{"v": value}]
    assert rows(store, "SELECT $it AS v", {"it": value}) == [{"v": value}]


def test_an_empty_list_selects_nothing(store: Store) -> None:
    store.commit({"spans": table(span(1))}, key="k")
    assert rows(store, "SELECT 1 FROM spans WHERE trace_id IN (SELECT unnest($ids))", {"ids": []}) == []


def test_a_statement_without_values_takes_none(store: Store) -> None:
    assert rows(store, "SELECT 1 AS one") == [{"one": 1}]
    with pytest.raises(QueryError):
        store.query("SELECT ? AS v")


def test_a_large_result_and_a_large_commit_arrive_whole(store: Store) -> None:
    n = 50_000
    ids = pa.array([f"{i:032x}" for i in range(n)])
    spans = pa.table({"trace_id": ids, "span_id": ids, "name": pa.array(["x" * 200] * n)})
    store.commit({"spans": spans}, key="large")
    found = store.query("SELECT trace_id, name FROM spans ORDER BY trace_id")
    assert found.num_rows == n
    assert found.column("trace_id").to_pylist() == ids.to_pylist()


def test_readers_see_whole_commits_while_others_write(store: Store) -> None:
    stop = threading.Event()
    torn: list[Any] = []

    def read() -> None:
        while not stop.is_set():
            sizes = rows(store, "SELECT count(*) AS n FROM spans GROUP BY load_seq")
            torn.extend(size for size in sizes if size["n"] != 10)

    def write(writer: int) -> None:
        for i in range(8):
            batch = [span(writer * 1000 + i * 10 + j) for j in range(10)]
            store.commit({"spans": table(*batch)}, key=f"{writer}/{i}")

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(i,)) for i in range(1, 4)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert torn == []
    assert rows(store, "SELECT count(*) AS n, count(DISTINCT load_seq) AS s FROM spans") == [{"n": 240, "s": 24}]


WRITER = """
import sys, threading
from contextlib import ExitStack
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_store_conformance as suite
with ExitStack() as stack:
    store = suite.BACKENDS[sys.argv[2]](stack, Path(sys.argv[3]))
    print("ready", flush=True)
    for i in range(10_000):
        batch = [suite.span(i * 100 + j, attributes="x" * 500) for j in range(100)]
        cost = suite.table({"interaction_id": str(i), "cost_usd": 1.0})
        store.commit({"spans": suite.table(*batch), "costs": cost}, key=str(i))
        print(i, flush=True)
"""


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_a_process_killed_in_the_middle_of_a_commit_leaves_all_of_it_or_nothing(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    rng = random.Random(7)
    confirmed: set[str] = set()
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(Path(__file__).parent), backend, str(path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        confirmed.add(process.stdout.readline().strip())
        time.sleep(rng.random() / 2)
        process.send_signal(signal.SIGKILL)
        confirmed |= set(process.stdout.read().split("\n")[:-1])
        process.wait()
        process.stdout.close()
    with EmbeddedStore(path) as store:
        found = rows(store, "SELECT load_seq, count(*) AS n FROM spans GROUP BY load_seq")
        assert {row["n"] for row in found} == {100}
        keys = {row["key"] for row in rows(store, "SELECT key FROM commits")}
        assert confirmed <= keys
        assert len(keys) == len(found)
        assert rows(store, "SELECT count(*) AS n FROM costs") == [{"n": len(keys)}]


def test_a_locked_file_names_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    code = (
        "import sys; from pathlib import Path; from undertow.store.embedded import EmbeddedStore;"
        "s = EmbeddedStore(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        with pytest.raises(StoreLockedError, match=str(owner.pid)):
            EmbeddedStore(path)
        owner.communicate()


def test_an_address_where_nothing_answers_is_unavailable() -> None:
    with pytest.raises(StoreUnavailableError, match="undertow"):
        FlightStore("grpc://127.0.0.1:1")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    auth = Authenticator({"reading": ["read"], "writing": ["write"], "sending": ["ingest"]})
    with EmbeddedStore(tmp_path / "store.duckdb") as owner:
        service = StoreService(owner, auth, host="127.0.0.1", port=0)
        yield f"grpc://127.0.0.1:{service.port}"
        service.shutdown()


@pytest.mark.parametrize(
    ("token", "may_read", "may_write"),
    [
        (None, False, False),
        ("wrong", False, False),
        ("sending", False, False),
        ("reading", True, False),
        ("writing", True, True),
    ],
)
def test_the_service_gives_a_token_its_scopes_and_no_more(
    guarded: str, token: str | None, may_read: bool, may_write: bool
) -> None:
    attempts: dict[Callable[[FlightStore], object], bool] = {
        lambda store: store.query("SELECT 1"): may_read,
        lambda store: store.commit({"spans": table(span(1))}, key="k"): may_write,
    }
    with FlightStore(guarded, token=token) as store:
        for attempt, allowed in attempts.items():
            if allowed:
                attempt(store)
            else:
                with pytest.raises(StoreError, match="refused the token"):
                    attempt(store)


def upload(client: Any, token: str, rows_: pa.Table) -> None:
    writer, _ = client.do_put(flight.FlightDescriptor.for_path(token, "write", "spans"), rows_.schema)
    with writer:
        writer.write_table(rows_)


def test_uploads_hold_a_bounded_number_of_bytes_which_time_or_a_commit_frees(tmp_path: Path) -> None:
    rows_ = table(span(1))
    with EmbeddedStore(tmp_path / "store.duckdb") as owner:
        limit = 3 * rows_.nbytes
        service = StoreService(owner, OPEN, host="127.0.0.1", port=0, uploads=Uploads(3.0, limit))
        client = flight.connect(f"grpc+tcp://127.0.0.1:{service.port}")
        with pytest.raises(flight.FlightServerError, match="hold more than"):
            for number in range(10):
                upload(client, f"t{number}", rows_)
        assert 0 < service.staged_bytes <= limit
        wait_until(lambda: service.staged_bytes == 0)
        with FlightStore(f"grpc://127.0.0.1:{service.port}") as store:
            for number in range(10):
                store.commit({"spans": table(span(number))}, key=f"k{number}")
        assert service.staged_bytes == 0
        client.close()
        service.shutdown()


def test_a_commit_over_the_wire_says_nothing_about_alignment(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with ExitStack() as stack:
        store = served(stack, tmp_path / "store.duckdb")
        for number in range(1, 6):
            costs = [{"interaction_id": f"{i}", "cost_usd": 0.5} for i in range(100 * number + 1)]
            spans = [span(i, name="x" * (i % 3)) for i in range(100 * number + 1)]
            store.commit({"costs": table(*costs), "spans": table(*spans)}, key=f"k{number}")
    assert "aligned" not in capfd.readouterr().err


def test_an_upload_that_nobody_commits_is_dropped(tmp_path: Path) -> None:
    rows_ = table(span(1))
    with EmbeddedStore(tmp_path / "store.duckdb") as owner:
        service = StoreService(owner, OPEN, host="127.0.0.1", port=0, uploads=Uploads(kept_s=0.05))
        client = flight.connect(f"grpc+tcp://127.0.0.1:{service.port}")
        upload(client, "abandoned", rows_)
        wait_until(lambda: service.staged_bytes == 0)
        action = flight.Action(COMMIT_ACTION, b'{"token": "abandoned", "key": "k", "parts": 1}')
        with pytest.raises(flight.FlightServerError, match="0 of 1"):
            list(client.do_action(action))
        client.close()
        service.shutdown()
