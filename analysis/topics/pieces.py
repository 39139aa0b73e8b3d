"""Windows of messages in sessions; what a session says nearly twice is one piece: one person asking once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analysis.drift.arrays import Groups, as_groups
from analysis.topics.geometry import FloatArray, IntArray, mean_directions, unit_rows

# Cosine from which two messages of one session are one piece.
ALIKE = 0.9
# A longer session is heard by so many of its messages, drawn at random: no session can outweigh the others.
LONGEST = 60


@dataclass(frozen=True)
class Window:
    """One window as pieces of sessions.

    Attributes
    ----------
    pieces
        Unit rows (p, d), each the mean of near-identical messages of one session.
    session
        Session of every piece (p,), 0…sessions-1.
    sessions
        How many sessions there are.
    members
        Piece of every message (n,), -1 where the session was too long to hear it.
    """

    pieces: FloatArray
    session: IntArray
    sessions: int
    members: IntArray


def read_window(X: ArrayLike, groups: Groups, name: str, rng: np.random.Generator) -> Window:
    """Return the pieces of a window.

    Parameters
    ----------
    X
        Embeddings (n, d).
    groups
        Session of every row; None makes every row its own session, as it does a row whose session is missing.
    name
        What messages call the window.
    rng
        Draws the messages of very long sessions.

    Raises
    ------
    ValueError
        When ``groups`` does not fit ``X``, or ``X`` is not (n, d) or not finite.
    """
    rows = unit_rows(X)
    if groups is None:
        each = np.arange(len(rows), dtype=np.int64)
        return Window(rows, each, len(rows), each)
    # Numbered as they come: what a caller calls its sessions must not decide how they are divided at random.
    session = as_groups(groups, len(rows), name)
    return _collapsed(rows, session, int(session.max(initial=-1)) + 1, rng)


def _collapsed(rows: FloatArray, session: IntArray, sessions: int, rng: np.random.Generator) -> Window:
    order = np.argsort(session, kind="stable")
    bounds = np.searchsorted(session[order], np.arange(sessions + 1))
    members = np.full(len(rows), -1, dtype=np.int64)
    owners: list[int] = []
    for number in range(sessions):
        mine = order[bounds[number] : bounds[number + 1]]
        if len(mine) > LONGEST:
            mine = np.sort(rng.choice(mine, LONGEST, replace=False))
        piece = _alike(rows[mine]) if len(mine) > 1 else np.zeros(1, dtype=np.int64)
        members[mine] = len(owners) + piece
        owners.extend([number] * (int(piece.max()) + 1))
    heard = members >= 0
    pieces = mean_directions(rows[heard], members[heard], len(owners))
    return Window(pieces, np.array(owners, dtype=np.int64), sessions, members)


def _alike(rows: FloatArray) -> IntArray:
    """Number rows (n,) by the first earlier row that they repeat."""
    near = rows @ rows.T >= ALIKE
    piece = np.full(len(rows), -1, dtype=np.int64)
    number = 0
    for row in range(len(rows)):
        if piece[row] < 0:
            piece[near[row] & (piece < 0)] = number
            piece[row] = number
            number += 1
    return piece
