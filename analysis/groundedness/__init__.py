"""Groundedness: which claims of a response its documents do not support, and how likely that is.

One new scorer is one file and one line in `SCORERS`; `tests/conformance/test_scorers.py` runs over all of them.
"""

from __future__ import annotations

from collections.abc import Callable

from analysis.groundedness.base import Claim, Evidence, Groundedness, Scorer
from analysis.groundedness.encoder import EncoderScorer
from analysis.groundedness.judge import JudgeScorer
from analysis.groundedness.lexical import LexicalScorer
from analysis.groundedness.nli import NliScorer

__all__ = [
    "SCORERS",
    "Claim",
    "EncoderScorer",
    "Evidence",
    "Groundedness",
    "JudgeScorer",
    "LexicalScorer",
    "NliScorer",
    "Scorer",
    "load_scorer",
]

SCORERS: tuple[tuple[str, Callable[..., Scorer]], ...] = (
    ("lexical", LexicalScorer),
    ("encoder", EncoderScorer),
    ("nli", NliScorer),
    ("judge", JudgeScorer),
)
"""Name and maker of every scorer; a maker takes the prior, and those of `WITH_MODEL` a model."""

WITH_MODEL = frozenset({"nli"})


def load_scorer(name: str | None = None, prior: float | None = None) -> Scorer:
    """Return a scorer by name.

    Parameters
    ----------
    name
        One of `SCORERS`; what stands after a colon is its model, as in ``nli:/path/to/cross-encoder``. None takes
        the configured one (``groundedness.scorer``).
    prior
        Share of ungrounded responses to assume, in (0, 1); None takes the scorer's default.

    Raises
    ------
    ConfigError
        The scorer is `judge` and no address is configured, or the configuration cannot be read.
    ModelMissingError
        The scorer needs a model that is absent.
    ValueError
        The name is unknown or the prior out of range.
    """
    makers = dict(SCORERS)
    chosen, _, model = (name or _configured()).partition(":")
    if chosen not in makers:
        raise ValueError(f"unknown groundedness scorer {chosen!r}: expected one of {', '.join(makers)}")
    if model and chosen not in WITH_MODEL:
        raise ValueError(f"the groundedness scorer {chosen!r} takes no model, got {model!r}")
    return makers[chosen](prior, model) if model else makers[chosen](prior)


def _configured() -> str:
    from undertow.config import load_settings

    return load_settings().settings.groundedness.scorer
