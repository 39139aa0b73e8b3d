"""What a comparison of two windows returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["stable", "drifted", "insufficient"]
ContributionKind = Literal["share", "within"]

MINIMUM_EFFECT = 0.002


@dataclass(frozen=True)
class Part:
    """One statistic of a comparison.

    ``value`` is in the unit of the statistic (larger is more drift), ``p_value`` is its own
    permutation p-value before the statistics are joined, ``effect`` is in shares of the traffic.
    """

    value: float
    p_value: float
    effect: float


@dataclass(frozen=True)
class Contribution:
    """What one topic (or cell) adds to a drift.

    ``contribution`` is a share of all that changed (they sum to at most 1). Kind ``share``: the topic
    became more or less frequent; kind ``within``: it is as frequent but its messages moved.
    ``exemplars`` are row indices into the current window, most telling first.
    """

    topic_id: int
    share_reference: float
    share_current: float
    contribution: float
    kind: ContributionKind
    exemplars: tuple[int, ...] = ()


@dataclass(frozen=True)
class DriftResult:
    """The verdict on two windows, with everything that is needed to doubt it.

    ``statistic`` names the family that speaks loudest and ``value``, ``effect`` are its own;
    ``p_value`` is that of all families joined. ``effect`` is in shares of the traffic (0.02: about
    2 % of the messages). No smaller p-value than ``p_floor`` was attainable. With too little data the
    verdict is ``insufficient``, the numbers are NaN and ``needed`` says what would be enough.
    ``effect_interval`` is a 95 % bootstrap interval of the effect over groups; what stood out was chosen
    before, so that a small effect tends to be shown too large. ``matched_within`` is set for behaviour only. ``method``
    says where the p-value comes from; ``note`` is what else was found, as a clause of a sentence.
    """

    statistic: str
    value: float
    effect: float
    p_value: float
    verdict: Verdict
    n_reference: int
    n_current: int
    parts: Mapping[str, Part] = field(default_factory=dict)
    contributions: tuple[Contribution, ...] = ()
    exemplars: tuple[int, ...] = ()
    style: bool = False
    p_floor: float = 1.0
    n_groups_reference: int = 0
    n_groups_current: int = 0
    needed: str = ""
    effect_interval: tuple[float, float] = (float("nan"), float("nan"))
    matched_within: float | None = None
    method: str = "session permutation"
    note: str = ""


def as_share(effect: float) -> float:
    """Return an estimated effect as a share of the traffic; an estimate from small windows may lie outside [0, 1]."""
    return float(min(1.0, max(0.0, effect)))


def insufficient(needed: str, *, rows: tuple[int, int], groups: tuple[int, int], p_floor: float = 1.0) -> DriftResult:
    """Return the result that says: not enough data, and how much would be enough.

    ``rows`` and ``groups`` are those of (reference, current).
    """
    nan = float("nan")
    return DriftResult(
        statistic="none",
        value=nan,
        effect=nan,
        p_value=nan,
        verdict="insufficient",
        n_reference=rows[0],
        n_current=rows[1],
        p_floor=p_floor,
        n_groups_reference=groups[0],
        n_groups_current=groups[1],
        needed=needed,
    )
