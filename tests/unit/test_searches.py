"""Retrievals that nobody called retrievals: tools that return documents, vectors that were a text a moment ago."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collector.assemble import assemble
from collector.records import Assembled
from tests.telemetry_factory import chat, retrieval, span_id, spans

BERN = "Bern is where the government of Switzerland sits."
PARIS = "Paris is where the government of France sits."
ROOT = {"id": 1, "end": 900}


def tool(
    number: int, result: Any, *, name: str = "search_docs", arguments: Any = None, parent: int = 1, **more: Any
) -> dict[str, Any]:
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": name,
        "gen_ai.tool.call.arguments": json.dumps(arguments or {"query": "seat of government"}),
        "gen_ai.tool.call.result": result if isinstance(result, str) else json.dumps(result),
    }
    return {"id": number, "parent": parent, "name": "tool", "attributes": attributes, **more}


def answering(number: int, *texts: str, question: str = "Where does the government sit?") -> dict[str, Any]:
    """A call that was handed what a tool returned."""
    given = [
        {"role": "user", "parts": [{"type": "text", "content": question}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": json.dumps(texts)}]},
    ]
    return chat(number, parent=1, start=50, extra={"gen_ai.input.messages": json.dumps(given)})


def found(assembled: Assembled) -> list[tuple[str | None, str | None, float | None]]:
    return [(row["document_id"], row["content"], row["relevance"]) for row in assembled.documents]


@pytest.mark.parametrize(
    "result",
    [
        [{"id": "ch", "content": BERN, "score": 0.9}, {"id": "fr", "content": PARIS, "score": 0.8}],
        {"documents": [{"id": "ch", "text": BERN, "score": 0.9}, {"id": "fr", "text": PARIS, "score": 0.8}]},
        {
            "hits": [
                {"page_content": t, "metadata": {"id": i, "score": s}}
                for i, t, s in (("ch", BERN, 0.9), ("fr", PARIS, 0.8))
            ]
        },
        [
            json.dumps({"record": {"id": i, "content": t}, "score": s})
            for i, t, s in (("ch", BERN, 0.9), ("fr", PARIS, 0.8))
        ],
        "\n".join(
            json.dumps({"record": {"id": i, "content": t}, "score": s})
            for i, t, s in (("ch", BERN, 0.9), ("fr", PARIS, 0.8))
        ),
    ],
    ids=["list", "holder", "metadata", "records as text", "lines of JSON"],
)
def test_a_tool_that_returns_documents_is_a_retrieval_too(result: Any) -> None:
    assembled = assemble(spans(ROOT, tool(2, result), answering(3, BERN, PARIS)))
    assert found(assembled) == [("ch", BERN, 0.9), ("fr", PARIS, 0.8)]
    row = assembled.documents[0]
    assert (row["query"], row["retrieval_span_id"], row["join_confidence"]) == ("seat of government", span_id(2), 1.0)
    assert [run["name"] for run in assembled.tool_runs] == ["search_docs"]


def test_one_scored_record_is_a_document_and_one_object_is_not() -> None:
    record = {"record": {"id": "ch", "content": BERN}, "score": 0.9}
    for result, expected in ((record, [("ch", BERN, 0.9)]), (record["record"], [])):
        assert found(assemble(spans(ROOT, tool(2, result, name="kb"), answering(3, BERN)))) == expected


def test_bare_texts_are_documents_only_where_the_tool_is_called_a_search() -> None:
    for name, expected in (("kb-search", [(None, BERN, None)]), ("translate", [])):
        assert found(assemble(spans(ROOT, tool(2, [BERN], name=name), answering(3, BERN)))) == expected


@pytest.mark.parametrize(
    "result",
    [
        "It is 21 degrees.",
        {"temp_c": 21},
        [{"temp_c": 21}],
        [{"content": "no origin"}],
        ["short"],
        [],
        [None],
        [{"id": 1}],
    ],
    ids=str,
)
def test_what_other_tools_return_are_no_documents(result: Any) -> None:
    told = result if isinstance(result, str) else json.dumps(result)
    assert found(assemble(spans(ROOT, tool(2, result), answering(3, told)))) == []


def test_what_no_call_was_handed_is_no_document_of_any() -> None:
    documents = [{"id": "ch", "content": BERN}, {"id": "fr", "content": PARIS}]
    assert found(assemble(spans(ROOT, tool(2, documents), answering(3, PARIS)))) == [("fr", PARIS, None)]


def test_a_tool_around_a_traced_retrieval_tells_nothing_twice() -> None:
    documents = [{"id": "ch", "content": BERN}]
    inner = retrieval(4, documents, parent=2, start=1, end=5, query="bern")
    assembled = assemble(spans(ROOT, tool(2, documents), inner, answering(3, BERN)))
    assert [row["retrieval_span_id"] for row in assembled.documents] == [span_id(4)]


def test_a_tool_beside_a_retrieval_adds_only_what_is_new() -> None:
    documents = [{"id": "ch", "content": BERN}, {"id": "fr", "content": PARIS}]
    assembled = assemble(
        spans(ROOT, retrieval(4, documents[:1], parent=1), tool(2, documents), answering(3, BERN, PARIS))
    )
    assert [row["document_id"] for row in assembled.documents] == ["ch", "fr"]


def test_the_query_of_a_tool_is_the_models_and_not_the_question() -> None:
    asked = "Where does the government sit? Do tell."
    documents = [{"id": "ch", "content": BERN}]
    records = spans(ROOT, tool(2, documents, arguments={"query": "government"}), answering(3, BERN, question=asked))
    assert [row["prompt"] for row in assemble(records).interactions] == [asked]


def embedding(number: int, *texts: str, parent: int = 1, end: int = 5) -> dict[str, Any]:
    attributes = {
        "openinference.span.kind": "EMBEDDING",
        **{f"embedding.embeddings.{i}.embedding.text": text for i, text in enumerate(texts)},
    }
    return {"id": number, "parent": parent, "name": "embed", "end": end, "attributes": attributes}


def test_a_retriever_that_was_handed_a_vector_looked_for_the_text_that_was_embedded() -> None:
    documents = [{"id": "ch", "content": BERN}]
    assembled = assemble(
        spans(
            ROOT,
            embedding(5, "bern?"),
            retrieval(2, documents, parent=1, start=10, end=20, query=""),
            answering(3, BERN),
        )
    )
    assert [row["query"] for row in assembled.documents] == ["bern?"]


def test_texts_embedded_together_or_later_are_no_query() -> None:
    documents = [{"id": "ch", "content": BERN}]
    for embedded in (embedding(5, "one", "two"), embedding(5, "later", end=40)):
        records = spans(
            ROOT, embedded, retrieval(2, documents, parent=1, start=10, end=20, query=""), answering(3, BERN)
        )
        assert [row["query"] for row in assemble(records).documents] == [None]


def test_a_reranker_without_a_query_has_that_of_what_it_ranked() -> None:
    documents = [{"id": "ch", "content": BERN}, {"id": "fr", "content": PARIS}]
    reranked = retrieval(4, documents[::-1], parent=1, operation="rerank", start=20, end=30, query="")
    assembled = assemble(
        spans(ROOT, retrieval(2, documents, parent=1, query="bern"), reranked, answering(3, BERN, PARIS))
    )
    assert [(row["document_id"], row["query"]) for row in assembled.documents] == [("fr", "bern"), ("ch", "bern")]
