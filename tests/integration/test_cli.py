import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.running import PATIENCE_S, StartCollector, free_port
from undertow.clock import utc_now
from undertow.commands.doctor import Finding, check_ports, check_store
from undertow.config import load_settings
from undertow.errors import ConfigError, StoreError
from undertow.store import open_store
from undertow.store.embedded import EmbeddedStore


def undertow(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "undertow", *arguments],
        cwd=cwd,
        env={**os.environ, "UNDERTOW_DATA_DIR": str(cwd / "data"), "NO_COLOR": "1", "COLUMNS": "200", **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def doors(dashboard: int) -> dict[str, str]:
    """Ports of an installation of its own."""
    names = ("UNDERTOW_COLLECTOR__HTTP_PORT", "UNDERTOW_COLLECTOR__GRPC_PORT", "UNDERTOW_STORE__PORT")
    return {**{name: str(free_port()) for name in names}, "UNDERTOW_DASHBOARD__PORT": str(dashboard)}


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    with open_store(f"duckdb://{tmp_path}/data/undertow.duckdb") as store:
        store.commit({"feedback": pa.table({"feedback_id": ["a", "b"], "value": [0.5, None]})}, key="k")
    return tmp_path


@pytest.mark.parametrize(
    ("form", "output"),
    [
        ("csv", "feedback_id,value\na,0.5\nb,\n"),
        ("json", '[{"feedback_id":"a","value":0.5},{"feedback_id":"b","value":null}]\n'),
        ("table", "feedback_id  value\na              0.5\nb\n"),
    ],
)
def test_query_prints_values_alone(filled: Path, form: str, output: str) -> None:
    done = undertow("query", "SELECT feedback_id, value FROM feedback ORDER BY 1", "--format", form, cwd=filled)
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")


def test_query_writes_parquet(filled: Path) -> None:
    with (filled / "rows.parquet").open("wb") as out:
        subprocess.run(
            [sys.executable, "-m", "undertow", "query", "SELECT 1 AS a, 2 AS a", "--format", "parquet"],
            cwd=filled,
            env={**os.environ, "UNDERTOW_DATA_DIR": str(filled / "data")},
            stdout=out,
            check=True,
            timeout=PATIENCE_S,
        )
    assert pq.read_table(filled / "rows.parquet").to_pylist() == [{"a": 1, "a_1": 2}]


@pytest.mark.parametrize(
    ("form", "output"),
    [
        ("csv", "a,a,a_1,a\n1,2,3,4\n"),
        ("json", '[{"a":1,"a_2":2,"a_1":3,"a_3":4}]\n'),
        ("table", "a  a  a_1  a\n1  2    3  4\n"),
    ],
)
def test_query_keeps_columns_that_share_a_name(filled: Path, form: str, output: str) -> None:
    done = undertow("query", "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a", "--format", form, cwd=filled)
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")


def test_query_prints_sums_and_decimals_as_numbers_in_json(filled: Path) -> None:
    columns = "sum(x) AS whole, sum(x) * 1000000000000000000000 AS large, 1.25::DECIMAL(5, 2) AS part"
    done = undertow("query", f"SELECT {columns} FROM range(4) AS r(x)", "--format", "json", cwd=filled)
    assert done.stdout == '[{"whole":6,"large":6000000000000000000000,"part":1.25}]\n'


def test_a_table_cannot_steer_the_terminal(filled: Path) -> None:
    done = undertow("query", "SELECT 'a' || chr(27) || '[2Jb' || chr(155) || 'c' || chr(8238) AS x", cwd=filled)
    assert done.stdout == "x\na[2Jbc\n"


def test_query_refuses_to_write_with_exit_code_1(filled: Path) -> None:
    done = undertow("query", "DELETE FROM feedback", cwd=filled)
    assert done.returncode == 1
    assert "one SELECT statement is expected, got DELETE" in done.stderr
    assert done.stdout == ""


def test_a_locked_store_names_its_owner_and_what_to_do_first(filled: Path) -> None:
    with open_store(f"duckdb://{filled}/data/undertow.duckdb"):
        done = undertow("query", "SELECT 1", cwd=filled)
    assert done.returncode == 1
    assert f"is owned by process {os.getpid()}" in done.stderr
    assert f"stop process {os.getpid()} first; then `undertow up` lets every process share the store" in done.stderr


@pytest.mark.parametrize("data", ["file", "file/below"])
def test_a_data_folder_that_cannot_be_made_is_an_error_with_advice(tmp_path: Path, data: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made .*set another data_dir"):
        open_store(settings=load_settings(env={"UNDERTOW_DATA_DIR": str(tmp_path / data)}, folder=tmp_path).settings)


@pytest.mark.parametrize("verb", ["collect", "analyze"])
def test_a_verb_over_such_a_folder_ends_with_the_advice_alone(tmp_path: Path, verb: str) -> None:
    (tmp_path / "file").write_text("")
    done = undertow(verb, cwd=tmp_path, UNDERTOW_DATA_DIR=str(tmp_path / "file" / "below"))
    assert done.returncode == 1
    assert "set another data_dir (UNDERTOW_DATA_DIR)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("memory_limit", "content"), [("1KB", b""), ("banana", b""), ("2GB", b"no store" * 1000)], ids=lambda v: str(v)[:8]
)
def test_a_store_that_duckdb_refuses_is_an_error_of_ours(tmp_path: Path, memory_limit: str, content: bytes) -> None:
    if content:
        (tmp_path / "x.duckdb").write_bytes(content)
    with pytest.raises(StoreError, match="x.duckdb cannot be .*(check|set another)"):
        EmbeddedStore(tmp_path / "x.duckdb", memory_limit=memory_limit)


@pytest.mark.parametrize("url", ["duckdb:", "duckdb:/x", "duckdb://x", "duckdb:///", "grpc://a b:1", "file:x"])
def test_a_malformed_store_url_is_a_usage_error(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="store URL"):
        open_store(url, settings=load_settings(env={}, folder=tmp_path).settings)


def test_a_query_makes_no_store(tmp_path: Path) -> None:
    done = undertow("query", "SELECT 1", cwd=tmp_path)
    assert done.returncode == 1
    assert f"no store at {tmp_path}/data/undertow.duckdb; start `undertow up`" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_setting_is_a_usage_error(tmp_path: Path) -> None:
    done = undertow("config", cwd=tmp_path, UNDERTOW_COLECTOR__HTTP_PORT="1")
    assert done.returncode == 2
    assert "did you mean 'collector.http_port'" in done.stderr


def test_config_shows_value_and_origin(tmp_path: Path) -> None:
    done = undertow("config", "--json", cwd=tmp_path, UNDERTOW_STORE__PORT="5555")
    assert json.loads(done.stdout)["store.port"] == {"value": "5555", "origin": "UNDERTOW_STORE__PORT"}


def test_doctor_says_what_to_do_with_exit_code_3(tmp_path: Path) -> None:
    done = undertow("doctor", "--json", cwd=tmp_path, UNDERTOW_MODELS_DIR=str(tmp_path / "none"))
    findings = {finding["check"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 3
    assert not findings["model"]["ok"]
    assert "make model" in findings["model"]["found"] + findings["model"]["advice"]
    assert findings["store"]["ok"]
    assert findings["store"]["found"] == "no store yet"
    assert "undertow up" in findings["store"]["advice"]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def streamlit() -> Iterator[int]:
    """Port of something that answers as every Streamlit app does."""

    class Health(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/_stcore/health" else 404)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def ports_found(folder: Path, **env: str) -> dict[str, Finding]:
    names = {"UNDERTOW_DATA_DIR": str(folder), **env}
    settings = load_settings(env=names, folder=folder).settings
    return {finding.check: finding for finding in check_ports(settings)}


def test_doctor_takes_no_foreign_streamlit_app_for_the_dashboard(tmp_path: Path, streamlit: int) -> None:
    found = ports_found(tmp_path, UNDERTOW_DASHBOARD__PORT=str(streamlit))["dashboard.port"]
    assert not found.ok
    assert "in use by a Streamlit app" in found.found
    assert "UNDERTOW_DASHBOARD__PORT" in found.advice


def test_doctor_finds_the_dashboard_beside_a_live_collector(
    start_collector: StartCollector, tmp_path: Path, streamlit: int
) -> None:
    found = ports_found(start_collector().data, UNDERTOW_DASHBOARD__PORT=str(streamlit))
    assert found["collector"].ok
    assert found["dashboard.port"].ok
    assert "probably the dashboard" in found["dashboard.port"].found


def test_doctor_warns_of_a_dashboard_off_loopback(tmp_path: Path) -> None:
    done = undertow("doctor", "--json", cwd=tmp_path, UNDERTOW_DASHBOARD__HOST="0.0.0.0")
    findings = {finding["check"]: finding for finding in json.loads(done.stdout)}
    assert not findings["dashboard.host"]["ok"]
    assert "127.0.0.1" in findings["dashboard.host"]["advice"]


def test_doctor_notices_spans_of_the_future(filled: Path) -> None:
    settings = load_settings(env={"UNDERTOW_DATA_DIR": str(filled / "data")}, folder=filled).settings
    assert {finding.check for finding in check_store(settings)} == {"store"}
    with open_store(settings=settings) as store:
        late = pa.table({"trace_id": ["t"], "span_id": ["s"], "start_time": [utc_now() + timedelta(days=1)]})
        store.commit({"spans": late}, key="late")
    assert not {finding.check: finding for finding in check_store(settings)}["clock"].ok


def test_up_ends_with_the_message_of_a_dashboard_that_cannot_start(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = undertow("up", "--no-browser", cwd=tmp_path, **doors(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "the dashboard cannot listen on" in done.stderr
    assert "dashboard | ended with code 1" in done.stderr


def test_a_kill_of_up_leaves_no_child_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "UNDERTOW_DATA_DIR": str(tmp_path / "data"), **doors(free_port())}
    log = tmp_path / "log"
    with log.open("wb") as err:
        up = psutil.Popen(
            [sys.executable, "-m", "undertow", "up", "--no-browser"], cwd=tmp_path, env=environment, stderr=err
        )
    end = time.monotonic() + PATIENCE_S
    while "dashboard | ready" not in log.read_text() and time.monotonic() < end:
        time.sleep(0.1)
    children = up.children()
    up.kill()
    up.wait()
    stopped, left = psutil.wait_procs(children, timeout=PATIENCE_S)
    for child in left:
        child.kill()
    assert (len(stopped), left) == (3, []), log.read_text()


def test_the_query_verb_imports_no_heavy_library(filled: Path) -> None:
    code = (
        "import sys; sys.argv=['undertow','query','SELECT 1']\n"
        "from undertow.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch','numba','sklearn','streamlit','pandas','onnxruntime'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=filled,
        env={**os.environ, "UNDERTOW_DATA_DIR": str(filled / "data")},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stdout) == (0, "1\n1\n"), done.stderr


def test_search_prints_texts_by_their_words_and_exits_1_when_nothing_is_found(tmp_path: Path) -> None:
    row = {
        "interaction_id": "t:s",
        "operation": "chat",
        "service_name": "bank",
        "start_time": datetime(2026, 11, 1),
        "prompt": "Where is my\x1b[31m refund?",
        "prompt_text_hash": "ab" * 32,
    }
    with open_store(f"duckdb://{tmp_path}/data/undertow.duckdb") as store:
        store.commit({"interactions": pa.Table.from_pylist([row])}, key="k")
    done = undertow("search", "REFUND", "--by", "text", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "  –   Where is my[31m refund?\n      bank · 1 call · t:s\n")
    nothing = undertow("search", "no such words", "--by", "text", cwd=tmp_path)
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (1, "", "nothing was found\n")


def test_search_by_meaning_says_that_nothing_is_embedded_yet(filled: Path) -> None:
    done = undertow("search", "refund", cwd=filled)
    assert done.returncode == 1
    assert "undertow analyze --only embed" in done.stderr
