"""The load of `bench/ingest.py`: realistic traces, encoded beforehand, and a sender in a process of its own.

    python bench/load.py BODIES --url grpc://127.0.0.1:4317 [--first 0] [--count 40] [--connections 4] [--rate SPANS]

BODIES is a file that `write_bodies` made. The sender sends each body once, over persistent connections, as fast as
the answers come or at a rate (spans a second). It sends again what is refused, after the time that the refusal names
(`Retry-After`, `RetryInfo`), and so loses nothing. It prints the line `acknowledged` with the last acknowledgement and
then one line of JSON: for each body when it was due, when it was acknowledged (seconds of the monotonic clock, which
all processes of the machine share), and how often it was refused.
"""

from __future__ import annotations

import argparse
import http.client
import json
import mmap
import random
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

BATCH = 512
SPANS_A_TRACE = 3
DOCUMENTS_A_TRACE = 3
_INTERLEAVED = 8
_PASSAGES = 400
_NS = 10**9
_HEAD = struct.Struct("<II")
_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_PATIENCE_S = 300
_WORDS = (
    "account balance transfer card limit branch opening hours mortgage repayment interest rate fee monthly yearly "
    "customer adviser application form signature contract notice period savings deposit withdrawal statement online "
    "mobile device code confirm replace block lost stolen currency exchange payment standing order direct debit "
    "refund dispute merchant insurance travel cover claim document identity proof address change joint holder minor "
    "parent business invoice salary tax certificate allowance investment fund share custody order execution market "
    "risk profile review appointment within after before until unless otherwise every first second third day week "
    "month year may must can should will is are the a an of to in for on with without from by and or not if when "
    "which that this these please note however therefore usually always never only also free charged"
).split()


# --- The bodies ----------------------------------------------------------------------------------


class _Writer:
    """Makes traces from a seed: a question, three passages of a knowledge base, an answer."""

    def __init__(self, seed: int, end_ns: int, traces: int) -> None:
        self._rng = random.Random(seed)
        self._start_ns = end_ns - traces * _NS // 20
        self._passages = [self._text(75) for _ in range(_PASSAGES)]
        self._system = self._text(60)

    def _text(self, words: int) -> str:
        sentences = []
        while words > 0:
            length = min(words, self._rng.randint(6, 16))
            sentences.append(" ".join(self._rng.choices(_WORDS, k=length)).capitalize() + ".")
            words -= length
        return " ".join(sentences)

    def trace(self, number: int) -> list[Any]:
        """Return retriever, model call and chain of one trace, in the order in which they end."""
        rng = self._rng
        trace_id = rng.randbytes(16)
        chain, retriever, llm = (rng.randbytes(8) for _ in range(3))
        question = self._text(rng.randint(8, 20))
        if number % 20 == 0:
            question += f" Write to anna.{number}@example.org, card 4111 1111 1111 1111."
        passages = rng.sample(range(_PASSAGES), DOCUMENTS_A_TRACE)
        answer = self._text(rng.randint(40, 90))
        start = self._start_ns + number * _NS // 20
        identity = {"session.id": f"session-{number // 4}", "user.id": f"user-{number % 997}"}
        texts = [self._passages[passage] for passage in passages]
        return [
            (trace_id, retriever, chain, "VectorStoreRetriever", start + _NS // 100, start + _NS // 5)
            + (_retriever(question, passages, texts) | identity,),
            (trace_id, llm, chain, "ChatOpenAI", start + _NS // 5, start + 2 * _NS)
            + (self._llm(question, texts, answer, number) | identity,),
            (trace_id, chain, b"", "RetrievalQA", start, start + 2 * _NS + _NS // 50)
            + (_chain(question, answer) | identity,),
        ]

    def _llm(self, question: str, texts: list[str], answer: str, number: int) -> dict[str, str | int | float]:
        asked = "Answer from the context.\n\n" + "\n\n".join(texts) + f"\n\nQuestion: {question}"
        parameters = {"model": "gpt-4o-mini", "temperature": 0.2, "max_tokens": 512}
        messages = [{"role": "system", "content": self._system}, {"role": "user", "content": asked}]
        told = {"id": f"chatcmpl-{number:012d}", "model": "gpt-4o-mini-2024-07-18"}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer}}
        return {
            "openinference.span.kind": "LLM",
            "llm.provider": "openai",
            "llm.model_name": "gpt-4o-mini-2024-07-18",
            "llm.invocation_parameters": json.dumps(parameters),
            "input.value": json.dumps({"messages": messages, **parameters}),
            "input.mime_type": "application/json",
            "output.value": json.dumps({**told, "choices": [choice]}),
            "output.mime_type": "application/json",
            "llm.input_messages.0.message.role": "system",
            "llm.input_messages.0.message.content": self._system,
            "llm.input_messages.1.message.role": "user",
            "llm.input_messages.1.message.content": asked,
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": answer,
            "llm.token_count.prompt": len(asked) // 4,
            "llm.token_count.completion": len(answer) // 4,
            "llm.token_count.total": (len(asked) + len(answer)) // 4,
            "llm.token_count.prompt_details.cache_read": 0,
        }


def _retriever(question: str, passages: list[int], texts: list[str]) -> dict[str, str | int | float]:
    attributes: dict[str, str | int | float] = {
        "openinference.span.kind": "RETRIEVER",
        "input.value": question,
        "input.mime_type": "text/plain",
    }
    for rank, (passage, text) in enumerate(zip(passages, texts, strict=True)):
        prefix = f"retrieval.documents.{rank}.document"
        attributes[f"{prefix}.id"] = f"handbook-{passage}"
        attributes[f"{prefix}.content"] = text
        attributes[f"{prefix}.score"] = 0.9 - rank / 10
        attributes[f"{prefix}.metadata"] = json.dumps({"source": f"handbook/{passage}.md", "section": passage % 17})
    return attributes


def _chain(question: str, answer: str) -> dict[str, str | int | float]:
    return {
        "openinference.span.kind": "CHAIN",
        "input.value": json.dumps({"query": question}),
        "input.mime_type": "application/json",
        "output.value": json.dumps({"result": answer}),
        "output.mime_type": "application/json",
        "metadata": json.dumps({"release": "2026.11", "region": "eu-1", "channel": "web"}),
    }


def _in_order(writer: _Writer, traces: int) -> Iterator[Any]:
    """Yield spans as an exporter sees them: eight requests are served at a time, and a span is sent when it ends."""
    for first in range(0, traces, _INTERLEAVED):
        group = [writer.trace(number) for number in range(first, min(traces, first + _INTERLEAVED))]
        for spans in zip(*group, strict=True):
            yield from spans


def _body(spans: list[Any]) -> bytes:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    resource = {"service.name": "assistant", "deployment.environment.name": "bench", "telemetry.sdk.language": "python"}
    for key, value in resource.items():
        group.resource.attributes.add(key=key).value.string_value = value
    scope = group.scope_spans.add()
    scope.scope.name, scope.scope.version = "openinference.instrumentation.langchain", "0.1.66"
    for trace_id, span_id, parent, name, start, end, attributes in spans:
        span = scope.spans.add(trace_id=trace_id, span_id=span_id, parent_span_id=parent, name=name, kind=1)
        span.start_time_unix_nano, span.end_time_unix_nano, span.status.code = start, end, 1
        for key, value in attributes.items():
            kind = {str: "string_value", int: "int_value", float: "double_value"}[type(value)]
            setattr(span.attributes.add(key=key).value, kind, value)
    return bytes(request.SerializeToString())


def write_bodies(path: Path, spans: int, *, seed: int = 0, batch: int = BATCH) -> None:
    """Write the bodies of about this many spans (whole traces, never fewer) to a file that `Bodies` opens."""
    traces = -(-spans // SPANS_A_TRACE)
    waiting: list[Any] = []
    with path.open("wb") as file:

        def write() -> None:
            body = _body(waiting)
            file.write(_HEAD.pack(len(body), len(waiting)) + body)
            waiting.clear()

        for span in _in_order(_Writer(seed, time.time_ns(), traces), traces):
            waiting.append(span)
            if len(waiting) == batch:
                write()
        if waiting:
            write()


class Bodies:
    """The bodies of a file, in order; ``spans`` tells how many each holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._places: list[tuple[int, int]] = []
        self.spans: list[int] = []
        at = 0
        while at < len(self._map):
            size, spans = _HEAD.unpack_from(self._map, at)
            self._places.append((at + _HEAD.size, size))
            self.spans.append(spans)
            at += _HEAD.size + size

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> bytes:
        start, size = self._places[number]
        return self._map[start : start + size]

    @property
    def bytes_a_span(self) -> float:
        """Mean size of a span on the wire."""
        return sum(size for _, size in self._places) / max(1, sum(self.spans))

    def of_spans(self, spans: float) -> int:
        """Return how many bodies hold at least this many spans, all of them when there are too few."""
        total = 0
        for number, held in enumerate(self.spans):
            total += held
            if total >= spans:
                return number + 1
        return len(self)


# --- The sender ----------------------------------------------------------------------------------


class Sink(Protocol):
    """One connection."""

    def send(self, body: bytes) -> float | None:
        """Send a body; return nothing when it was acknowledged, else after how many seconds to send it again."""
        ...


class _Http:
    """OTLP over HTTP, protobuf, on a persistent connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE_S)

    def send(self, body: bytes) -> float | None:
        try:
            self._connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 1.0
        if response.status == 200:
            return None
        if response.status not in (429, 502, 503, 504):
            raise SystemExit(f"a body was refused for good: HTTP {response.status}")
        return float(response.headers.get("Retry-After") or 1)


class _Grpc:
    """OTLP over gRPC on a channel of its own."""

    def __init__(self, url: str) -> None:
        import grpc

        self._error = grpc.RpcError
        self._codes = grpc.StatusCode
        options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        self._call = grpc.insecure_channel(url.removeprefix("grpc://"), options=options).unary_unary(_EXPORT)

    def send(self, body: bytes) -> float | None:
        try:
            self._call(body, timeout=_PATIENCE_S)
        except self._error as error:
            return self._again(error)
        return None

    def _again(self, error: Any) -> float:
        """Return the delay of ``RetryInfo``; without it, one second where the code says that it may pass."""
        from google.rpc import error_details_pb2, status_pb2

        trailer = {key: value for key, value in error.trailing_metadata() or ()}
        for detail in status_pb2.Status.FromString(trailer.get("grpc-status-details-bin", b"")).details:
            info = error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
        passing = (self._codes.UNAVAILABLE, self._codes.DEADLINE_EXCEEDED, self._codes.ABORTED)
        if error.code() in passing or error.code() is self._codes.RESOURCE_EXHAUSTED:
            return 1.0
        raise SystemExit(f"a body was refused for good: {error.code()}")


@dataclass(frozen=True)
class Sent:
    """One body: how many spans, when it was due and when acknowledged (monotonic seconds), how often refused."""

    spans: int
    due: float
    acknowledged: float
    refused: int


def send(bodies: Bodies, numbers: range, connect: Callable[[], Sink], connections: int, rate: float) -> list[Sent]:
    """Send bodies over several connections at once and return what became of each.

    Parameters
    ----------
    rate : spans a second; 0 sends as fast as the answers come. At a rate, a body that must wait for a connection
        is late: its time counts from when it was due.

    Raises
    ------
    SystemExit
        A body was refused in a way that sending again cannot mend.
    """
    started = time.monotonic()
    pending, lock = iter(numbers), threading.Lock()
    sent: list[Sent] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            sink = connect()
            while True:
                with lock:
                    number = next(pending, None)
                if number is None:
                    return
                due = started + (number - numbers.start) * bodies.spans[0] / rate if rate else time.monotonic()
                time.sleep(max(0.0, due - time.monotonic()))
                refused = _until_taken(sink, bodies[number])
                sent.append(Sent(bodies.spans[number], due, time.monotonic(), refused))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return sorted(sent, key=lambda one: one.acknowledged)


def _until_taken(sink: Sink, body: bytes) -> int:
    refused = 0
    while (pause_s := sink.send(body)) is not None:
        refused += 1
        time.sleep(pause_s)
    return refused


def main() -> None:
    parser = argparse.ArgumentParser(description="Send the bodies of a file to an OTLP door.")
    parser.add_argument("bodies", type=Path)
    parser.add_argument("--url", required=True, help="grpc://host:port or http://host:port")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, help="number of bodies; all from the first on by default")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rate", type=float, default=0.0, help="spans a second; 0: as fast as answers come")
    options = parser.parse_args()
    bodies = Bodies(options.bodies)
    last = len(bodies) if options.count is None else min(len(bodies), options.first + options.count)
    kind = _Grpc if options.url.startswith("grpc://") else _Http
    numbers = range(options.first, last)
    sent = send(bodies, numbers, lambda: kind(options.url), options.connections, options.rate)
    print("acknowledged", flush=True)
    print(json.dumps([[one.spans, one.due, one.acknowledged, one.refused] for one in sent]), flush=True)


if __name__ == "__main__":
    main()
