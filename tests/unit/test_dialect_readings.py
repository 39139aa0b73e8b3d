"""Each dialect reads its examples as the files beside this folder say."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from collector.dialects import DIALECTS
from tests.telemetry_factory import example_span, raw_log

EXAMPLES = Path(__file__).parents[1] / "testdata" / "dialects"
FILES = sorted(EXAMPLES.glob("*/*.json"))


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_an_example_is_read_as_expected(path: Path) -> None:
    example = json.loads(path.read_text())
    expect = example["expect"]
    dialect = next(member for member in DIALECTS if member.name == path.parent.name)
    if "log" in example:
        log = example["log"]
        event_name = log["event"] or log["attributes"]["event.name"]
        reading = dialect.read_log(raw_log(log["event"], log["attributes"], log.get("body")), event_name)
        assert reading is not None
    else:
        span = example_span(example["span"])
        before = copy.deepcopy(span)
        assert next(member for member in DIALECTS if member.claims(span)) is dialect
        reading = dialect.read_span(span)
        assert span == before
        assert [key for key in span.attributes if key not in reading.used] == expect["residue"]
        if "failure" in expect:
            assert reading.failure == expect["failure"]
    assert reading.operation == expect["operation"]
    assert reading.facts == expect["facts"]


def test_every_dialect_has_examples() -> None:
    assert {path.parent.name for path in FILES} == {dialect.name for dialect in DIALECTS}
