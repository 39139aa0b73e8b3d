"""The same records give the same rows, however they are cut into requests and in whatever order those come."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from collector.assemble import assemble
from collector.packs import as_payload
from collector.records import Record
from tests.integration.test_large_traces import WAIT_S, Line
from tests.telemetry_factory import chat, logs, retrieval, spans

PAIRS = 70
"""More than the number of records that one response id may tie together at once."""

COLUMNS = {
    "interactions": (
        "interaction_id, duplicate_of, turn_id, prompt, response, response_id, finish_reason, input_tokens, ttft_ms"
    ),
    "documents": "document_row_id, interaction_id, document_id, content, join_confidence",
    "tool_runs": "trace_id, span_id, interaction_id, name, arguments",
}


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with ExitStack() as stack:
        yield Line(tmp_path, stack)


def traffic() -> list[Record]:
    """Calls that two instrumentations saw in two traces under one constant id, and one agent with all the rest."""
    same = {"gen_ai.response.id": "constant"}
    seen_twice = []
    for at, first in ((30 * number, 100 + 2 * number) for number in range(PAIRS)):
        seen_twice.append(chat(first, question=f"{at}?", start=at, extra=same, scope="chain", trace=f"{first:032x}"))
        inner = chat(first + 1, question=None, start=at + 1, end=at + 9, extra=same, scope="client")
        seen_twice.append({**inner, "trace": f"{first + 1:032x}"})
    call = [
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "t1", "name": "tide", "arguments": {"day": 1}}]}
    ]
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "tide", "gen_ai.tool.call.id": "t1"}
    given, asked = "Given: The tide turns at noon. When?", {"gen_ai.output.messages": call}
    agent = [
        {"id": 1, "name": "step", "start": 0, "end": 90, "attributes": {"session.id": "s"}},
        retrieval(2, [{"id": "d", "content": "The tide turns at noon."}], parent=1, start=1, end=5),
        chat(3, parent=1, question=given, answer=None, start=10, end=20, extra=asked),
        {"id": 4, "name": "tide", "parent": 1, "start": 30, "end": 40, "attributes": tool},
        chat(5, parent=1, question=None, answer=None, start=50, end=60),
    ]
    told = [
        {"event": "gen_ai.user.message", "span": 5, "at": 50, "body": {"content": "And tomorrow?"}},
        {"event": "gen_ai.choice", "span": 5, "at": 60, "body": {"message": {"content": "An hour later."}}},
    ]
    return [*spans(*seen_twice), *spans(*agent), *logs(*told)]


def batches(records: Sequence[Record], how: str) -> list[list[Record]]:
    """Cut records into requests: the last ones one by one before the others, or at random and a few of them twice."""
    if how == "reversed":
        return [[record] for record in reversed(records[-20:])] + [list(records[:-20])]
    chance = random.Random(how)
    left = [*records, *chance.sample(list(records), len(records) // 4)]
    chance.shuffle(left)
    cut = []
    while left:
        size = chance.randint(1, 12)
        cut.append(left[:size])
        left = left[size:]
    return cut


@pytest.mark.parametrize("how", ["reversed", "shuffled", "shuffled again"])
def test_rows_do_not_depend_on_how_records_are_cut_into_requests(line: Line, how: str) -> None:
    records = traffic()
    for batch in batches(records, how):
        line.journal.append(as_payload(batch), len(batch)).result(WAIT_S)
        line.loader.flushed().result(WAIT_S)
    whole = assemble(records)
    assert sum(row["duplicate_of"] is not None for row in whole.interactions) == PAIRS
    for table, columns in COLUMNS.items():
        names = columns.split(", ")
        expected = [{name: row.get(name) for name in names} for row in getattr(whole, table)]
        stored = line.rows(f"SELECT {columns} FROM {table}")
        assert sorted(stored, key=str) == sorted(expected, key=str)
