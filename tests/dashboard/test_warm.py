"""The dashboard's visit to itself: what it asks for, and when it stays away."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from dashboard import warm
from undertow.config import load_settings
from undertow.store import endpoint


@contextmanager
def door(answer: Callable[[ServerConnection], None]) -> Iterator[int]:
    """A WebSocket server that does what the test says; its port."""
    with serve(answer, "127.0.0.1", 0, subprotocols=[Subprotocol("streamlit")]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.socket.getsockname()[1]
        server.shutdown()


def test_the_visit_asks_for_one_run_and_ends_with_it() -> None:
    asked: list[str | None] = []

    def answer(connection: ServerConnection) -> None:
        asked.append(BackMsg.FromString(connection.recv()).WhichOneof("type"))
        for message in (ForwardMsg(session_event={"script_changed_on_disk": True}), ForwardMsg(script_finished=0)):
            connection.send(message.SerializeToString())

    with door(answer) as port:
        warm.visit("127.0.0.1", port)
    assert asked == ["rerun_script"]


def test_whatever_goes_wrong_with_the_visit_is_nobody_elses_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERTOW_STORE__URL", "grpc://127.0.0.1:9")
    with door(lambda connection: connection.close()) as port:
        warm._quietly("127.0.0.1", port)
    monkeypatch.setattr(warm, "PATIENCE_S", 0)
    with socket.socket() as deaf, pytest.raises(TimeoutError, match="nothing listens"):
        deaf.bind(("127.0.0.1", 0))
        warm.visit("127.0.0.1", deaf.getsockname()[1])
    monkeypatch.setenv("UNDERTOW_STORE__URL", "no such store")
    warm._quietly("127.0.0.1", port)


def test_a_file_that_no_collector_owns_yet_is_left_to_the_one_that_may_come(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UNDERTOW_DATA_DIR", str(tmp_path))
    assert warm.takes_the_file(load_settings().settings)
    endpoint.announce(tmp_path, store_url="grpc://127.0.0.1:9", http_url="", grpc_url="")
    assert not warm.takes_the_file(load_settings().settings)
    monkeypatch.setenv("UNDERTOW_STORE__URL", f"duckdb://{os.fspath(tmp_path)}/other.duckdb")
    assert warm.takes_the_file(load_settings().settings)


def test_the_figure_that_is_drawn_beforehand_needs_no_data() -> None:
    warm.figure()
