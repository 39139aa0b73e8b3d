"""Nothing secret lies on the disk of a real collector, and what is stored can be tried against new patterns."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import grpc
import pytest

from collector.packs import unpack
from collector.redact import Redactor
from collector.redact_cli import dry_run_over
from tests.integration.running import JSON, TRACES, RunningCollector, StartCollector, new_trace, trace_request
from tests.telemetry_factory import logs_body, spans_body
from undertow.clock import utc_now
from undertow.settings.doors import RedactionSettings
from undertow.store.embedded import EmbeddedStore
from undertow.store.tables import TABLES

SECRETS = {
    "EMAIL": "zoe.planted@example.org",
    "CARD": "5500 0055 5555 5559",
    "IBAN": "DE89 3704 0044 0532 0130 00",
    "CREDENTIAL": "sk-plantedplanted0123456789",
    "BADGE": "EMP-777888",
}
PATTERNS = {"UNDERTOW_REDACTION__PATTERNS": '{"badge": "EMP-[0-9]{6}"}'}
ALL = " ; ".join(SECRETS.values())


def undertow(collector: RunningCollector, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        collector.command(*arguments),
        cwd=collector.work,
        env={**collector.env, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def on_disk(folder: Path) -> bytes:
    return b"\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def everything_stored(collector: RunningCollector) -> bytes:
    """Every value of every table, packs opened."""
    values = [row for name in TABLES for row in collector.rows_at_rest(f"SELECT * FROM {name}")]
    packs = [unpack(row["packed"]) for row in values if row.get("packed")]
    assert packs
    return str([values, packs]).encode()


def test_no_planted_secret_is_on_the_disk_in_a_log_or_in_an_answer(start_collector: StartCollector) -> None:
    collector = start_collector(UNDERTOW_COLLECTOR__LOAD_INTERVAL_S="1", **PATTERNS)
    told = [collector.post("/v1/traces", trace_request(new_trace(), text=ALL), gzipped=True).body]
    told.append(collector.rpc(TRACES, trace_request(new_trace(), text=ALL, service=SECRETS["EMAIL"])))
    log = {"event": "gen_ai.user.message", "span": 1, "body": {"content": ALL}, "attributes": {"gen_ai.system": ALL}}
    told.append(collector.post("/v1/logs", logs_body(log)).body)
    feedback = {"kind": "comment", "target": {"trace_id": new_trace()}, "comment": ALL, "author": ALL, "label": ALL}
    told.append(collector.post("/v1/feedback", json.dumps(feedback).encode(), JSON).body)
    bad_span = {"traceId": ALL, "spanId": ALL, "name": ALL}
    for body in ({"resourceSpans": [{"scopeSpans": [{"spans": [bad_span]}]}]}, {"resourceSpans": ALL}, [ALL]):
        told.append(collector.post("/v1/traces", json.dumps(body).encode(), JSON).body)
    told.append(collector.post("/v1/feedback", json.dumps({**feedback, "kind": ALL, ALL: 1}).encode(), JSON).body)
    told.append(collector.post(f"/v1/{SECRETS['EMAIL']}", ALL.encode()).body)
    with pytest.raises(grpc.RpcError) as refused:
        collector.rpc(TRACES, ALL.encode())
    told.append(str(refused.value).encode())
    early = on_disk(collector.data / "journal")
    assert collector.flush().status == 200
    counts = {
        row["kind"]: row["n"] for row in collector.rows("SELECT kind, sum(strings) AS n FROM redactions GROUP BY 1")
    }
    assert counts == {kind: counts["CARD"] for kind in SECRETS} | {"EMAIL": counts["CARD"] + 1}
    collector.stop()
    stored = everything_stored(collector)
    for kind, secret in SECRETS.items():
        for where in (early, on_disk(collector.work), stored, b"\0".join(told)):
            assert secret.encode() not in where, kind
            assert secret.replace(" ", "").encode() not in where, kind


def test_sessions_and_users_named_by_addresses_stay_apart_and_the_same_after_a_restart(
    start_collector: StartCollector,
) -> None:
    collector = start_collector()

    def talk(number: int, name: str) -> None:
        said = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "m",
            "gen_ai.conversation.id": f"chat of {name}",
            "user.id": name,
        }
        body = spans_body({"id": number, "trace": new_trace(), "attributes": said})
        assert collector.post("/v1/traces", body).status == 200

    talk(1, "ann@example.org")
    talk(2, "bob@example.org")
    assert collector.flush().status == 200
    collector.kill()
    collector.start()
    talk(3, "ann@example.org")
    target = {"target": {"session_id": "chat of bob@example.org"}, "kind": "thumb", "value": 1}
    assert collector.post("/v1/feedback", json.dumps(target).encode(), JSON).status == 202
    assert collector.flush().status == 200
    rows = collector.rows("SELECT span_id, session_id, user_id FROM interactions ORDER BY span_id")
    sessions, users = ([row[name] for row in rows] for name in ("session_id", "user_id"))
    assert sessions[0] == sessions[2] != sessions[1]
    assert users[0] == users[2] != users[1]
    assert all(user.startswith("[EMAIL:") for user in users)
    assert collector.rows("SELECT target_id FROM feedback") == [{"target_id": sessions[1]}]
    assert b"@example.org" not in on_disk(collector.work)


def test_what_was_stored_without_redaction_is_found_by_a_dry_run_and_never_shown(
    start_collector: StartCollector,
) -> None:
    collector = start_collector(UNDERTOW_REDACTION__ENABLED="false")
    trace = new_trace()
    assert collector.post("/v1/traces", trace_request(trace, 3, text=f"I am {ALL} and ask")).status == 200
    assert collector.flush().status == 200
    done = undertow(collector, "redact", "--dry-run", "--json", **PATTERNS)
    assert done.returncode == 3, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["scanned"]["spans"] == report["scanned"]["interactions"] == 3
    found = {(item["kind"], item["field"]): item for item in report["findings"]}
    for kind in SECRETS:
        assert found[kind, "interactions.prompt"]["strings"] == 3
        assert f"[{kind}]" in found[kind, "interactions.prompt"]["examples"][0]
    shown = undertow(collector, "redact", "--dry-run", **PATTERNS)
    assert shown.returncode == 3 and "interactions.messages" in shown.stdout
    for secret in SECRETS.values():
        assert secret not in done.stdout + shown.stdout
    assert collector.rows("SELECT count(*) AS n FROM interactions WHERE prompt LIKE '%zoe.planted%'") == [{"n": 3}]
    collector.stop()
    redactor = Redactor(RedactionSettings())
    with EmbeddedStore(collector.data / "undertow.duckdb") as store:
        at_rest, _ = dry_run_over(store, redactor, None)
        assert {finding.kind for finding in at_rest} == set(SECRETS) - {"BADGE"}
        assert dry_run_over(store, redactor, utc_now()) == ([], {})  # the spans are of the past


def test_redact_says_what_it_can_do_and_refuses_patterns_that_cannot_work(tmp_path: Path) -> None:
    nothing = RunningCollector(tmp_path)
    bare = undertow(nothing, "redact")
    assert bare.returncode == 2 and "undertow redact --dry-run" in bare.stderr
    for verb in (["collect"], ["config"], ["doctor"], ["redact", "--dry-run"]):
        refused = undertow(nothing, *verb, UNDERTOW_REDACTION__PATTERNS='{"badge": "EMP-("}')
        assert refused.returncode == 2
        assert "pattern 'badge' is not a regular expression of RE2" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_what_is_sent_three_times_is_counted_once_by_hour_and_service(collector: RunningCollector) -> None:
    body = trace_request(new_trace(), 2, text=f"mail {SECRETS['EMAIL']}", service="counted")
    for _ in range(3):
        assert collector.post("/v1/traces", body).status == 200
    assert collector.flush().status == 200
    rows = collector.rows("SELECT kind, strings, hour FROM redactions WHERE service_name = 'counted'")
    assert [(row["kind"], row["strings"], f"{row['hour']:%F %H}") for row in rows] == [("EMAIL", 2, "2026-02-02 02")]
    assert 'undertow_redactions_total{kind="EMAIL"} 6' in collector.request("GET", "/metrics").body.decode()
