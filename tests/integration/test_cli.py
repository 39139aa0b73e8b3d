import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from undertow.store import open_store


def undertow(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-m", "undertow", *arguments],
        cwd=cwd,
        env={**os.environ, "UNDERTOW_DATA_DIR": str(cwd / "data"), "NO_COLOR": "1", "COLUMNS": "200", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


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
            [sys.executable, "-m", "undertow", "query", "SELECT 1 AS a", "--format", "parquet"],
            cwd=filled,
            stdout=out,
            check=True,
            timeout=60,
        )
    import pyarrow.parquet as pq

    assert pq.read_table(filled / "rows.parquet").to_pylist() == [{"a": 1}]


def test_query_refuses_to_write_with_exit_code_1(filled: Path) -> None:
    done = undertow("query", "DELETE FROM feedback", cwd=filled)
    assert done.returncode == 1
    assert "one SELECT statement is expected, got DELETE" in done.stderr
    assert done.stdout == ""


def test_a_locked_store_names_its_owner(filled: Path) -> None:
    import os

    with open_store(f"duckdb://{filled}/data/undertow.duckdb"):
        done = undertow("query", "SELECT 1", cwd=filled)
    assert done.returncode == 1
    assert f"is owned by process {os.getpid()}" in done.stderr


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
        [sys.executable, "-c", code], check=False, cwd=filled, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
