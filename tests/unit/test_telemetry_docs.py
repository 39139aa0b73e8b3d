"""The page on telemetry names what the dialects really read, and what the doors really answer."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from collector.dialects import DIALECTS
from collector.intake import CHANGE_KINDS, FEEDBACK_KINDS
from collector.redact_patterns import PATTERNS
from collector.refusal import FORBIDDEN, UNKNOWN_TOKEN, refusal_of
from undertow.errors import MalformedError, OverloadedError, TooLargeError

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "tests" / "testdata" / "dialects"
PAGE = (ROOT / "docs" / "telemetry.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## [^\n]*\(`(\w+)`\)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
MAPPED = [dialect.name for dialect in DIALECTS[:-1]]


def rows(section: str) -> list[tuple[str, list[str]]]:
    """Return attribute and columns of each row of the table of attributes."""
    table = re.search(r"^\| attribute \| column \|\n\|---\|---\|\n((?:\|.*\n)+)", section, re.MULTILINE)
    assert table is not None
    found = []
    for line in table.group(1).splitlines():
        attribute, columns = line.strip("|").split("|")
        found.append((attribute.strip().strip("`"), re.findall(r"`(\w+)`", columns)))
    return found


def read_attributes(name: str) -> set[str]:
    """Return every attribute that a dialect reads in one of its examples."""
    found: set[str] = set()
    for path in (EXAMPLES / name).glob("*.json"):
        example = json.loads(path.read_text("utf-8"))
        if "span" in example:
            found |= set(example["span"]["attributes"]) - set(example["expect"]["residue"])
    return found


def stands_for(pattern: str) -> re.Pattern[str]:
    """Return an expression for an attribute in which `N` is a number and `*` any name."""
    steps = (r"\d+" if step == "N" else r"[^.]+" if step == "*" else re.escape(step) for step in pattern.split("."))
    return re.compile(r"\.".join(steps))


def test_every_dialect_has_a_section_in_the_order_in_which_they_are_asked() -> None:
    assert list(SECTIONS) == [dialect.name for dialect in DIALECTS]


@pytest.mark.parametrize("name", MAPPED)
def test_an_attribute_that_a_section_names_is_read_by_the_dialect(name: str) -> None:
    read = read_attributes(name)
    missing = [pattern for pattern, _ in rows(SECTIONS[name]) if not any(map(stands_for(pattern).fullmatch, read))]
    assert missing == []


@pytest.mark.parametrize("name", MAPPED)
def test_a_column_that_a_section_names_exists(name: str) -> None:
    columns = set(re.findall(r"^\| `(\w+)` \| \w+ \|$", (ROOT / "docs" / "data-model.md").read_text(), re.MULTILINE))
    named = {column for _, columns_of in rows(SECTIONS[name]) for column in columns_of}
    assert named <= columns


@pytest.mark.parametrize("name", MAPPED)
def test_a_section_says_how_it_is_recognised_and_what_becomes_of_content(name: str) -> None:
    assert SECTIONS[name].lstrip().startswith("Recognised by ")
    assert (
        re.search(r"^Content is (on|off)|content is on then", SECTIONS[name], re.MULTILINE)
        or "Content is" in (SECTIONS[name])
    )


def test_the_page_names_every_status_that_a_door_refuses_with() -> None:
    errors = (MalformedError("x"), TooLargeError("x"), OverloadedError("x"))
    refusals = [UNKNOWN_TOKEN, FORBIDDEN, *map(refusal_of, errors)]
    table = PAGE.split("| status | gRPC | when |")[1].split("\n\n")[0]
    for refusal in refusals:
        assert f"| {refusal.http} |" in table


def test_the_page_names_every_kind_of_feedback_change_and_redaction() -> None:
    doors, redaction = PAGE.split("## The doors")[1].split("## Redaction")
    for kind in (*FEEDBACK_KINDS, *CHANGE_KINDS):
        assert f"`{kind}`" in doors
    for pattern in PATTERNS:
        assert f"| `{pattern.name}` |" in redaction
