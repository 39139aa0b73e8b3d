"""Emerging subjects: parts of the current window that the reference hardly knew, counted in sessions.

The pieces of both windows are joined in a tree of nested cells (`analysis.topics.nested`), so that a subject is tested
at its own size wherever it lies: a small one among outliers as well as a large one amid known topics. Nodes with more
current sessions than chance gives them (`analysis.topics.scan`) are subjects; a session counts once, because a
session of near-duplicates is one person asking once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analysis.topics.geometry import BoolArray, FloatArray, IntArray, mean_directions, unit_rows
from analysis.topics.nested import Nested, nest
from analysis.topics.pieces import Groups, Window, read_window
from analysis.topics.scan import LEAST_SESSIONS, Tested, leaders, test_nodes

LEAST_REFERENCE = 20
# In 20 streams without anything new ten looks each, at all that came so far, found .15 false subjects a stream.
LEVEL = 0.03
# A piece is left out of a subject where it is that much more like the reference's pieces inside the subject's node
# than like the current ones (difference of mean cosines): the known neighbour of a new subject.
KNOWN_MARGIN = 0.05


@dataclass(frozen=True)
class Emerging:
    """One subject that the current window has and the reference hardly had.

    Attributes
    ----------
    members
        Row indices into the current window, most central first.
    share
        Sessions of the current window that touch the subject, in [0, 1].
    lift
        Its part of what current sessions say, divided by its part in the reference (half a session added there, so
        it is finite).
    p_value
        Corrected for everything that was tested: how many subjects as strong chance alone finds, which bounds the
        probability that it finds any.
    """

    members: tuple[int, ...]
    share: float
    lift: float
    p_value: float


def find_emerging(
    reference: ArrayLike,
    current: ArrayLike,
    *,
    reference_groups: Groups | None = None,
    current_groups: Groups | None = None,
    rng: int | np.random.Generator = 0,
) -> list[Emerging]:
    """Find subjects of ``current`` that ``reference`` hardly had.

    Parameters
    ----------
    reference, current
        Embeddings (n, d) and (m, d).
    reference_groups, current_groups
        Session of every row; None makes every row its own session.
    rng
        Seed or generator of the cells' random start and of the deals of sessions.

    Returns
    -------
    list of Emerging
        By corrected p-value, at most 3 %, then by share. Empty when nothing emerges or when
        there are fewer than 20 rows of reference or four sessions of current traffic: too little to tell is no
        finding. A subject has at least four sessions, .3 % of all, and three times its part in the reference.

    Raises
    ------
    ValueError
        When the windows differ in their columns or the groups do not fit their rows.
    """
    generator = np.random.default_rng(rng)
    old = read_window(reference, reference_groups, "reference", generator)
    new = read_window(current, current_groups, "current", generator)
    if len(old.members) < LEAST_REFERENCE or new.sessions < LEAST_SESSIONS:
        return []
    if old.pieces.shape[1] != new.pieces.shape[1]:
        raise ValueError(f"reference has {old.pieces.shape[1]} columns, current has {new.pieces.shape[1]}")
    tree = nest(np.concatenate([old.pieces, new.pieces]), generator)
    tested = test_nodes(tree, old, new, generator)
    subjects = _Subjects(tree, tested, old, new, unit_rows(current))
    return sorted(subjects.found(), key=lambda subject: (subject.p_value, -subject.share))


@dataclass(frozen=True)
class _Part:
    """A node that stands for a subject: its current pieces, their mean and distance from it, its p-value."""

    node: int
    pieces: IntArray
    centre: FloatArray
    spread: float
    chance: float


@dataclass(frozen=True)
class _Subjects:
    tree: Nested
    tested: Tested
    old: Window
    new: Window
    rows: FloatArray

    def found(self) -> list[Emerging]:
        nodes = leaders(self.tree, self.tested.p_value)
        chances = self.tested.corrected(self.tested.p_value[nodes])
        accepted = chances <= LEVEL
        if not accepted.any():
            return []
        standing = self.tested.p_value <= self.tested.p_value[nodes[accepted]].max()
        parts = [
            part
            for node, chance in zip(nodes[accepted].tolist(), chances[accepted].tolist(), strict=True)
            for part in self._divided(node, chance, standing)
        ]
        return [self._subject(group) for group in _adjacent(parts)]

    def _divided(self, top: int, chance: float, standing: BoolArray) -> list[_Part]:
        """Return the subjects within a node: itself, or nodes below it that stand alone and lie apart."""
        below = (self.tree.start >= self.tree.start[top]) & (self.tree.end <= self.tree.end[top])
        parts: dict[int, list[_Part]] = {}
        for node in np.flatnonzero(below).tolist():
            join = node - self.tree.cells
            children = self.tree.children[join].tolist() if join >= 0 else []
            inside = [part for child in children for part in parts.pop(child, [])]
            if len(inside) > 1 and len(_adjacent(inside)) > 1:
                parts[node] = inside
            elif standing[node]:
                parts[node] = [self._part(node, chance)]
            elif inside:
                parts[node] = inside
        return parts[top]

    def _part(self, node: int, chance: float) -> _Part:
        place = self.tree.start[self.tree.cell]
        inside = (place >= self.tree.start[node]) & (place < self.tree.end[node])
        known, inside = np.split(inside, [len(self.old.pieces)])
        pieces = np.flatnonzero(inside)
        novel = pieces[_novel(self.new.pieces[pieces], self.old.pieces[known])]
        if len(np.unique(self.new.session[novel])) >= LEAST_SESSIONS:
            pieces = novel
        rows = self.new.pieces[pieces]
        centre = mean_directions(rows, np.zeros(len(rows), dtype=np.int64), 1)[0]
        return _Part(node, pieces, centre, float(np.mean(1.0 - rows @ centre)), chance)

    def _subject(self, parts: list[_Part]) -> Emerging:
        pieces = np.concatenate([part.pieces for part in parts])
        rows = np.flatnonzero(np.isin(self.new.members, pieces))
        centre = mean_directions(self.rows[rows], np.zeros(len(rows), dtype=np.int64), 1)[0]
        order = rows[np.argsort(1.0 - self.rows[rows] @ centre, kind="stable")]
        share = len(np.unique(self.new.session[pieces])) / self.new.sessions
        # Of several nodes of one subject the one with most sessions tells how much it grew.
        largest = max(parts, key=lambda part: self.tested.touched[part.node])
        lift = float(self.tested.lift[largest.node])
        return Emerging(tuple(order.tolist()), share, lift, min(part.chance for part in parts))


def _novel(rows: FloatArray, known: FloatArray) -> BoolArray:
    """Return which current rows (n,) of a node are as like the others (n - 1) as its reference rows (m, d)."""
    if len(rows) < 2 or not len(known):
        return np.ones(len(rows), dtype=bool)
    others = (rows @ rows.sum(axis=0) - 1.0) / (len(rows) - 1)
    return np.asarray(others - rows @ known.mean(axis=0) > -KNOWN_MARGIN)


def _adjacent(parts: list[_Part]) -> list[list[_Part]]:
    """Group parts whose centres lie no farther apart than their rows from them, directly or through others."""
    groups: list[list[_Part]] = []
    for part in parts:
        near = [any(_touch(part, other) for other in group) for group in groups]
        joined = [part, *(other for group, is_near in zip(groups, near, strict=True) if is_near for other in group)]
        groups = [group for group, is_near in zip(groups, near, strict=True) if not is_near]
        groups.append(joined)
    return groups


def _touch(a: _Part, b: _Part) -> bool:
    return float(1.0 - a.centre @ b.centre) <= (a.spread + b.spread) / 2.0
