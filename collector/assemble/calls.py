"""Which spans are calls of a model, what their logs add, and which of them tell of the same call."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from collector.assemble.tree import Tree
from collector.dialects.messages import add_input
from collector.records import Facts, Message, Record
from undertow import semconv as names

_LOG_SLACK_NS = 10**9
_CLOCK_NS = 2 * 10**6
_ORPHAN_WINDOW_NS = 3_600 * 10**9
# Where more calls with one response id run at once (a fake model, a constant), only the next ones are looked at.
_MOST_AT_ONCE = 64
# Of the calls that began before a log record was written, only the latest are looked at.
_MOST_CALLS = 256
_NOT_FILLED = frozenset({"fragment", "judgements", "response_id"})


@dataclass(slots=True, eq=False)
class Call:
    """One call of a model, as one span tells of it.

    Attributes
    ----------
    record : the span.
    facts : what span, logs and twins say together.
    duplicate_of : interaction that tells the same better.
    """

    record: Record
    facts: Facts
    tree: Tree
    duplicate_of: str | None = None
    _text: str | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """The interaction's id."""
        return self.record["record_id"]

    @property
    def span_id(self) -> str:
        """Id of the span."""
        return str(self.record["span_id"])

    @property
    def order(self) -> tuple[int, str]:
        """Sorts calls by time."""
        return self.record["start_ns"], self.id

    @property
    def generates(self) -> bool:
        """Whether the call produced text: it is no embedding."""
        return self.record.get("operation") in names.GENERATIONS

    @property
    def has_input(self) -> bool:
        """Whether any text that was given is known."""
        return any(message.get("content") for message in self.facts.get("input_messages", ()))

    @property
    def has_output(self) -> bool:
        """Whether an answer is known: text, or a tool that was called."""
        return bool(self.facts.get("response") or self.facts.get("tool_calls"))

    @property
    def given_text(self) -> str:
        """All text that the model was given."""
        if self._text is None:
            texts = [self.facts.get("system_prompt") or ""]
            texts += [message.get("content") or "" for message in self.facts.get("input_messages", ())]
            self._text = "\n".join(texts)
        return self._text


def find_calls(trees: Iterable[Tree], logs: Sequence[Record]) -> list[Call]:
    """Return every model call of the trees, in order of time, with logs joined and twins told apart.

    Parameters
    ----------
    trees : one per trace.
    logs : log records that carry facts of calls, in any order.
    """
    calls = [
        Call(span, cast(Facts, dict(span.get("facts", {}))), tree)
        for tree in trees
        for span in tree.spans.values()
        if span.get("operation") in names.MODEL_CALLS
    ]
    calls.sort(key=lambda call: call.order)
    _join_logs(calls, logs)
    for generates in (True, False):
        _mark_twins([call for call in calls if call.generates == generates])
    return calls


# --- Logs --------------------------------------------------------------------------------------------


def _join_logs(calls: list[Call], logs: Sequence[Record]) -> None:
    by_id = {call.id: call for call in calls}
    by_trace: dict[str, list[Call]] = defaultdict(list)
    by_response: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_trace[call.tree.trace_id].append(call)
        if call.facts.get("response_id"):
            by_response[call.facts["response_id"]].append(call)
    joined: dict[str, list[Record]] = defaultdict(list)
    for log in sorted(logs, key=lambda log: (log["start_ns"], log.get("sequence", 0), log["record_id"])):
        owner = by_id.get(f"{log.get('trace_id')}:{log.get('span_id')}")
        owner = owner or _owner_in_trace(log, by_trace.get(log.get("trace_id") or "", []))
        owner = owner or _owner_by_response(log, by_response)
        if owner is not None:
            joined[owner.id].append(log)
    for call_id, records in joined.items():
        _add_logs(by_id[call_id], records)


def _owner_in_trace(log: Record, calls: list[Call]) -> Call | None:
    """Return the call below the log's span that was running when the log was written."""
    span_id = log.get("span_id")
    if span_id is None or log.get("facts", {}).get("response_id"):
        return None
    time = log["start_ns"]
    begun = bisect_right(calls, time + _LOG_SLACK_NS, key=lambda call: call.record["start_ns"])
    running = [
        call
        for call in calls[max(0, begun - _MOST_CALLS) : begun]
        if time <= call.record["end_ns"] + _LOG_SLACK_NS and call.tree.is_below(call.span_id, span_id)
    ]
    return running[0] if len(running) == 1 else None


def _owner_by_response(log: Record, by_response: dict[str, list[Call]]) -> Call | None:
    """Return the call with the log's response id that ended nearest to the log."""
    response_id = log.get("facts", {}).get("response_id")
    candidates = by_response.get(response_id or "", [])
    trace_id = log.get("trace_id")
    candidates = [call for call in candidates if trace_id is None or call.tree.trace_id == trace_id]
    near = [call for call in candidates if _distance(call, log) <= _ORPHAN_WINDOW_NS]
    return min(near, key=lambda call: (_distance(call, log), call.id), default=None)


def _distance(call: Call, log: Record) -> int:
    return abs(call.record["end_ns"] - log["start_ns"])


def _add_logs(call: Call, logs: list[Record]) -> None:
    """Add what logs say and the span does not: whole descriptions first, then the fragments as one."""
    for log in logs:
        if not log["facts"].get("fragment"):
            _fill(call.facts, log["facts"])
    pieces = [log["facts"] for log in logs if log["facts"].get("fragment")]
    messages: list[Message] = [message for piece in pieces for message in piece.get("input_messages", [])]
    whole: Facts = {}
    add_input(whole, messages)
    tools = [tool for piece in pieces for tool in piece.get("tool_calls", [])]
    if tools:
        whole["tool_calls"] = tools
    for piece in pieces:
        _fill(whole, {key: value for key, value in piece.items() if key not in ("input_messages", "system_prompt")})
    _fill(call.facts, whole)


def _fill(facts: Facts, other: Any) -> None:
    """Set the facts that are not there yet."""
    known = cast("dict[str, Any]", facts)
    for key, value in other.items():
        if key not in known and key != "fragment":
            known[key] = value


# --- Twins -------------------------------------------------------------------------------------------


def _mark_twins(calls: list[Call]) -> None:
    """Group the spans that tell of one call, keep the one with the content, point the others at it.

    Parent and child are one call unless both name different responses. Spans of two instrumentations that run
    at the same time with one response id are one call, even in two traces. No instrumentation tells of one call
    in two traces, so that a model which gives all its answers one id makes no two calls one.
    """
    nested = _nearest_below(calls)
    groups = {call.id: [call] for call in calls}
    pairs = [(call, other) for call, below in nested for other in below if _same_call(call, other, len(below))]
    for one, other in [*pairs, *_told_afterwards(calls)]:
        _unite(groups, one, other)
    for one, other in sorted(_simultaneous(calls), key=_unlikeness):
        if _scopes(groups[one.id]).isdisjoint(_scopes(groups[other.id])):
            _unite(groups, one, other)
    kept = _keep_best(groups)
    for call, below in nested:
        # A parent of several calls that names no response of its own repeats what they did.
        if len(below) > 1 and not call.facts.get("response_id") and kept[below[-1].id] is not call:
            call.duplicate_of = kept[below[-1].id].id


def _keep_best(groups: dict[str, list[Call]]) -> dict[str, Call]:
    """Return for each call the one of its group that tells most; the others become its duplicates."""
    kept = {}
    for group in {id(group): group for group in groups.values()}.values():
        best = max(group, key=lambda call: (_took_time(call), _worth(call), call.tree.depth(call.span_id), call.order))
        for call in sorted(group, key=lambda call: call.order):
            kept[call.id] = best
            if call is not best:
                call.duplicate_of = best.id
                _fill_from_twin(best.facts, call.facts)
    return kept


def _fill_from_twin(facts: Facts, twin: Facts) -> None:
    _fill(facts, {key: value for key, value in twin.items() if key not in _NOT_FILLED})
    if "response_id" in twin:
        facts.setdefault("response_id", twin["response_id"])
    _add_tool_ids(facts, twin)


def _add_tool_ids(facts: Facts, twin: Facts) -> None:
    """Take over the ids of tool calls where a twin names the same tools and knows more of them."""
    mine, its = facts.get("tool_calls", []), twin.get("tool_calls", [])
    if mine and [call.get("name") for call in mine] == [call.get("name") for call in its]:
        pairs = zip(mine, its, strict=True)
        facts["tool_calls"] = [{**call, "id": call.get("id") or other.get("id")} for call, other in pairs]


def _nearest_below(calls: list[Call]) -> list[tuple[Call, list[Call]]]:
    """Return each call that has calls of its kind below it, with those that have no further such call in between."""
    by_id = {call.id: call for call in calls}
    below: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        above = call.tree.nearest(call.span_id, ("call", call.generates), lambda span: by_id.get(span["record_id"]))
        if above is not None:
            below[above.id].append(call)
    return [(by_id[call_id], found) for call_id, found in below.items()]


def _same_call(one: Call, other: Call, children: int) -> bool:
    """Tell whether a parent and one of its children (of so many) are one call."""
    mine, its = one.facts.get("response_id"), other.facts.get("response_id")
    if children > 1:
        return mine is not None and mine == its
    if mine is None or its is None or mine == its:
        return True
    usage = ("input_tokens", "output_tokens")
    return all(one.facts.get(key) is not None and one.facts.get(key) == other.facts.get(key) for key in usage)


def _told_afterwards(calls: list[Call]) -> Iterator[tuple[Call, Call]]:
    """Yield the moments at which an instrumentation tells of a streamed answer, each with the call that gave it.

    Logfire writes down what was streamed once it has ended, as a span without length or response id. It is the
    answer of the last call in the same trace that had ended by then and spent the same.
    """
    ended: dict[tuple[str, Any, Any], list[Call]] = defaultdict(list)
    for call in calls:
        if _took_time(call) and call.facts.get("streaming") is True and not call.has_output:
            ended[_spent(call)].append(call)
    for moment in calls:
        if not _took_time(moment) and "response_id" not in moment.facts and "output_tokens" in moment.facts:
            found = [call for call in ended[_spent(moment)] if _had_ended(call, moment)]
            if found:
                last = max(found, key=lambda call: (call.record["end_ns"], call.id))
                ended[_spent(moment)].remove(last)
                yield last, moment


def _spent(call: Call) -> tuple[str, Any, Any]:
    return call.tree.trace_id, call.facts.get("input_tokens"), call.facts.get("output_tokens")


def _had_ended(call: Call, moment: Call) -> bool:
    since = moment.record["end_ns"] - call.record["end_ns"]
    return -_CLOCK_NS <= since <= _LOG_SLACK_NS and call.record.get("scope_name") != moment.record.get("scope_name")


def _took_time(call: Call) -> bool:
    return call.record["end_ns"] != call.record["start_ns"]


def _simultaneous(calls: list[Call]) -> Iterator[tuple[Call, Call]]:
    """Yield the pairs of two instrumentations that ran at the same time with one response id."""
    by_response: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        if call.facts.get("response_id"):
            by_response[call.facts["response_id"]].append(call)
    for found in by_response.values():
        for index, one in enumerate(found):
            for other in found[index + 1 : index + 1 + _MOST_AT_ONCE]:
                if other.record["start_ns"] >= one.record["end_ns"]:
                    break
                if one.record.get("scope_name") != other.record.get("scope_name") and _overlap(
                    one.record, other.record
                ):
                    yield one, other


def _overlap(one: Record, other: Record) -> bool:
    """Tell whether two spans share at least half of the shorter one's time."""
    shared = _shared_ns(one, other)
    shorter = min(one["end_ns"] - one["start_ns"], other["end_ns"] - other["start_ns"])
    return shared > 0 and 2 * shared >= shorter


def _shared_ns(one: Record, other: Record) -> int:
    return min(one["end_ns"], other["end_ns"]) - max(one["start_ns"], other["start_ns"])


def _unlikeness(pair: tuple[Call, Call]) -> tuple[bool, int, str, str]:
    """Sort pairs: those that were given the same words first, then by the time in which only one of both ran."""
    one, other = pair
    alone = one.record["end_ns"] - one.record["start_ns"] + other.record["end_ns"] - other.record["start_ns"]
    return _last_text(one) != _last_text(other), alone - 2 * _shared_ns(one.record, other.record), one.id, other.id


def _last_text(call: Call) -> str | None:
    messages = call.facts.get("input_messages")
    return messages[-1].get("content") if messages else None


def _scopes(group: Iterable[Call]) -> set[str | None]:
    return {call.record.get("scope_name") for call in group}


def _unite(groups: dict[str, list[Call]], one: Call, other: Call) -> None:
    mine, its = sorted((groups[one.id], groups[other.id]), key=len, reverse=True)
    if mine is not its:
        mine.extend(its)
        for call in its:
            groups[call.id] = mine


def _worth(call: Call) -> int:
    """Say how much a span tells: content above all, then usage."""
    return (
        4 * call.has_input + 4 * call.has_output + 2 * ("output_tokens" in call.facts) + ("response_id" in call.facts)
    )
