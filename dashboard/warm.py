"""What the first page needs, paid for before a reader comes: imports, and the dashboard's own first visit.

The visit enters by the door that a browser uses, a WebSocket that asks for one run of the script, so that it warms
exactly what a reader needs: modules that are imported late, compiled pages, the connection to the store and the cache
of its data. Whatever goes wrong with it, the first reader finds the server as it would be without it.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from datetime import datetime, timedelta

from undertow.config import load_settings
from undertow.settings import Settings
from undertow.store import endpoint

PATIENCE_S = 60
_log = logging.getLogger(__name__)


def imports() -> None:
    """Import what the first page needs, before the server answers."""
    for name in ("pandas", "pyarrow.flight", "duckdb"):
        importlib.import_module(name)


def figure() -> None:
    """Make a figure of no data: Plotly imports most of itself only then, and every page but the first has charts."""
    import pandas as pd

    from dashboard.charts import base, drift

    day = datetime.fromisoformat("2026-01-01")
    row = {"middle": day, "day_ms": 8.64e7, "verdict": "stable", "sentence": "", "evidence": 1.0, "threshold": 1.0}
    table = pd.DataFrame([{**row, "ratio": 1.0}])
    drift.evidence(table, [base.Letter("A", day)], (day, day + timedelta(days=1))).to_json()


def start(host: str, port: int) -> None:
    """Visit the first page in the background as soon as the server answers."""
    threading.Thread(target=_quietly, args=(host, port), name="first-visit", daemon=True).start()


def _quietly(host: str, port: int) -> None:
    try:
        if not takes_the_file(load_settings().settings):
            visit(host, port)
        figure()
    except Exception as error:  # a courtesy: it must not end what it prepares
        _log.debug("the dashboard is not warm: %s", error)


def takes_the_file(settings: Settings) -> bool:
    """Whether reading the store would open its file here, and so keep a collector that starts later from owning it."""
    if settings.store.url:
        return settings.store.url.startswith("duckdb:")
    return endpoint.find(settings.data_dir) is None


def visit(host: str, port: int) -> None:
    """Ask for one run of the script with the default filters, and wait until it has ended.

    Raises
    ------
    TimeoutError
        The server does not listen, or the run does not end, within `PATIENCE_S`.
    """
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
    from websockets.sync.client import ClientConnection, connect
    from websockets.typing import Subprotocol

    deadline = time.monotonic() + PATIENCE_S
    url = f"ws://{f'[{host}]' if ':' in host else host}:{port}/_stcore/stream"

    def connected() -> ClientConnection:
        while True:
            try:
                return connect(url, subprotocols=[Subprotocol("streamlit")], max_size=None, proxy=None)
            except OSError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"nothing listens on {host}:{port}") from None
                time.sleep(0.05)

    request = BackMsg()
    request.rerun_script.query_string = ""
    with connected() as door:
        door.send(request.SerializeToString())
        while True:
            frame = door.recv(timeout=max(0.0, deadline - time.monotonic()), decode=False)
            if ForwardMsg.FromString(frame).WhichOneof("type") == "script_finished":
                return
