"""The demo through the real doors: every turn arrives whole, and the whole demo finds what it planted."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from demo.children import Children, flush, free_ports
from demo.folder import prepare
from demo.knowledge import CUSTOMER
from demo.script import write_script
from demo.send import send
from undertow.store import open_store


def test_every_turn_of_the_script_arrives_with_its_question_answer_documents_and_thumb(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    prepare(folder)
    whole = write_script(7, datetime(2026, 11, 22))
    loop = next(turn for turn in whole.turns if turn.event == "cost_spike")
    script = replace(whole, turns=(*whole.turns[:150], loop))
    with Children(folder, free_ports(0)) as children:
        children.start("collector", "collect")
        children.wait_until("collector", "/readyz", children.ports.http, 60)
        sent = send(script, children.ports.http_url, children.ports.grpc_url, lambda _: None)
        flush(children.ports, 60)
        with open_store(children.ports.store_url) as store:
            spans = store.query("SELECT count(*) AS n FROM spans").to_pylist()[0]["n"]
            rows = {
                row["interaction_id"]: row
                for row in store.query(
                    "SELECT i.*, d.n AS documents, f.value AS thumb FROM interactions i"
                    " LEFT JOIN (SELECT interaction_id, count(*) AS n FROM documents GROUP BY ALL) d"
                    " USING (interaction_id)"
                    " LEFT JOIN feedback f ON f.target_id = i.interaction_id"
                ).to_pylist()
            }
    assert spans == sent.spans
    for turn in script.turns:
        row = rows[f"{turn.trace_id}:{turn.answer_span_id}"]
        assert (row["prompt"], row["response"] or "", row["documents"]) == (turn.question, turn.answer, 3)
        assert (row["service_name"], row["session_id"], row["user_id"]) == (turn.service, turn.session_id, turn.user_id)
        assert (row["prompt_name"], row["prompt_version"]) == (turn.prompt.name, turn.prompt.version)
        assert row["thumb"] == turn.thumb
        assert (row["status"] == "ERROR") == bool(turn.error)
    calls = sum(1 + turn.tool_steps for turn in script.turns if turn.service == CUSTOMER)
    assert sum(row["service_name"] == CUSTOMER for row in rows.values()) == calls


@pytest.mark.slow
def test_the_headless_demo_finds_every_required_event(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from undertow.cli import main; main()", "demo", "--headless", "--json"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path / "demo"), "--until", "2026-11-22"],
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)

    assert done.returncode == 0, report["events"]
    assert report["complete"]
