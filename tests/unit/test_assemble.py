"""Spans and logs become calls, documents and tool runs by the rules of the data model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collector.assemble import assemble, response_ids, span_rows
from collector.records import Assembled, Record
from tests.telemetry_factory import START_NS, TRACE, chat, logs, retrieval, span_id, spans
from undertow.text import content_hash

BERN = "Bern is where the government of Switzerland sits."
PARIS = "Paris is where the government of France sits."
DOCUMENTS = [{"id": "ch", "content": BERN, "score": 0.9}, {"id": "fr", "content": PARIS, "score": 0.8}]
OTHER_TRACE = "b" * 32


def iid(number: int, trace: str = TRACE) -> str:
    return f"{trace}:{span_id(number)}"


def rows(records: list[Record]) -> dict[str, dict[str, Any]]:
    """Interactions by id."""
    return {row["interaction_id"]: row for row in assemble(records).interactions}


def only(records: list[Record]) -> dict[str, Any]:
    found = assemble(records).interactions
    assert len(found) == 1
    return found[0]


def counted(assembled: Assembled) -> list[str]:
    """Ids of the calls that count."""
    return [row["interaction_id"] for row in assembled.interactions if row["duplicate_of"] is None]


def joined(assembled: Assembled) -> list[tuple[str, str | None, float]]:
    return [(row["interaction_id"], row["document_id"], row["join_confidence"]) for row in assembled.documents]


def system_and_user(system: str, user: str) -> dict[str, Any]:
    return {"gen_ai.input.messages": [{"role": "system", "content": system}, {"role": "user", "content": user}]}


# --- Rows --------------------------------------------------------------------------------------------


def test_a_call_is_one_row_with_its_hashes_and_language() -> None:
    question = "Where does the government of Switzerland sit, and since when?"
    row = only(spans(chat(1, question=question, answer=BERN)))
    assert (row["interaction_id"], row["operation"], row["provider"]) == (iid(1), "chat", "openai")
    assert (row["prompt"], row["response"], row["language"]) == (question, BERN, "en")
    assert (row["prompt_text_hash"], row["response_text_hash"]) == (content_hash(question), content_hash(BERN))
    assert (row["start_time"], row["duration_ms"]) == (START_NS // 1000, 10.0)
    assert (row["content_state"], row["flags"], row["turn_id"]) == ("full", None, TRACE)
    assert json.loads(row["messages"]) == [{"role": "user", "content": question}]


def test_an_unknown_count_of_tokens_is_not_zero() -> None:
    row = only(spans({"id": 1, "attributes": {"gen_ai.operation.name": "chat"}}))
    assert row["input_tokens"] is None
    assert row["streaming"] is None


@pytest.mark.parametrize(
    ("span", "state"),
    [
        (chat(1), "full"),
        (chat(1, answer=None), "partial"),
        (chat(1, question=None), "partial"),
        (chat(1, question=None, answer=None), "none"),
        (chat(1, answer=None, status="ERROR"), "full"),
        ({"id": 1, "attributes": {"gen_ai.operation.name": "embeddings"}}, "none"),
    ],
)
def test_content_state_says_how_much_text_there_is(span: dict[str, Any], state: str) -> None:
    assert only(spans(span))["content_state"] == state


def test_an_embedding_is_a_row_outside_all_semantics() -> None:
    attributes = {"openinference.span.kind": "EMBEDDING", "embedding.embeddings.0.embedding.text": "one"}
    row = only(spans({"id": 1, "attributes": attributes}))
    assert (row["operation"], row["prompt"], row["content_state"]) == ("embeddings", None, "full")


def test_impossible_times_are_flagged_in_spans_and_interactions() -> None:
    records = spans(chat(1, start=10, end=5))
    assert only(records)["flags"] == span_rows(records)[0]["flags"] == "end_time_before_start"
    assert only(records)["duration_ms"] is None


def test_a_call_far_earlier_than_the_service_that_made_it_has_a_skewed_clock() -> None:
    caller = spans({"id": 1, "start": 5_000, "end": 9_000}, resource={"service.name": "web"})
    called = spans(chat(2, parent=1, start=1_000), resource={"service.name": "model"})
    assert only(caller + called)["flags"] == "clock_skew"


def test_rows_of_spans_hold_json_as_text() -> None:
    (row,) = span_rows(spans(chat(1, extra={"own": {"a": [1]}}), resource={"service.name": "s", "host": "h"}))
    assert json.loads(row["attributes"]) == {"own": {"a": [1]}}
    assert (row["events"], json.loads(row["resource"])) == (None, {"host": "h"})


def test_session_user_and_agent_come_from_the_nearest_ancestor() -> None:
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "teller", "session.id": "near"}
    records = spans(
        {"id": 1, "attributes": {"session.id": "far", "user.id": "u"}},
        {"id": 2, "parent": 1, "attributes": agent},
        chat(3, parent=2),
    )
    row = only(records)
    assert (row["session_id"], row["user_id"], row["agent_name"]) == ("near", "u", "teller")


def test_a_loop_of_parents_ends() -> None:
    assert counted(assemble(spans(chat(1, parent=2), {"id": 2, "parent": 1}))) == [iid(1)]


# --- Logs --------------------------------------------------------------------------------------------


def test_content_in_a_log_is_joined_by_its_span() -> None:
    details = {
        "gen_ai.input.messages": [{"role": "user", "content": "Why?"}],
        "gen_ai.output.messages": [{"role": "assistant", "content": "So."}],
    }
    log = logs({"event": "gen_ai.client.inference.operation.details", "span": 1, "attributes": details})
    row = only(log + spans(chat(1, question=None, answer=None)))
    assert (row["prompt"], row["response"], row["input_tokens"]) == ("Why?", "So.", 10)


def test_one_log_a_message_becomes_one_conversation_in_order_of_time() -> None:
    said = logs(
        {
            "event": "gen_ai.choice",
            "span": 1,
            "at": 3,
            "body": {"message": {"content": "So."}, "finish_reason": "stop"},
        },
        {"event": "gen_ai.system.message", "span": 1, "at": 1, "body": {"content": "Be kind."}},
        {"event": "gen_ai.user.message", "span": 1, "at": 2, "body": {"content": "Why?"}},
    )
    row = only(spans(chat(1, question=None, answer=None)) + said)
    assert json.loads(row["messages"]) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Why?"},
    ]
    assert (row["system_prompt"], row["response"], row["finish_reason"]) == ("Be kind.", "So.", "stop")


def test_logs_of_the_same_time_keep_the_order_of_their_request() -> None:
    said = logs(*({"event": "gen_ai.user.message", "span": 1, "body": {"content": text}} for text in "cab"))
    row = only(spans(chat(1, question=None)) + said[::-1])
    assert [message["content"] for message in json.loads(row["messages"])] == ["c", "a", "b"]


def test_content_told_by_span_and_log_is_taken_once() -> None:
    said = logs({"event": "gen_ai.user.message", "span": 1, "body": {"content": "Why?"}})
    assert len(json.loads(only(spans(chat(1)) + said)["messages"])) == 1


def test_a_log_outside_any_trace_is_joined_by_response_id_to_the_nearest_call() -> None:
    details = {"gen_ai.response.id": "r", "gen_ai.input.messages": [{"role": "user", "content": "Now?"}]}
    log = logs({"event": "gen_ai.client.inference.operation.details", "at": 1_010, "attributes": details})
    extra = {"gen_ai.response.id": "r"}
    early = chat(1, question=None, extra=extra)
    late = chat(2, question=None, start=1_000, trace=OTHER_TRACE, extra=extra)
    found = rows(spans(early, late) + log)
    assert (found[iid(1)]["prompt"], found[iid(2, OTHER_TRACE)]["prompt"]) == (None, "Now?")
    assert response_ids(log) == {"r"}


def test_a_log_written_under_the_parent_belongs_to_the_call_that_was_running() -> None:
    said = logs({"event": "gen_ai.user.message", "span": 1, "at": 1_505, "body": {"content": "Why?"}})
    records = spans({"id": 1, "end": 9_000}, chat(2, parent=1, question=None, start=1_500, end=1_600))
    assert only(records + said)["prompt"] == "Why?"


# --- One call told twice -----------------------------------------------------------------------------


def test_a_wrapped_call_is_one_interaction_and_the_span_with_content_is_kept() -> None:
    extra = {"gen_ai.response.id": "r"}
    wrapper = chat(1, end=30, extra=extra)
    inner = chat(2, parent=1, start=5, end=20, question=None, answer=None, extra={**extra, "gen_ai.usage.cost": 0.5})
    found = rows(spans(wrapper, inner))
    assert found[iid(1)]["duplicate_of"] is None
    assert found[iid(2)]["duplicate_of"] == iid(1)
    assert found[iid(1)]["reported_cost_usd"] == 0.5


def test_of_two_equal_twins_the_inner_one_is_kept() -> None:
    assert counted(assemble(spans(chat(1, end=30), chat(2, parent=1, start=5)))) == [iid(2)]


def test_a_wrapper_of_several_calls_repeats_them() -> None:
    records = spans(chat(1, end=90), chat(2, parent=1, start=5), chat(3, parent=1, start=50))
    assert counted(assemble(records)) == [iid(2), iid(3)]


def test_parent_and_child_with_other_responses_are_two_calls() -> None:
    one = chat(1, end=90, extra={"gen_ai.response.id": "r1", "gen_ai.usage.output_tokens": 99})
    assert len(counted(assemble(spans(one, chat(2, parent=1, extra={"gen_ai.response.id": "r2"}))))) == 2


def test_two_instrumentations_in_two_traces_tell_of_one_call() -> None:
    extra = {"gen_ai.response.id": "r"}
    one = chat(1, extra=extra, scope="a")
    other = chat(2, question=None, start=1, end=9, extra=extra, scope="b", trace=OTHER_TRACE)
    assert counted(assemble(spans(one, other))) == [iid(1)]


def test_calls_one_after_another_with_a_reused_response_id_are_two_calls() -> None:
    extra = {"gen_ai.response.id": "r"}
    one, other = chat(1, extra=extra, scope="a"), chat(2, start=50, extra=extra, scope="b")
    assert len(counted(assemble(spans(one, other)))) == 2


def test_calls_of_a_model_with_one_response_id_for_all_are_told_apart() -> None:
    extra = {"gen_ai.response.id": "constant"}
    outer = [
        chat(n, question=f"Question {n}?", start=at, end=at + 30, extra=extra, scope="a", trace=f"{n:032x}")
        for n, at in ((n, n // 4 * 50) for n in range(1, 81))
    ]
    inner = [
        chat(
            n, question=f"Question {n - 100}?", answer=None, start=1, end=29, extra=extra, scope="b", trace=f"{n:032x}"
        )
        for n in range(101, 104)
    ]
    found = rows(spans(*outer, *inner))
    assert sum(row["duplicate_of"] is None for row in found.values()) == 80
    for n in range(101, 104):
        assert found[iid(n, f"{n:032x}")]["duplicate_of"] == iid(n - 100, f"{n - 100:032x}")


def test_a_moment_that_tells_of_a_streamed_answer_belongs_to_the_call_that_had_just_ended() -> None:
    streamed = {"gen_ai.request.stream": True, "gen_ai.response.id": "r"}
    calls = [
        chat(n, question=None, answer=None, start=at, end=at + 40, extra=streamed, scope="client")
        for n, at in ((1, 0), (2, 50))
    ]
    told = [chat(n + 2, question=f"Question {n}?", start=at, end=at, scope="app") for n, at in ((1, 43), (2, 93))]
    found = rows(spans(*calls, *told))
    assert counted(assemble(spans(*calls, *told))) == [iid(1), iid(2)]
    assert [found[iid(n)]["prompt"] for n in (1, 2)] == ["Question 1?", "Question 2?"]
    assert [found[iid(n)]["duration_ms"] for n in (1, 2)] == [40.0, 40.0]


def test_a_moment_of_another_usage_is_a_call_of_its_own() -> None:
    streamed = {"gen_ai.request.stream": True, "gen_ai.usage.output_tokens": 99}
    call = chat(1, question=None, answer=None, end=40, extra=streamed, scope="client")
    assert len(counted(assemble(spans(call, chat(2, start=43, end=43, scope="app"))))) == 2


def test_agents_and_chains_are_no_calls_whatever_usage_they_repeat() -> None:
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 20, "gen_ai.usage.output_tokens": 10}
    found = assemble(spans({"id": 1, "end": 90, "attributes": agent}, chat(2, parent=1), chat(3, parent=1, start=20)))
    assert sum(row["input_tokens"] for row in found.interactions) == 20


# --- Context -----------------------------------------------------------------------------------------


def test_documents_in_the_prompt_confirm_the_join() -> None:
    call = chat(3, parent=1, start=20, extra=system_and_user(f"Use this:\n{BERN}\n{PARIS}", "Where is Bern?"))
    found = assemble(spans({"id": 1, "end": 90}, retrieval(2, DOCUMENTS, parent=1, query="bern"), call))
    assert joined(found) == [(iid(3), "ch", 1.0), (iid(3), "fr", 1.0)]
    assert [row["rank"] for row in found.documents] == [1, 2]
    assert found.documents[0]["content_hash"] == content_hash(BERN)
    assert (found.documents[0]["query"], found.documents[0]["retrieval_span_id"]) == ("bern", span_id(2))


@pytest.mark.parametrize(
    ("documents", "parent", "confidence"),
    [([{"id": "x"}], 1, 0.7), ([{"id": "x"}], None, 0.5), ([{"id": "x", "content": PARIS}], 1, 0.3)],
)
def test_a_join_that_no_text_confirms_says_so(documents: list[Any], parent: int | None, confidence: float) -> None:
    found = assemble(spans({"id": 1, "end": 90}, retrieval(2, documents, parent=parent), chat(3, parent=1, start=20)))
    assert joined(found) == [(iid(3), "x", confidence)]


def test_a_retrieval_serves_no_call_that_began_before_it_ended() -> None:
    found = assemble(spans({"id": 1, "end": 90}, chat(2, parent=1), retrieval(3, DOCUMENTS, parent=1, start=5, end=50)))
    assert found.documents == []


def test_of_later_calls_the_one_with_the_deepest_common_ancestor_is_given_the_documents() -> None:
    records = spans(
        {"id": 1, "end": 900},
        {"id": 2, "parent": 1, "end": 900},
        retrieval(3, [{"id": "x"}], parent=2),
        chat(4, parent=1, start=20),
        chat(5, parent=2, start=40),
    )
    assert joined(assemble(records)) == [(iid(5), "x", 0.7)]


def test_the_call_that_holds_the_documents_is_preferred_to_the_one_before_it() -> None:
    records = spans(
        {"id": 1, "end": 900},
        retrieval(2, DOCUMENTS[:1], parent=1),
        chat(3, parent=1, start=20, question="Rewrite this question."),
        chat(4, parent=1, start=40, question=f"{BERN}\nWhere?"),
    )
    assert joined(assemble(records)) == [(iid(4), "ch", 1.0)]


def test_each_of_several_calls_is_given_the_document_that_it_holds() -> None:
    records = spans(
        {"id": 1, "end": 900},
        retrieval(2, DOCUMENTS, parent=1),
        chat(3, parent=1, start=20, question=BERN),
        chat(4, parent=1, start=20, question=PARIS),
    )
    assert joined(assemble(records)) == [(iid(3), "ch", 1.0), (iid(4), "fr", 1.0)]


def test_a_reranker_replaces_what_was_retrieved_and_keeps_its_content() -> None:
    reranked = retrieval(3, [{"id": "fr", "score": 0.99}], parent=1, operation="rerank", start=20)
    found = assemble(
        spans({"id": 1, "end": 90}, retrieval(2, DOCUMENTS, parent=1), reranked, chat(4, parent=1, start=40))
    )
    (row,) = found.documents
    assert (row["document_id"], row["content"], row["relevance"]) == ("fr", PARIS, 0.99)


def test_a_retriever_inside_a_retriever_is_not_counted_again() -> None:
    inner = retrieval(3, DOCUMENTS, parent=2, start=1, end=5)
    found = assemble(
        spans({"id": 1, "end": 90}, retrieval(2, DOCUMENTS[:1], parent=1), inner, chat(4, parent=1, start=40))
    )
    assert [row["document_id"] for row in found.documents] == ["ch"]


def test_a_retrieval_inside_a_tool_belongs_to_the_next_call_of_the_same_agent() -> None:
    agent = {"gen_ai.operation.name": "invoke_agent"}
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
    records = spans(
        {"id": 1, "end": 900, "attributes": agent},
        chat(2, parent=1, question="Where does the Swiss government sit?"),
        {"id": 3, "parent": 1, "start": 20, "end": 60, "attributes": tool},
        retrieval(4, [{"id": "x"}], parent=3, start=30, query="Swiss government"),
        {"id": 5, "end": 900, "attributes": agent},
        chat(6, parent=5, start=65),
        chat(7, parent=1, start=70, question="Where does the Swiss government sit?"),
    )
    found = assemble(records)
    assert joined(found) == [(iid(7), "x", 0.7)]
    prompts = {row["interaction_id"]: row["prompt"] for row in found.interactions}
    assert prompts[iid(7)] == "Where does the Swiss government sit?"


def test_documents_are_joined_although_the_parent_never_arrives() -> None:
    found = assemble(spans(retrieval(2, [{"id": "x"}], parent=99), chat(3, parent=99, start=20)))
    assert joined(found) == [(iid(3), "x", 0.7)]


def test_a_document_escaped_inside_json_or_wrapped_differently_is_recognised() -> None:
    content = 'She said "no"\nand left the room.'
    for text in (json.dumps({"result": content}), f"Context: {' '.join(content.split())}"):
        found = assemble(spans(retrieval(2, [{"id": "x", "content": content}]), chat(3, start=20, question=text)))
        assert joined(found) == [(iid(3), "x", 1.0)]


def test_the_age_of_a_document_is_read_from_its_metadata() -> None:
    document = {"id": "x", "metadata": {"last_modified": "2026-01-02T03:04:05Z"}}
    (row,) = assemble(spans(retrieval(2, [document]), chat(3, start=20))).documents
    assert row["updated_at"] == 1_767_323_045_000_000


# --- The question ------------------------------------------------------------------------------------


def test_the_question_is_the_query_that_the_message_holds() -> None:
    call = chat(3, start=20, question=f"Answer from:\n{BERN}\nQuestion: where is Bern? Be short.")
    row = only(spans(retrieval(2, DOCUMENTS[:1], query="where is Bern?"), call))
    assert row["prompt"] == "where is Bern?"


def test_the_question_is_else_a_variable_that_the_message_holds() -> None:
    extra = {"gen_ai.prompt.variable.question": "where is Bern?", "gen_ai.prompt.variable.tone": "short"}
    assert only(spans(chat(1, question="Be short. where is Bern?", extra=extra)))["prompt"] == "where is Bern?"


def test_a_variable_of_another_call_is_not_the_question() -> None:
    extra = {"gen_ai.prompt.variable.question": "something else entirely"}
    assert only(spans(chat(1, question="Where is Bern?", extra=extra)))["prompt"] == "Where is Bern?"


def test_the_question_is_else_the_message_without_the_documents() -> None:
    call = chat(3, start=20, question=f"{BERN}\n\n{PARIS}\n\nWhich one is in Switzerland?")
    assert only(spans(retrieval(2, DOCUMENTS, query="capitals"), call))["prompt"] == "Which one is in Switzerland?"


def test_a_question_asked_of_documents_in_the_system_prompt_is_the_message() -> None:
    call = chat(3, start=20, extra=system_and_user(f"Use: {BERN}", "And its capital?"))
    assert (
        only(spans(retrieval(2, DOCUMENTS[:1], query="capital of Switzerland"), call))["prompt"] == "And its capital?"
    )


def test_the_question_stays_the_same_while_tools_answer() -> None:
    messages = [
        {"role": "user", "content": "What is the rate?"},
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "rate", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "2 %"},
    ]
    assert only(spans(chat(1, extra={"gen_ai.input.messages": messages})))["prompt"] == "What is the rate?"


# --- Prompt versions ---------------------------------------------------------------------------------


def test_calls_of_one_template_share_a_prompt_hash_whatever_fills_it() -> None:
    texts = [f"Answer from the context.\n{BERN}\n", f"Answer from the context.\n{PARIS}\n"]
    hashes = []
    for text, document in zip(texts, DOCUMENTS, strict=True):
        records = spans(retrieval(2, [document]), chat(3, start=20, extra=system_and_user(text, "Where?")))
        hashes.append(only(records)["prompt_hash"])
    assert hashes[0] == hashes[1] == content_hash("Answer from the context.")


def test_a_template_filled_in_by_a_span_before_belongs_to_the_call() -> None:
    prompt = {
        "openinference.span.kind": "PROMPT",
        "llm.prompt_template.template": "Hi {x}",
        "llm.prompt_template.version": "3",
    }
    row = only(spans({"id": 1, "end": 90}, {"id": 2, "parent": 1, "attributes": prompt}, chat(3, parent=1, start=20)))
    assert (row["prompt_hash"], row["prompt_version"]) == (content_hash("Hi {x}"), "3")


# --- Turns -------------------------------------------------------------------------------------------


def users(*texts: str) -> dict[str, Any]:
    messages = []
    for text in texts:
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": "Yes."}]
    return {"gen_ai.input.messages": messages[:-1]}


def test_all_calls_of_an_agent_are_one_turn() -> None:
    records = spans({"id": 1, "end": 900}, chat(2, parent=1), chat(3, parent=1, start=20, question="Summarise."))
    assert {row["turn_id"] for row in assemble(records).interactions} == {TRACE}


def test_a_conversation_in_one_trace_has_a_turn_for_each_question() -> None:
    first, second = users("A?"), users("A?", "B?")
    records = spans({"id": 1, "end": 900}, chat(2, parent=1, extra=first), chat(3, parent=1, start=20, extra=second))
    assert [row["turn_id"] for row in assemble(records).interactions] == [TRACE, f"{TRACE}:1"]


def test_calls_of_one_turn_in_traces_of_their_own_are_tied_by_their_tool_call() -> None:
    call = {"id": "call-17", "type": "tool_call", "name": "rate", "arguments": {}}
    asked = {"role": "assistant", "parts": [call]}
    user = {"role": "user", "content": "What is the rate?"}
    one = chat(1, extra={"gen_ai.input.messages": [user], "gen_ai.output.messages": [asked]})
    answered = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call-17", "response": "2 %"}]}
    other = chat(2, start=50, trace=OTHER_TRACE, extra={"gen_ai.input.messages": [user, asked, answered]})
    assert len({row["turn_id"] for row in assemble(spans(one, other)).interactions}) == 1
    assert only(spans(one))["turn_id"] == only(spans(other))["turn_id"] != TRACE


# --- Tools -------------------------------------------------------------------------------------------


def tool(number: int, parent: int | None, call_id: str | None, **more: Any) -> dict[str, Any]:
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "rate",
        "gen_ai.tool.call.arguments": '{"a": 1}',
    }
    if call_id:
        attributes["gen_ai.tool.call.id"] = call_id
    return {"id": number, "parent": parent, "name": "tool", "attributes": attributes, **more}


def asking(number: int, call_id: str, **more: Any) -> dict[str, Any]:
    call = {"type": "tool_call", "id": call_id, "name": "rate", "arguments": {}}
    return chat(number, parent=1, extra={"gen_ai.output.messages": [{"role": "assistant", "parts": [call]}]}, **more)


def test_a_tool_run_belongs_to_the_call_that_asked_for_it() -> None:
    records = spans({"id": 1, "end": 900}, asking(2, "c1"), asking(3, "c2", start=20), tool(4, 1, "c1", start=50))
    (row,) = assemble(records).tool_runs
    assert (row["interaction_id"], row["name"], json.loads(row["arguments"])) == (iid(2), "rate", {"a": 1})


def test_a_tool_run_without_an_id_belongs_to_the_nearest_call_before_it() -> None:
    records = spans(
        {"id": 1, "end": 900},
        chat(2, parent=1),
        chat(3, parent=1, start=20),
        tool(4, 1, None, start=50, status="ERROR"),
    )
    (row,) = assemble(records).tool_runs
    assert (row["interaction_id"], row["error_type"]) == (iid(3), "_OTHER")


def test_a_tool_run_told_twice_is_one_row() -> None:
    assert len(assemble(spans(tool(1, None, "c1", end=50), tool(2, 1, "c1", start=5))).tool_runs) == 1
