"""A store written anew: erased rows give their room back, the journal forgets them, and nothing else is lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from click.testing import CliRunner

from collector.auth import Authenticator
from collector.store_cli import check
from collector.store_service import StoreService
from tests.integration.running import (
    PATIENCE_S,
    RunningCollector,
    StartCollector,
    new_trace,
    trace_request,
    wait_until,
)
from undertow.errors import QueryError, StoreError
from undertow.store import Store, copying, data_version
from undertow.store import embedded as embedded_module
from undertow.store.check import check_store
from undertow.store.compact import fresh_path, leftovers, remove_leftovers
from undertow.store.embedded import EmbeddedStore
from undertow.store.flight import FlightStore

SECRET = "the-erased-name-of-a-person"
ENDLESS = "SELECT range AS i, repeat('x', 1000) AS t FROM range(100000000000)"


def spans(first: int, last: int, text: str) -> pa.Table:
    rng = random.Random(first)
    return pa.Table.from_pylist(
        [
            {"trace_id": f"{i:032x}", "span_id": f"{i:016x}", "name": text, "attributes": rng.randbytes(500).hex()}
            for i in range(first, last)
        ]
    )


def filled(path: Path, **limits: Any) -> EmbeddedStore:
    """A store with 2,000 spans that stay and 8,000 that were erased."""
    store = EmbeddedStore(path, **limits)
    for part in range(4):
        gone = part % 2 == 0
        first = part * 100_000
        rows = spans(first, first + (4000 if gone else 1000), SECRET if gone else "kept")
        store.commit({"spans": rows}, key=f"fill {part}")
    store.commit({}, key="erase", delete={"spans": pa.table({"name": [SECRET]})})
    return store


def content(store: Store) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = store.query("SELECT * FROM spans ORDER BY trace_id").to_pylist()
    return rows


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with filled(tmp_path / "store.duckdb") as opened:
        yield opened


def test_the_file_shrinks_and_keeps_what_was_not_erased(store: EmbeddedStore) -> None:
    before = content(store)
    done = store.compact(actor="ana")
    assert content(store) == before
    assert done.bytes_after < 0.8 * done.bytes_before
    assert sorted(path.name for path in store.path.parent.iterdir()) in (
        ["store.duckdb"],
        ["store.duckdb", "store.duckdb.wal"],
    )


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_sequence_numbers_keys_and_migrations_survive(store: EmbeddedStore) -> None:
    history = "SELECT * FROM {} ORDER BY ALL"
    version = data_version(store)
    migrations = store.query(history.format("schema_migrations")).to_pylist()
    commits = store.query(history.format("commits")).to_pylist()
    store.compact(actor="ana")
    assert store.query(history.format("schema_migrations")).to_pylist() == migrations
    assert store.query(history.format("commits")).to_pylist()[: len(commits)] != []
    assert store.query("SELECT key FROM commits WHERE NOT starts_with(key, 'compact:') ORDER BY seq")[
        "key"
    ].to_pylist() == [row["key"] for row in sorted(commits, key=lambda row: row["seq"])]
    assert data_version(store) == version + 1
    assert store.commit({"spans": spans(0, 1, "again")}, key="fill 1") < version


def test_the_audit_log_says_who_compacted_and_how_many_bytes_there_were(store: EmbeddedStore) -> None:
    done = store.compact(actor="ana")
    logged = store.query(
        "SELECT actor, action, target, CAST(detail ->> 'bytes_before' AS BIGINT) AS before FROM audit_log"
    ).to_pylist()
    before = {"before": done.bytes_before}
    assert logged == [{"actor": "ana", "action": "store.compact", "target": "store.duckdb", **before}]
    assert done.bytes_after == store.path.stat().st_size


def test_writing_goes_on_after_a_compaction_and_is_there_when_the_store_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    with filled(path) as store:
        store.compact(actor="ana")
        store.commit({"spans": spans(9000, 9010, "new")}, key="new")
        store.compact(actor="ana")
        expected = content(store)
    assert len(expected) == 2010
    with EmbeddedStore(path) as store:
        assert content(store) == expected


def test_a_stream_that_nobody_reads_on_is_ended_and_new_queries_see_the_new_file(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_module, "_READERS_GRACE_S", 0.2)
    _, batches = store.stream(ENDLESS)
    next(batches)
    _, never_begun = store.stream(ENDLESS)
    store.compact(actor="ana")
    for stream in (batches, never_begun):
        with pytest.raises(QueryError, match="compacted"):
            next(stream)
    store.commit({"spans": spans(9000, 9001, "new")}, key="new")
    assert len(content(store)) == 2001


def test_a_long_query_is_stopped_with_a_word_about_compaction(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_module, "_READERS_GRACE_S", 0.2)
    refused: list[str] = []

    def ask() -> None:
        try:
            store.query("SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range = 7")
        except QueryError as error:
            refused.append(str(error))

    reader = threading.Thread(target=ask)
    reader.start()
    wait_until(lambda: bool(store._running))
    store.compact(actor="ana")
    reader.join(PATIENCE_S)
    assert len(refused) == 1
    assert "compacted" in refused[0]


def test_readers_and_writers_at_work_meet_no_error_and_lose_nothing(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_module, "_READERS_GRACE_S", PATIENCE_S)
    over = threading.Event()
    failures: list[Exception] = []
    written: list[int] = []

    def read() -> None:
        while not over.wait(0.005):
            try:
                assert store.query("SELECT count(*) AS n FROM spans WHERE name = 'kept'")["n"][0].as_py() == 2000
            except Exception as error:
                failures.append(error)

    def write() -> None:
        while not over.wait(0.005):
            number = 10_000 + len(written)
            try:
                store.commit({"spans": spans(number, number + 1, "more")}, key=f"more {number}")
                written.append(number)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=work) for work in (read, read, write)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        store.compact(actor="ana")
    over.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert failures == []
    assert store.query("SELECT count(*) AS n FROM spans WHERE name = 'more'")["n"][0].as_py() == len(written)


def test_too_little_room_is_told_before_anything_is_touched(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.path.stat()
    monkeypatch.setattr("undertow.store.compact.shutil.disk_usage", lambda _: SimpleNamespace(free=2**20))
    with pytest.raises(StoreError, match="1 MiB are free; make room first"):
        store.compact(actor="ana")
    assert (store.path.stat().st_ino, store.path.stat().st_size) == (before.st_ino, before.st_size)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_store_that_root_compacts_stays_its_owners(store: EmbeddedStore) -> None:
    os.chown(store.path, 4711, 4712)
    store.compact(actor="root")
    assert (store.path.stat().st_uid, store.path.stat().st_gid) == (4711, 4712)


def test_a_second_compaction_at_the_same_time_is_refused(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []
    write = embedded_module.write_anew

    def ask_again(*arguments: Any, **options: Any) -> None:
        with pytest.raises(StoreError) as caught:
            store.compact(actor="bob")
        refused.append(str(caught.value))
        write(*arguments, **options)

    monkeypatch.setattr(embedded_module, "write_anew", ask_again)
    store.compact(actor="ana")
    assert refused == [f"{store.path} is being compacted already"]
    assert len(content(store)) == 2000


def test_a_failure_on_the_way_leaves_the_store_as_it_was(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, fresh: Path) -> None:
        raise OSError(28, "No space left on device")

    before = content(store)
    monkeypatch.setattr(embedded_module, "swap", fail)
    with pytest.raises(StoreError, match="No space left"):
        store.compact(actor="ana")
    assert content(store) == before
    assert leftovers(store.path) == []
    store.commit({"spans": spans(9000, 9001, "new")}, key="new")


@pytest.mark.parametrize("name", ["my_notes", "own.notes"])
def test_a_table_that_undertow_did_not_make_is_not_lost(tmp_path: Path, name: str) -> None:
    path = tmp_path / "store.duckdb"
    filled(path).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA own")
        connection.execute(f"CREATE TABLE {name} AS SELECT 1 AS note")
    with EmbeddedStore(path) as store:
        with pytest.raises(StoreError, match=name):
            store.compact(actor="ana")
        assert store.query(f"SELECT note FROM {name}")["note"].to_pylist() == [1]


_COMPACT_AND_DIE = """
import os, signal, sys
from pathlib import Path
from undertow.store import compact, embedded
from undertow.store.embedded import EmbeddedStore

def deadly(work, before):
    def killed(*arguments, **options):
        if before:
            os.kill(os.getpid(), signal.SIGKILL)
        work(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
    return killed

moment, when = sys.argv[2:]
for module, name in ((embedded, "write_anew"), (compact, "_sync"), (Path, "replace")):
    if name == moment:
        setattr(module, name, deadly(getattr(module, name), when == "before"))
with EmbeddedStore(Path(sys.argv[1])) as store:
    store.compact(actor="killed")
"""


@pytest.mark.parametrize(
    ("moment", "when"),
    [
        ("write_anew", "before"),
        ("write_anew", "after"),
        ("_sync", "after"),
        ("replace", "before"),
        ("replace", "after"),
    ],
)
def test_a_kill_at_any_step_leaves_a_whole_store(tmp_path: Path, moment: str, when: str) -> None:
    path = tmp_path / "store.duckdb"
    with filled(path) as store:
        expected = content(store)
    done = subprocess.run([sys.executable, "-c", _COMPACT_AND_DIE, str(path), moment, when], check=False)
    assert done.returncode == -signal.SIGKILL
    with EmbeddedStore(path) as store:
        assert content(store) == expected
        finished = store.query("SELECT count(*) AS n FROM audit_log")["n"][0].as_py()
    assert finished == ((moment, when) == ("replace", "after"))
    assert leftovers(path) == []


_COMPACT_FOR_EVER = """
import sys
from pathlib import Path
from undertow.store.embedded import EmbeddedStore
with EmbeddedStore(Path(sys.argv[1])) as store:
    print("open", flush=True)
    while True:
        store.compact(actor="killed")
"""


@pytest.mark.parametrize("kills", [2, pytest.param(40, marks=pytest.mark.slow)])
def test_a_kill_at_any_moment_leaves_a_whole_store(tmp_path: Path, kills: int) -> None:
    path = tmp_path / "store.duckdb"
    with filled(path) as store:
        expected = content(store)
    rng = random.Random(11)
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-c", _COMPACT_FOR_EVER, str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        time.sleep(rng.random())
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE_S)  # the process that writes holds standard error, too
        with EmbeddedStore(path) as store:
            assert content(store) == expected
        assert leftovers(path) == []


def test_the_process_that_writes_ends_with_the_one_that_asked_for_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "undertow.store.copying", str(tmp_path / "fresh"), "64MB", "1"]
    # Nothing comes, but the pipe stays open, as with a parent that is busy; only that it is not the parent tells.
    with subprocess.Popen([*command, str(os.getppid())], stdin=subprocess.PIPE) as process:
        assert process.wait(PATIENCE_S) == 1


def test_the_process_that_writes_is_told_no_secret(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    start = subprocess.Popen

    def look(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        told.extend((*command, *options["env"].values()))
        return start(command, **options)

    monkeypatch.setenv("UNDERTOW_REDACTION__KEY", SECRET)
    monkeypatch.setattr("undertow.store.copying.subprocess.Popen", look)
    store.compact(actor="ana")
    assert SECRET not in "\n".join(told)
    assert sys.executable in told


@pytest.mark.parametrize("batches", [0, 2])
def test_a_kill_of_the_process_that_writes_leaves_the_store_as_it_was(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    sent: list[pa.RecordBatch] = []
    start, cleaned = subprocess.Popen, copying._without_remnants

    def remember(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(start(*arguments, **options))
        return started[-1]

    def send(batch: pa.RecordBatch) -> pa.RecordBatch:
        if len(sent) == batches:
            started[-1].kill()
            started[-1].wait()
        sent.append(batch)
        return cleaned(batch)

    before = content(store)
    monkeypatch.setattr("undertow.store.copying.subprocess.Popen", remember)
    monkeypatch.setattr(copying, "_without_remnants", send)
    with pytest.raises(StoreError, match="ended with code -9"):
        store.compact(actor="ana")
    assert content(store) == before
    assert leftovers(store.path) == []
    store.commit({"spans": spans(9000, 9001, "new")}, key="new")
    monkeypatch.undo()
    store.compact(actor="ana")
    assert len(content(store)) == 2001


def test_a_failure_of_the_process_that_writes_is_told(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(store)
    monkeypatch.setattr(embedded_module, "fresh_path", lambda path: path.with_name("no folder") / "fresh")
    with pytest.raises(StoreError, match="could not be written: .*no folder"):
        store.compact(actor="ana")
    assert content(store) == before


def test_only_its_owner_may_read_the_new_file_while_it_is_written(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rights: set[int] = set()
    cleaned = copying._without_remnants

    def look(batch: pa.RecordBatch) -> pa.RecordBatch:
        rights.update(path.stat().st_mode & 0o777 for path in leftovers(store.path) if path.is_file())
        return cleaned(batch)

    def swap(path: Path, fresh: Path) -> None:
        rights.add(fresh.stat().st_mode & 0o777)
        replace(path, fresh)

    replace = embedded_module.swap
    monkeypatch.setattr(copying, "_without_remnants", look)
    monkeypatch.setattr(embedded_module, "swap", swap)
    store.path.chmod(0o640)
    usual = os.umask(0)
    try:
        store.compact(actor="ana")
    finally:
        os.umask(usual)
    assert rights == {0o600}
    assert store.path.stat().st_mode & 0o777 == 0o640


def erased(path: Path, seed: int) -> EmbeddedStore:
    """A store with marked texts of all lengths between those that stay, read and then erased."""
    rng = random.Random(seed)
    store = EmbeddedStore(path)
    for part in range(4):
        gone = part % 2 == 0
        name = SECRET if gone else "kept"
        rows = [
            {
                "trace_id": f"{part:016x}{number:016x}",
                "span_id": f"{number:016x}",
                "name": name,
                "attributes": name + rng.randbytes(rng.randint(100, 900)).hex(),
                "duration_ms": None if number % 3 else float(number),
            }
            for number in range(4000 if gone else 1000)
        ]
        store.commit({"spans": pa.Table.from_pylist(rows)}, key=f"fill {part}")
    assert store.query("SELECT count(*) AS n FROM spans WHERE contains(attributes, $text)", {"text": SECRET})[
        "n"
    ].to_pylist() == [8000]
    store.commit({}, key="erase", delete={"spans": pa.table({"name": [SECRET]})})
    return store


@pytest.mark.parametrize("rounds", [2, pytest.param(40, marks=pytest.mark.slow)])
def test_no_erased_text_is_left_in_a_byte_of_the_new_file(tmp_path: Path, rounds: int) -> None:
    hits = []
    for seed in range(rounds):
        folder = tmp_path / str(seed)
        with erased(folder / "store.duckdb", seed) as store:
            store.compact(actor="ana")
            hits.append(on_disk(folder).count(SECRET.encode()))
            store.commit({"spans": spans(900_000, 903_000, "later")}, key="later")
            assert len(content(store)) == 5000
        hits.append(on_disk(folder).count(SECRET.encode()))  # closing has written what came later
        shutil.rmtree(folder)
    assert hits == [0] * (2 * rounds)


def test_what_stands_where_a_value_is_absent_is_not_handed_on() -> None:
    marked = pa.py_buffer(b"8 bytes!" * 5)
    absent = pa.py_buffer(bytes([0b01010]))
    batch = pa.RecordBatch.from_arrays(
        [
            pa.Array.from_buffers(pa.int64(), 5, [absent, marked]),
            pa.Array.from_buffers(pa.timestamp("us"), 5, [pa.py_buffer(bytes([0])), marked]),
            pa.array(["a", None, "b", None, ""]),
        ],
        names=["some", "none", "text"],
    )
    clean = copying._without_remnants(batch)
    assert clean.equals(batch)
    clean.validate(full=True)
    assert clean["some"].buffers()[1].to_pybytes().count(b"8 bytes!") == 2
    assert b"8 bytes!" not in clean["none"].buffers()[1].to_pybytes()


def test_leftovers_of_a_killed_compaction_are_removed_when_the_store_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    filled(path).close()
    fresh = fresh_path(path)
    for left in (fresh, fresh.with_name(f"{fresh.name}.wal"), path.with_name(f"{path.name}.compact")):
        left.write_bytes(b"half a file")
    fresh.with_name(f"{fresh.name}.tmp").mkdir()
    mine = path.with_name(f"{path.name}.before-compact")
    mine.write_bytes(b"a copy of somebody's own")
    assert len(leftovers(path)) == 4
    EmbeddedStore(path).close()
    assert mine.exists()
    assert leftovers(path) == []
    remove_leftovers(path)


def ran(collector: RunningCollector, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One `undertow store …`, as a user runs it."""
    return subprocess.run(
        collector.command("store", *arguments),
        check=False,
        cwd=collector.work,
        env=collector.env,
        capture_output=True,
        text=True,
    )


def compacted(collector: RunningCollector) -> str:
    """What `undertow store compact` prints."""
    done = ran(collector, "compact")
    assert done.returncode == 0, done.stderr
    return done.stdout


def erase(collector: RunningCollector, trace: str) -> None:
    gone = pa.table({"trace_id": [trace]})
    with FlightStore(collector.store_url) as store:
        store.commit({}, key=f"erase {trace}", delete=dict.fromkeys(("spans", "records", "interactions"), gone))


def test_a_running_collector_compacts_and_forgets_its_journal_while_it_takes_telemetry(
    start_collector: StartCollector,
) -> None:
    collector = start_collector()
    erased, sent = new_trace(), []
    assert collector.post("/v1/traces", trace_request(erased, 20, text=SECRET)).status == 200
    assert collector.flush().status == 200
    assert SECRET.encode() in on_disk(collector.data / "journal")
    erase(collector, erased)
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            trace = new_trace()
            if collector.post("/v1/traces", trace_request(trace, 2)).status == 200:
                sent.append(trace)

    with ExitStack() as stack:
        sender = threading.Thread(target=send)
        sender.start()
        stack.callback(sender.join)
        stack.callback(over.set)
        told = compacted(collector)
    assert told.endswith("after\n")
    assert collector.flush().status == 200
    stored = {row["trace_id"] for row in collector.rows("SELECT DISTINCT trace_id FROM spans")}
    assert stored == set(sent)
    assert SECRET.encode() not in on_disk(collector.data)
    assert [row["action"] for row in collector.rows("SELECT action FROM audit_log")] == ["store.compact"]


def test_a_collector_started_again_after_a_compaction_loads_what_comes(start_collector: StartCollector) -> None:
    collector = start_collector()
    traces = [new_trace() for _ in range(3)]
    for trace in traces[:2]:
        assert collector.post("/v1/traces", trace_request(trace)).status == 200
        assert collector.flush().status == 200
        compacted(collector)
    collector.kill()
    collector.start()
    assert collector.post("/v1/traces", trace_request(traces[2])).status == 200
    assert collector.flush().status == 200
    assert {row["trace_id"] for row in collector.rows("SELECT trace_id FROM spans")} == set(traces)


def test_without_a_collector_the_verb_opens_the_file_and_the_journal_itself(start_collector: StartCollector) -> None:
    collector = start_collector()
    erased, kept = new_trace(), new_trace()
    for trace, text in ((erased, SECRET), (kept, "hello")):
        assert collector.post("/v1/traces", trace_request(trace, text=text)).status == 200
    assert collector.flush().status == 200
    erase(collector, erased)
    assert collector.stop() == 0
    assert SECRET.encode() in on_disk(collector.data)
    before, after = (int(word) for word in compacted(collector).split() if word.isdigit())
    assert before > 0 < after
    assert SECRET.encode() not in on_disk(collector.data)
    assert ran(collector, "check").returncode == 0
    collector.start()
    assert [row["trace_id"] for row in collector.rows("SELECT trace_id FROM spans")] == [kept]


def test_compacting_a_copy_leaves_the_journal_of_a_running_collector_alone(
    start_collector: StartCollector, tmp_path: Path
) -> None:
    collector = start_collector()
    first, second = new_trace(), new_trace()
    assert collector.post("/v1/traces", trace_request(first)).status == 200
    assert collector.flush().status == 200
    copy = tmp_path / "copy.duckdb"
    for path in collector.data.glob("undertow.duckdb*"):  # nobody writes just now
        (tmp_path / path.name.replace("undertow", "copy")).write_bytes(path.read_bytes())
    journal = {path.name: path.read_bytes() for path in (collector.data / "journal").glob("*.seg")}
    done = subprocess.run(
        collector.command("store", "compact"),
        check=False,
        cwd=collector.work,
        env={**collector.env, "UNDERTOW_STORE__URL": f"duckdb://{copy}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "left as it is" in done.stderr
    assert {path.name: path.read_bytes() for path in (collector.data / "journal").glob("*.seg")} == journal
    assert collector.post("/v1/traces", trace_request(second)).status == 200
    assert collector.flush().status == 200
    assert {row["trace_id"] for row in collector.rows("SELECT trace_id FROM spans")} == {first, second}


def test_only_a_token_that_may_write_compacts(start_collector: StartCollector) -> None:
    collector = start_collector(UNDERTOW_AUTH__TOKENS='{"reads": ["read"], "writes": ["write"], "sends": ["ingest"]}')
    for token in ("reads", "sends", "unknown"):
        with FlightStore(collector.store_url, token=token) as store, pytest.raises(StoreError, match="token"):
            store.compact(actor="mallory")
    with FlightStore(collector.store_url, token="writes") as store:
        assert store.compact(actor="ana").bytes_after > 0


def test_check_reads_the_whole_store_and_the_journal(start_collector: StartCollector) -> None:
    collector = start_collector()
    assert collector.post("/v1/traces", trace_request(new_trace(), 3)).status == 200
    assert collector.flush().status == 200
    done = ran(collector, "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "ok   spans: 3 rows\n" in done.stdout
    assert "ok   journal: 1 requests with 3 items are whole\n" in done.stdout
    assert collector.stop() == 0
    segment = next((collector.data / "journal").glob("*.seg"))
    segment.write_bytes(segment.read_bytes()[:-1])
    done = ran(collector, "check")
    assert done.returncode == 3
    assert "FIX  journal: 0 requests with 0 items are whole;" in done.stdout


def test_check_tells_of_a_doubled_key_and_of_a_strange_schema(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    filled(path).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO spans SELECT * FROM spans LIMIT 1")
        connection.execute("DELETE FROM schema_migrations WHERE version = 2")
        connection.execute("DROP TABLE redactions")
    with EmbeddedStore(path) as store:
        wrong = {checked.what: checked.found for checked in check_store(store) if not checked.ok}
        assert wrong == {"spans": "2001 rows, but 1 keys (trace_id, span_id) stand more than once"}


INTERRUPTED = duckdb.InterruptException("INTERRUPT Error: Interrupted!")
NO_MEMORY = duckdb.OutOfMemoryException("Out of Memory Error: could not allocate block of size 256.0 KiB")


@pytest.fixture(params=[INTERRUPTED, NO_MEMORY], ids=["time", "memory"])
def never_read_to_the_end(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Every query of the spans runs out of time, or of memory."""
    allowed = embedded_module._require_one_select

    def fail(cursor: Any, sql: str) -> None:
        if "FROM spans" in sql:
            raise request.param
        allowed(cursor, sql)

    monkeypatch.setattr(embedded_module, "_require_one_select", fail)


def not_well(store: Store) -> list[tuple[str, bool]]:
    return [(checked.what, checked.unknown) for checked in check_store(store) if not checked.ok]


@pytest.mark.usefixtures("never_read_to_the_end")
def test_check_takes_a_query_that_was_stopped_for_no_damage(store: EmbeddedStore) -> None:
    assert not_well(store) == [("spans", True)]
    service = StoreService(store, Authenticator({}), host="127.0.0.1", port=0)
    with closing(FlightStore(f"grpc://127.0.0.1:{service.port}")) as remote:
        assert not_well(remote) == [("spans", True)]
    service.shutdown()


@pytest.mark.usefixtures("never_read_to_the_end")
def test_the_verb_check_fails_without_findings_where_a_query_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path / "undertow.duckdb").close()
    monkeypatch.setenv("UNDERTOW_DATA_DIR", str(tmp_path))
    done = CliRunner().invoke(check, [])
    assert done.exit_code == 1
    assert "?    spans: was not read to its end: " in done.stdout
    assert "FIX" not in done.stdout
    assert "Raise store.query_timeout_s" in done.stderr


def test_check_tells_of_a_damaged_block(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    filled(path).close()
    body = bytearray(path.read_bytes())
    place = len(body) // 2
    body[place : place + 100_000] = bytes(100_000)
    path.write_bytes(body)
    with EmbeddedStore(path) as store:
        wrong = [checked for checked in check_store(store) if not checked.ok]
    assert [(checked.what, checked.unknown) for checked in wrong] == [("spans", False)]
