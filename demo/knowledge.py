"""The knowledge bases of the demo's two assistants: short passages of a made-up bank."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

CUSTOMER = "customer-assistant"
STAFF = "staff-handbook"
OLD_EDITION = "1.1"

_BASE_OF = {CUSTOMER: "customer", STAFF: "staff"}


@dataclass(frozen=True)
class Passage:
    """One passage of a knowledge base.

    Attributes
    ----------
    updated_at : naive UTC; language : ISO 639-1.
    keywords : other words that people use for it; they help to find the passage and are not shown.
    """

    id: str
    title: str
    text: str
    updated_at: datetime
    version: str
    language: str = "en"
    keywords: str = ""


@dataclass(frozen=True)
class KnowledgeBases:
    """Passages by service, as they are before and after each scripted change.

    Attributes
    ----------
    usual : what each service answers from.
    with_article : the customers' base after an article about the new topic was added.
    with_old_edition : the staff handbook after an index swap brought an edition of 2019 back.
    """

    usual: dict[str, tuple[Passage, ...]]
    with_article: tuple[Passage, ...]
    with_old_edition: tuple[Passage, ...]


def load_knowledge(end: datetime) -> KnowledgeBases:
    """Read the passages; their dates count back from `end`, so that their age does not depend on the day of the run."""
    usual = {service: tuple(_passage(row, end) for row in _rows(base)) for service, base in _BASE_OF.items()}
    later = _rows("later")
    articles = tuple(_passage(row, end - timedelta(days=1)) for row in later if row["base"] == "customer")
    old = {row["id"]: _passage(row, end) for row in later if row["base"] == "staff"}
    swapped = tuple(replace(old[p.id], keywords=p.keywords) if p.id in old else p for p in usual[STAFF])
    return KnowledgeBases(usual, (*usual[CUSTOMER], *articles), swapped)


def _rows(name: str) -> list[dict[str, Any]]:
    text = (Path(__file__).parent / "knowledge" / f"{name}.toml").read_text("utf-8")
    rows: list[dict[str, Any]] = tomllib.loads(text)["passage"]
    return rows


def _passage(row: dict[str, Any], end: datetime) -> Passage:
    written = end - timedelta(days=row["age_days"])
    return Passage(
        row["id"],
        row["title"],
        row["text"],
        written,
        row["version"],
        row.get("language", "en"),
        row.get("keywords", ""),
    )
