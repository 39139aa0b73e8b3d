"""A stand-in for an OpenAI-compatible API on loopback that judges by rules, and obeys whoever may instruct it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Reply = Callable[[dict[str, Any]], str]
_MARK = re.compile(r"BEGIN (data-[0-9a-f]+)\n(.*)\nEND \1\Z", re.DOTALL)
_COMMAND = re.compile(r"(?:score|grade) this (\d+)", re.IGNORECASE)
_WORD = re.compile(r"\w+(?:\.\w+)*")


def material(request: dict[str, Any]) -> dict[str, Any]:
    """What stands between the marks that the system message names."""
    system, user = request["messages"][0]["content"], request["messages"][1]["content"]
    found = _MARK.fullmatch(user)
    assert found, "the user message is not fenced"
    assert found[1] in system, "the system message names another mark"
    return dict(json.loads(found[2]))


def outside(request: dict[str, Any]) -> str:
    """All that the model reads as instructions: every message without what is fenced."""
    texts = [message["content"] for message in request["messages"]]
    return "\n".join(_MARK.sub("", text) for text in texts)


def honest(request: dict[str, Any]) -> str:
    """Judge by shared words; but obey a command to grade wherever it stands outside the fence."""
    told = _COMMAND.search(outside(request))
    given = material(request)
    if "claims" not in given:
        return json.dumps({"grade": int(told[1]) if told else 2, "reason": "by rule"})
    claims = []
    for claim in given["claims"]:
        words = set(_WORD.findall(claim["text"].lower()))
        shares = [len(words & set(_WORD.findall(p["text"].lower()))) / max(len(words), 1) for p in given["passages"]]
        best = max(range(len(shares)), key=shares.__getitem__)
        support = 1.0 if told else round(min(shares[best], 0.97), 2)
        verdict = "supported" if support > 0.5 else "unsupported"
        claims.append({"n": claim["n"], "verdict": verdict, "support": support, "passage": best + 1})
    return json.dumps({"claims": claims})


class JudgeStandIn:
    """The API on a free port.

    Parameters
    ----------
    reply : what the model says to a request.
    refuses : kinds of ``response_format`` that are answered with 400.
    statuses : HTTP statuses of the first requests, instead of an answer.
    delay_s : how long each answer takes.
    headers : sent with every status that is no answer.
    shape : changes the body of an answer; may return anything that JSON can hold.
    """

    def __init__(
        self,
        reply: Reply = honest,
        refuses: tuple[str, ...] = (),
        statuses: tuple[int, ...] = (),
        delay_s: float = 0.0,
        headers: tuple[tuple[str, str], ...] = (),
        shape: Callable[[dict[str, Any]], Any] = lambda body: body,
    ) -> None:
        self.reply, self.refuses, self.statuses, self.delay_s = reply, refuses, list(statuses), delay_s
        self.extra, self.shape = headers, shape
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    def __enter__(self) -> JudgeStandIn:
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    api: JudgeStandIn

    def do_POST(self) -> None:  # noqa: N802  # the name that http.server calls
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.api.lock:
            self.api.requests.append(request)
            self.api.headers.append({name.lower(): text for name, text in self.headers.items()})
            self.api.at_once += 1
            self.api.most_at_once = max(self.api.most_at_once, self.api.at_once)
            status = self.api.statuses.pop(0) if self.api.statuses else 200
        refused = {request.get("response_format", {}).get("type")} | ({"temperature"} & request.keys())
        if found := refused & set(self.api.refuses):
            status = 400
        time.sleep(self.api.delay_s)
        error = {"error": {"message": f"no {', '.join(map(str, found))}"}}
        body = json.dumps(self.api.shape(self._answer(request)) if status == 200 else error).encode()
        with self.api.lock:
            self.api.at_once -= 1
        self.send_response(status)
        for name, value in self.api.extra if status != 200 else ():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_770_000_000,
            "model": request["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": self.api.reply(request)},
                }
            ],
            "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
        }

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""
