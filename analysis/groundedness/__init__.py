"""Groundedness: which claims of a response its documents do not support, and how likely that is.

One new scorer is one file and one line in `SCORERS`; `tests/conformance/test_scorers.py` runs over all of them.
"""

from __future__ import annotations

from collections.abc import Callable

from analysis.groundedness.base import Claim, Evidence, Groundedness, Scorer
from analysis.groundedness.lexical import LexicalScorer

__all__ = ["SCORERS", "Claim", "Evidence", "Groundedness", "LexicalScorer", "Scorer", "load_scorer"]

SCORERS: tuple[tuple[str, Callable[[float | None], Scorer]], ...] = (("lexical", LexicalScorer),)


def load_scorer(name: str | None = None, prior: float | None = None) -> Scorer:
    """Return a scorer by name.

    Parameters
    ----------
    name
        One of `SCORERS`; None takes the first.
    prior
        Share of ungrounded responses to assume, in (0, 1); None takes the scorer's default.

    Raises
    ------
    ValueError
        The name is unknown or the prior out of range.
    """
    makers = dict(SCORERS)
    chosen = SCORERS[0][0] if name is None else name
    if chosen not in makers:
        raise ValueError(f"unknown groundedness scorer {chosen!r}: expected one of {', '.join(makers)}")
    return makers[chosen](prior)
