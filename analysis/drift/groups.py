"""The exchangeable unit of every test: which messages belong together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from analysis.drift.arrays import Ints

DUPLICATE_WITHIN_S = 600
DUPLICATE_COSINE = 0.95
NEIGHBOURS_IN_TIME = 50

Texts: TypeAlias = Sequence[str | None] | npt.NDArray[Any]
_KINDS = ("session", "user and day", "trace", "message")


@dataclass(frozen=True, eq=False)
class Grouping:
    """Groups of messages and how they came about.

    Attributes
    ----------
    groups
        (n,) int64, 0..g-1.
    description
        In words, with counts; shown beside every verdict.
    share_without_session
        Share of messages that carry no session; above one half a verdict deserves a warning.
    n_groups
        Number of groups.
    """

    groups: Ints
    description: str
    share_without_session: float
    n_groups: int


def session_groups(  # noqa: PLR0913 - one column of the store each
    session_ids: Texts,
    user_ids: Texts | None = None,
    trace_ids: Texts | None = None,
    times: npt.ArrayLike | None = None,
    *,
    services: Texts | None = None,
    prompt_keys: Texts | None = None,
    vectors: npt.ArrayLike | None = None,
) -> Grouping:
    """Return the group of every message: its session, else user and day, else trace, else itself.

    Near-identical prompts of one service within ten minutes are joined with each other's groups: a
    retry storm or a burst of one question is one event, whatever its session ids say.

    Parameters
    ----------
    session_ids, user_ids, trace_ids
        (n,) identifiers; ``None`` or empty where unknown.
    times
        (n,) times, anything that numpy reads as ``datetime64``; without them neither user and day
        nor the joining applies.
    services
        (n,) names; messages of different services are never joined as near-identical.
    prompt_keys
        (n,) hash (or text) of the prompt; equal keys are identical prompts.
    vectors
        (n, d) vectors of the prompts; a cosine of at least 0.95 is near-identical. Each message is
        compared with the 50 before it.

    Returns
    -------
    Grouping

    Raises
    ------
    ValueError
        If the columns differ in length.
    """
    n = len(session_ids)
    columns = (session_ids, user_ids, trace_ids, times, services, prompt_keys, vectors)
    lengths = {len(np.asarray(column)) for column in columns if column is not None}
    if lengths - {n}:
        raise ValueError(f"columns must all have {n} rows, got lengths {sorted(lengths)}")
    when = None if times is None else np.asarray(times, dtype="datetime64[us]")
    base, kind = _base_groups(n, session_ids, user_ids, trace_ids, when)
    groups = base
    if when is not None and n:
        service = _codes(services, n)
        edges = [_same_key(prompt_keys, service, when), _near_vectors(vectors, service, when)]
        groups = _joined(base, np.concatenate(edges, axis=1))
    return _described(base, groups, kind)


def _base_groups(
    n: int, session_ids: Texts, user_ids: Texts | None, trace_ids: Texts | None, when: npt.NDArray[Any] | None
) -> tuple[Ints, Ints]:
    """Return the group of each message before joining, and which of ``_KINDS`` it came from."""
    session, user, trace = (_codes(ids, n) for ids in (session_ids, user_ids, trace_ids))
    day = np.full(n, -1) if when is None else _day(when)
    kind = np.select([session >= 0, (user >= 0) & (day >= 0), trace >= 0], [0, 1, 2], 3)
    first = np.choose(kind, [session, user, trace, np.arange(n)])
    second = np.where(kind == 1, day, 0)
    named = np.column_stack([kind, first, second]).astype(np.int64)
    return np.unique(named, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64), kind


def _day(when: npt.NDArray[Any]) -> Ints:
    """Return day numbers; an unknown time gets -1."""
    days = when.astype("datetime64[D]").astype(np.int64) + 1_000_000
    return np.where(np.isnat(when), -1, days)


def _codes(values: Texts | None, n: int) -> Ints:
    """Return integer codes, -1 for ``None``, NaN and the empty string."""
    if values is None:
        return np.full(n, -1, dtype=np.int64)
    texts = np.array(["" if _unknown(value) else str(value) for value in values], dtype=str)
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    codes = np.unique(texts, return_inverse=True)[1].astype(np.int64)
    return np.where(texts == "", -1, codes)


def _unknown(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _same_key(prompt_keys: Texts | None, service: Ints, when: npt.NDArray[Any]) -> Ints:
    """Return pairs (2, m) of neighbours in time with equal keys, one service, within ten minutes."""
    if prompt_keys is None:
        return np.empty((2, 0), dtype=np.int64)
    key = _codes(prompt_keys, len(service))
    order = np.lexsort((when, service, key))
    left, right = order[:-1], order[1:]
    joined = (key[left] == key[right]) & (key[left] >= 0) & (service[left] == service[right])
    joined &= _close(when[left], when[right])
    return np.stack([left[joined], right[joined]])


def _near_vectors(vectors: npt.ArrayLike | None, service: Ints, when: npt.NDArray[Any]) -> Ints:
    """Return pairs (2, m) of near-identical prompts among neighbours in time of one service."""
    if vectors is None:
        return np.empty((2, 0), dtype=np.int64)
    rows = np.asarray(vectors, dtype=np.float32)
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    order = np.lexsort((when, service))
    sorted_unit, sorted_service, sorted_when = unit[order], service[order], when[order]
    found = []
    for lag in range(1, min(NEIGHBOURS_IN_TIME, len(order) - 1) + 1):
        candidates = np.flatnonzero(
            (sorted_service[:-lag] == sorted_service[lag:]) & _close(sorted_when[:-lag], sorted_when[lag:])
        )
        if len(candidates) == 0:
            break
        cosine = np.einsum("ij,ij->i", sorted_unit[candidates], sorted_unit[candidates + lag])
        near = candidates[cosine >= DUPLICATE_COSINE]
        found.append(np.stack([order[near], order[near + lag]]))
    return np.concatenate(found, axis=1) if found else np.empty((2, 0), dtype=np.int64)


def _close(earlier: npt.NDArray[Any], later: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return whether two times are at most ten minutes apart; an unknown time is never close."""
    return np.asarray(np.abs(later - earlier) <= np.timedelta64(DUPLICATE_WITHIN_S, "s"))


def _joined(base: Ints, edges: Ints) -> Ints:
    """Return the connected components of groups that share an edge between messages."""
    g = int(base.max()) + 1
    links = base[edges]
    graph = sparse.coo_matrix((np.ones(links.shape[1]), (links[0], links[1])), shape=(g, g))
    component: Ints = connected_components(graph, directed=False)[1].astype(np.int64)
    return component[base]


def _described(base: Ints, groups: Ints, kind: Ints) -> Grouping:
    n, n_groups = len(base), len(np.unique(groups))
    n_joined = len(np.unique(base)) - n_groups
    counts = [(int((kind == k).sum()), name) for k, name in enumerate(_KINDS)]
    words = ", ".join(f"{count:,} by {name}" for count, name in counts if count) or "no messages"
    if n_joined:
        words += f"; {n_joined:,} groups joined as near-identical within ten minutes"
    without = float((kind != 0).mean()) if n else 0.0
    return Grouping(groups, words, without, n_groups)
