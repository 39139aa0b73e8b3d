"""One way in for all doors: decompress, decode, redact, journal; an answer is given when the journal is durable."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from collector.bodies import gunzip, too_large
from collector.bounds import Bounds
from collector.courtesy import Courtesy
from collector.journal import Journal
from collector.packs import as_payload
from collector.records import Normalised, Record
from collector.self_trace import WorkTrace, is_own, step
from collector.signals import FEEDBACK_KINDS, THUMB_WORDS, thumb
from collector.telemetry import Telemetry
from undertow.errors import MalformedError, OverloadedError, TooLargeError

Encoding = Literal["protobuf", "json"]
CHANGE_KINDS = ("prompt", "model", "knowledge_base", "embedding_model", "deployment")
_LARGE_BYTES = 8 * 2**20
_TARGET_IDS = ("trace_id", "span_id", "response_id", "session_id")


class Normalise(Protocol):
    """Turns one decompressed request body into records."""

    def __call__(self, body: bytes, *, encoding: Encoding) -> Normalised:
        """Raise `MalformedError` when the body as a whole cannot be read."""
        ...


class Redacting(Protocol):
    """Takes secrets out of records in place, and counts them by kind."""

    counts: Counter[str]

    def records(self, records: list[Record]) -> None:
        """Redact; an exception means that nothing of the records may be kept."""
        ...


@dataclass(frozen=True)
class Receipt:
    """What became of a request; it may be acknowledged once ``durable`` has a result.

    Attributes
    ----------
    accepted, rejected : items.
    error_message : why items were rejected; empty when none was.
    durable : position in the journal, or an error when the journal refused.
    """

    accepted: int
    rejected: int
    error_message: str
    durable: Future[int]


class Intake:
    """Decodes, redacts and journals requests; safe to use from several threads.

    Parameters
    ----------
    normalisers : by signal (``traces``, ``logs``).
    redactor : called between decoding and journaling; when it fails, nothing is journaled.
    courtesy : requests of telemetry go before what works in the background.
    max_body_bytes : largest body after decompression.
    max_backlog_bytes : bodies between arrival and acknowledgement, in bytes.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        normalisers: Mapping[str, Normalise],
        redactor: Redacting,
        courtesy: Courtesy,
        telemetry: Telemetry,
        max_body_bytes: int,
        max_backlog_bytes: int,
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self._journal = journal
        self._normalisers = normalisers
        self._redactor = redactor
        self._redacting = threading.Lock()
        self._large = threading.Lock()
        self._courtesy = courtesy
        self._telemetry = telemetry
        self._budget = _Budget(max_backlog_bytes)
        telemetry.watch("undertow_backlog_bytes", lambda: self._budget.used)
        telemetry.add("undertow_journal_damaged_bytes_total", journal.recovery.dropped_bytes)

    @contextmanager
    def admission(self) -> Iterator[Callable[[int], None]]:
        """Account for a request's bytes from their arrival to the answer; call the value with each amount.

        Raises
        ------
        OverloadedError
            From the call, when the requests in hand exceed the limit.
        """
        held = 0

        def take(amount: int) -> None:
            nonlocal held
            self._budget.take(amount)
            held += amount

        try:
            yield take
        finally:
            self._budget.give_back(held)

    def submit(
        self,
        signal: str,
        body: bytes,
        *,
        encoding: Encoding,
        compressed: bool = False,
        bounds: Bounds | None = None,
    ) -> Receipt:
        """Take one OTLP request; items beyond the token's bounds are rejected.

        Raises
        ------
        MalformedError, TooLargeError, OverloadedError
            The request as a whole is refused.
        """
        trace = self._telemetry.begin("receive")
        with self._courtesy.first(), self.admission() as take:
            plain = self.plain(body, compressed=compressed)
            if compressed:
                take(len(plain))
            # Decoded, a body is several times larger; large ones take turns so that memory stays bounded.
            with self._large if len(plain) > _LARGE_BYTES else nullcontext():
                with step(trace, "decode"):
                    normalised = self._normalised(signal, plain, encoding)
                return self._journaled(signal, bounds.keep(normalised) if bounds else normalised, trace)

    def plain(self, body: bytes, *, compressed: bool) -> bytes:
        """Return the body as it was before compression.

        Raises
        ------
        MalformedError, TooLargeError
            It is not gzip, or larger than the limit.
        """
        if compressed:
            return gunzip(body, self.max_body_bytes)
        if len(body) > self.max_body_bytes:
            raise TooLargeError(too_large(self.max_body_bytes))
        return body

    def submit_feedback(self, body: Any, bounds: Bounds | None = None) -> tuple[Record, Receipt]:
        """Take one signal of a human (``POST /v1/feedback``).

        Raises
        ------
        MalformedError, OutOfBoundsError
            The body is not what the data model says, or the token may not speak of its target.
        """
        record = feedback_record(body, time.time_ns())
        if bounds:
            bounds.require_target(record["feedback"]["target"])
        return record, self._journaled("feedback", Normalised([record]))

    def submit_change(self, body: Any, bounds: Bounds | None = None) -> tuple[Record, Receipt]:
        """Take one change of an artifact (``POST /v1/changes``).

        Raises
        ------
        MalformedError, OutOfBoundsError
            The body is not what the data model says, or the token is bound.
        """
        if bounds:
            bounds.require_no_change()
        record = change_record(body, time.time_ns())
        return record, self._journaled("changes", Normalised([record]))

    def _journaled(self, signal: str, normalised: Normalised, trace: WorkTrace | None = None) -> Receipt:
        records, rejected = normalised.records, normalised.rejected
        if records:
            with step(trace, "redact"):
                self._redact(records)
            if signal in ("feedback", "changes"):
                _name_as_redacted(records[0])
            durable = self._journal.append(as_payload(records), len(records))
        else:
            durable = Future()
            durable.set_result(self._journal.durable)
        counts = {"accepted": len(records), "rejected": rejected, "ignored": normalised.ignored}
        # Counted before any client can see the answer.
        durable.add_done_callback(lambda future: self._count(signal, counts, future))
        if trace and not is_own(records):
            trace.end_with(durable, "journal", signal=signal, items=len(records))
        return Receipt(len(records), rejected, self._told(normalised.error_message), durable)

    def _normalised(self, signal: str, plain: bytes, encoding: Encoding) -> Normalised:
        try:
            return self._normalisers[signal](plain, encoding=encoding)
        except MalformedError as error:
            raise MalformedError(self._told(str(error))) from None

    def _told(self, message: str) -> str:
        """What is told of a refused item: it may quote what was sent, and senders log it."""
        if message:
            quoting = Record(error_message=message)
            self._redact([quoting])
            message = quoting["error_message"] or ""
        return message

    def _redact(self, records: list[Record]) -> None:
        with self._redacting:
            before = Counter(self._redactor.counts)
            self._redactor.records(records)
            found = self._redactor.counts - before
        for kind, count in found.items():
            self._telemetry.add("undertow_redactions_total", count, kind=kind)

    def _count(self, signal: str, counts: Mapping[str, int], future: Future[int]) -> None:
        if future.exception() is None:
            for outcome, count in counts.items():
                if count:
                    self._telemetry.add(f"undertow_{outcome}_items_total", count, signal=signal)


class _Budget:
    """Bytes in hand. One request alone is always taken, so that a small limit cannot block for ever."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self.used = 0

    def take(self, amount: int) -> None:
        with self._lock:
            if self.used and self.used + amount > self._limit:
                raise OverloadedError(
                    f"more than {self._limit} bytes of requests are in hand (collector.max_backlog_bytes); send again"
                )
            self.used += amount

    def give_back(self, amount: int) -> None:
        with self._lock:
            self.used -= amount


def feedback_record(body: Any, now_ns: int) -> Record:
    """Make a record of ``{"target": {...}, "kind", "value"?, "label"?, "comment"?, "author"?, "at"?, "id"?}``.

    ``at`` is when the person gave it, in ISO 8601 with a time zone, or UTC without one; now when absent.
    The value of a thumb becomes 1 (up) or 0 (down), whatever number or word told it.

    Raises
    ------
    MalformedError
        A field is missing, unknown or of another type.
    """
    allowed = {"target", "kind", "value", "label", "comment", "author", "at", "id"}
    fields = _fields(body, allowed, "feedback")
    target = _fields(fields.get("target"), set(_TARGET_IDS), "feedback target")
    for name in _TARGET_IDS:
        _text(target, name)
    if not any(target.get(name) for name in _TARGET_IDS):
        raise MalformedError(f"feedback names no target; give one of {', '.join(_TARGET_IDS)}")
    if target.get("span_id") and not any(target.get(name) for name in _TARGET_IDS if name != "span_id"):
        raise MalformedError("feedback names a span_id alone, which many traces may hold; give its trace_id, too")
    if fields.get("kind") not in FEEDBACK_KINDS:
        raise MalformedError(f"feedback has an unknown kind; expected one of {', '.join(FEEDBACK_KINDS)}")
    for name in ("label", "comment", "author", "at", "id"):
        _text(fields, name)
    fields = {**fields, "value": _feedback_value(fields)}
    ids = {name: str(target[name]) for name in _TARGET_IDS if target.get(name)}
    for name in ("trace_id", "span_id"):
        if name in ids:
            ids[name] = ids[name].lower()
    at_ns = _time_ns(fields, "feedback", now_ns)
    feedback = {**fields, "target": ids, "id": fields.get("id") or uuid.uuid4().hex, "created_ns": at_ns}
    return Record(
        record_id=f"feedback:{feedback['id']}",
        kind="feedback",
        trace_id=ids.get("trace_id"),
        span_id=ids.get("span_id"),
        start_ns=at_ns,
        end_ns=at_ns,
        feedback=feedback,
    )


def _name_as_redacted(record: Record) -> None:
    """Give a posted record the ids that redaction left, so that one that is sent again is the same one."""
    if record["kind"] == "feedback":
        body = record["feedback"]
        record["trace_id"], record["span_id"] = (body["target"].get(name) for name in ("trace_id", "span_id"))
    else:
        body = record["change"]
    record["record_id"] = f"{record['kind']}:{body['id']}"


def _feedback_value(fields: Mapping[str, Any]) -> float | None:
    """Return the value of a feedback: 1 or 0 for a thumb, a number for a rating, else what was given."""
    value, label = fields.get("value"), fields.get("label")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise MalformedError("feedback field 'value' is not a number")
    if fields["kind"] == "rating" and value is None:
        raise MalformedError("feedback of kind 'rating' lacks its 'value', a number")
    if fields["kind"] != "thumb":
        return value
    found = thumb(value, label)
    if found is None:
        raise MalformedError(
            "feedback of kind 'thumb' says neither up nor down; give a 'value' (above 0 is up, else down)"
            f" or one of the labels {', '.join(word for word in THUMB_WORDS if word.isascii())}"
        )
    return found


def change_record(body: Any, now_ns: int) -> Record:
    """Make a record of ``{"kind", "name", "before"?, "after"?, "at"?, "source"?, "id"?}``.

    ``at`` is in ISO 8601 with a time zone, or UTC without one; now when absent.

    Raises
    ------
    MalformedError
        A field is missing, unknown or of another type.
    """
    fields = _fields(body, {"kind", "name", "before", "after", "at", "source", "id"}, "change")
    if fields.get("kind") not in CHANGE_KINDS:
        raise MalformedError(f"change has an unknown kind; expected one of {', '.join(CHANGE_KINDS)}")
    for name in ("name", "before", "after", "at", "source", "id"):
        _text(fields, name)
    if not fields.get("name"):
        raise MalformedError("change lacks 'name': what was changed")
    at_ns = _time_ns(fields, "change", now_ns)
    change = {**fields, "id": fields.get("id") or uuid.uuid4().hex, "at_ns": at_ns}
    return Record(
        record_id=f"change:{change['id']}", kind="change", trace_id=None, start_ns=at_ns, end_ns=at_ns, change=change
    )


def _time_ns(fields: dict[str, Any], what: str, now_ns: int) -> int:
    """Return the time in ``at`` in nanoseconds since the epoch, now when absent."""
    if not fields.get("at"):
        return now_ns
    try:
        at = datetime.fromisoformat(str(fields["at"]))
    except ValueError:
        raise MalformedError(f"{what} field 'at' is not a time in ISO 8601") from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return round(at.timestamp() * 1_000_000) * 1000


def _fields(body: Any, allowed: set[str], what: str) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise MalformedError(f"{what} is not a JSON object")
    unknown = [name for name in body if name not in allowed]
    if unknown:
        raise MalformedError(f"{what} has {len(unknown)} unknown fields; known are {', '.join(sorted(allowed))}")
    return body


def _text(fields: Mapping[str, Any], name: str) -> None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise MalformedError(f"field {name!r} is not a string")
