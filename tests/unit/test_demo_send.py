"""What the demo sends: complete traces in two dialects, ids known beforehand, losses noticed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from demo.knowledge import CUSTOMER, STAFF
from demo.script import Script, Turn, write_script
from demo.send import SendError, change_bodies, feedback_bodies, send_spans

END = datetime(2026, 11, 22)


@pytest.fixture(scope="module")
def script() -> Script:
    whole = write_script(7, END)
    special = [turn for turn in whole.turns if turn.event in ("cost_spike", "injection")]
    failed = [turn for turn in whole.turns if turn.error][:5]
    kept = sorted({t.trace_id: t for t in (*whole.turns[:300], *special, *failed)}.values(), key=lambda t: t.start)
    return replace(whole, turns=tuple(kept))


@pytest.fixture(scope="module")
def spans(script: Script) -> dict[str, list[ReadableSpan]]:
    targets = {CUSTOMER: InMemorySpanExporter(), STAFF: InMemorySpanExporter()}
    send_spans(script, dict(targets))
    traces: dict[str, list[ReadableSpan]] = {}
    for target in targets.values():
        for span in target.get_finished_spans():
            assert span.context is not None
            traces.setdefault(f"{span.context.trace_id:032x}", []).append(span)
    return traces


def _answer_span(turn: Turn, spans: dict[str, list[ReadableSpan]]) -> ReadableSpan:
    return next(s for s in spans[turn.trace_id] if s.context and f"{s.context.span_id:016x}" == turn.answer_span_id)


def test_every_turn_becomes_one_trace_with_one_root(script: Script, spans: dict[str, list[ReadableSpan]]) -> None:
    assert set(spans) == {turn.trace_id for turn in script.turns}
    for trace in spans.values():
        assert sum(span.parent is None for span in trace) == 1


def test_the_ids_of_answers_are_known_before_they_are_sent(
    script: Script, spans: dict[str, list[ReadableSpan]]
) -> None:
    for turn in script.turns:
        attributes = _answer_span(turn, spans).attributes or {}
        said = attributes.get("gen_ai.output.messages") or attributes.get("llm.output_messages.0.message.content")
        if turn.error:
            assert said is None
        elif turn.service == STAFF:
            assert said == turn.answer
        else:
            assert json.loads(str(said))[0]["parts"][0]["content"] == turn.answer


def test_spans_carry_the_times_of_the_script(script: Script, spans: dict[str, list[ReadableSpan]]) -> None:
    for turn in script.turns:
        root = next(span for span in spans[turn.trace_id] if span.parent is None)
        assert root.start_time is not None and root.end_time is not None
        started = datetime.fromisoformat(turn.start.isoformat() + "+00:00").timestamp()
        assert abs(root.start_time / 1e9 - started) < 1e-3
        for span in spans[turn.trace_id]:
            assert span.start_time is not None and span.end_time is not None
            assert root.start_time <= span.start_time <= span.end_time <= root.end_time


def test_one_service_speaks_genai_and_the_other_openinference(
    script: Script, spans: dict[str, list[ReadableSpan]]
) -> None:
    key = {CUSTOMER: "gen_ai.operation.name", STAFF: "openinference.span.kind"}
    kinds: dict[str, set[object]] = {CUSTOMER: set(), STAFF: set()}
    for turn in script.turns:
        kinds[turn.service] |= {(span.attributes or {}).get(key[turn.service]) for span in spans[turn.trace_id]}

    assert kinds[CUSTOMER] == {"invoke_agent", "retrieval", "chat", "execute_tool"}
    assert kinds[STAFF] == {"CHAIN", "RETRIEVER", "LLM"}


def test_a_loop_repeats_the_same_call_with_growing_contexts(
    script: Script, spans: dict[str, list[ReadableSpan]]
) -> None:
    turn = next(turn for turn in script.turns if turn.event == "cost_spike")
    attributes = [span.attributes or {} for span in spans[turn.trace_id]]
    arguments = [a["gen_ai.tool.call.arguments"] for a in attributes if "gen_ai.tool.call.arguments" in a]
    given = sorted(int(str(a["gen_ai.usage.input_tokens"])) for a in attributes if "gen_ai.usage.input_tokens" in a)

    assert len(arguments) >= 24
    assert len(set(arguments)) == 1
    assert given[-1] > 10 * given[0]


def test_thumbs_point_at_answers_and_carry_the_time_of_the_script(script: Script) -> None:
    rated = [turn for turn in script.turns if turn.thumb is not None]
    bodies = list(feedback_bodies(script))

    assert [body["target"]["trace_id"] for body in bodies] == [turn.trace_id for turn in rated]
    assert all(turn.start.isoformat() < body["at"] for turn, body in zip(rated, bodies, strict=True))
    assert len({body["id"] for body in bodies}) == len(bodies)


def test_changes_that_no_span_tells_are_announced(script: Script) -> None:
    bodies = list(change_bodies(script.events.values()))

    assert [(body["kind"], body["name"]) for body in bodies] == [
        ("knowledge_base", "customer-help"),
        ("knowledge_base", "staff-handbook"),
    ]


class _Refusing(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        pass


def test_a_refused_batch_stops_the_demo(script: Script) -> None:
    with pytest.raises(SendError, match=r"accepted 0 of \d+ spans"):
        send_spans(replace(script, turns=script.turns[:20]), {CUSTOMER: _Refusing(), STAFF: InMemorySpanExporter()})
