"""Documents that somebody should not have been given: a document's label against the user's."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from analysis.safety.base import CLEAR, NOT_EVALUATED, Finding

NAME, VERSION, THRESHOLD = "context_access", "1", 0.5


def labels_of(metadata: str | None, key: str) -> frozenset[str]:
    """Return the labels of a document: the value of `key` in its metadata (JSON), a text or a list of texts."""
    try:
        body: Any = json.loads(metadata or "{}")
    except ValueError:
        return frozenset()
    return texts_of(body.get(key)) if isinstance(body, dict) else frozenset()


def texts_of(value: Any) -> frozenset[str]:
    """Return a text, or a list of texts, or JSON of either, as a set."""
    if isinstance(value, str) and value[:1] in '["':
        try:
            value = json.loads(value)
        except ValueError:
            return frozenset({value})
    items = value if isinstance(value, list) else [value]
    return frozenset(str(item) for item in items if item not in (None, ""))


def check(documents: Sequence[Collection[str]], allowed: Collection[str] | None) -> Finding:
    """Judge one interaction.

    Parameters
    ----------
    documents
        Labels of each document given to it; a document without a label is open to everybody.
    allowed
        Labels of the user; None where nothing is known about the user.

    Returns
    -------
    Finding
        The value is the share of the labelled documents that the user may not see; any at all is a violation, so the
        threshold is the smallest share above none. `not_evaluated` where documents are labelled and the user unknown.
    """
    labelled = [labels for labels in documents if labels]
    smallest = 1 / len(labelled) if labelled else THRESHOLD
    if not labelled:
        return Finding(0.0, CLEAR, (), THRESHOLD)
    if allowed is None:
        reason = "Documents carry access labels, but nothing is known about the user."
        return Finding(0.0, NOT_EVALUATED, (), smallest, reason)
    forbidden = sum(not set(labels) & set(allowed) for labels in labelled)
    return Finding(forbidden / len(labelled), "forbidden document" if forbidden else CLEAR, (), smallest)


def may_see(
    user: str | None, users: Mapping[str, Sequence[str]], attribute: Any, default: Sequence[str]
) -> frozenset[str] | None:
    """Return the labels of a user: of the settings, of a span attribute, and those that everybody has."""
    found = set(users.get(user or "", ())) | texts_of(attribute)
    known = bool(found) or bool(default) or (user or "") in users
    return frozenset(found | set(default)) if known else None
