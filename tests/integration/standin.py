"""A stand-in for the OpenAI API on loopback, whose answers follow from the request alone."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

REASONING_TOKENS = 3
ANSWERING_MODEL = "gpt-4o-mini-2024-07-18"
EMBEDDING_MODEL = "text-embedding-3-small"


def words(text: str) -> int:
    """What the stand-in counts as tokens."""
    return len(text.split())


def answer_to(question: str) -> str:
    return f"You asked: {question}"


class StandIn:
    """The API on a free port: chat completions (plain, streamed, with tools) and embeddings."""

    def __enter__(self) -> StandIn:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:  # noqa: N802  # the name that http.server calls
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = json.loads(body)
        if self.path.endswith("/embeddings"):
            self._send_json(_embeddings(request))
        elif request.get("stream"):
            self._send_events(_chunks(request))
        else:
            self._send_json(_completion(request))

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""

    def _send_json(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_events(self, events: Iterator[dict[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()  # HTTP/1.0: the end of the connection is the end of the body
        for event in events:
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()
        self.wfile.write(b"data: [DONE]\n\n")


def _head(kind: str) -> dict[str, Any]:
    # No API gives two answers one id: an equal one would make calls of two applications one call told twice.
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex[:24]}",
        "object": kind,
        "created": 1_770_000_000,
        "model": ANSWERING_MODEL,
    }


def _message(request: dict[str, Any]) -> dict[str, Any]:
    """Ask for the first tool when tools are offered and none has answered yet, else repeat the question."""
    last = request["messages"][-1]
    question = next(m["content"] for m in reversed(request["messages"]) if m["role"] == "user")
    if request.get("tools") and last["role"] != "tool":
        function = {
            "name": request["tools"][0]["function"]["name"],
            "arguments": json.dumps({"question": question}),
        }
        call = {"id": f"call_{words(question)}", "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    return {"role": "assistant", "content": answer_to(question)}


def _usage(request: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    given = [words(m.get("content") or "") for m in request["messages"]]
    cached = sum(n for n, m in zip(given, request["messages"], strict=True) if m["role"] == "system")
    produced = words(message["content"] or "") + REASONING_TOKENS
    return {
        "prompt_tokens": sum(given),
        "completion_tokens": produced,
        "total_tokens": sum(given) + produced,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": REASONING_TOKENS},
    }


def _completion(request: dict[str, Any]) -> dict[str, Any]:
    message = _message(request)
    reason = "tool_calls" if "tool_calls" in message else "stop"
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {**_head("chat.completion"), "choices": [choice], "usage": _usage(request, message)}


def _chunks(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    head = _head("chat.completion.chunk")
    message = _message(request)
    for delta, reason in _deltas(message):
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    if (request.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": _usage(request, message)}


def _deltas(message: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str | None]]:
    yield {"role": "assistant", "content": ""}, None
    if "tool_calls" in message:
        yield {"tool_calls": [{"index": i, **call} for i, call in enumerate(message["tool_calls"])]}, None
        yield {}, "tool_calls"
        return
    first, *others = message["content"].split(" ")
    for piece in (first, *(f" {other}" for other in others)):
        yield {"content": piece}, None
    yield {}, "stop"


def _embeddings(request: dict[str, Any]) -> dict[str, Any]:
    given = request["input"]
    texts = [given] if isinstance(given, str) else given
    data = [
        {"object": "embedding", "index": index, "embedding": [float(words(text)), 1.0]}
        for index, text in enumerate(texts)
    ]
    count = sum(words(text) for text in texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "data": data, "model": EMBEDDING_MODEL, "usage": usage}
