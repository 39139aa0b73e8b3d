"""Drift: whether, where and why two windows of vectors differ. Arrays in, results out."""

from __future__ import annotations

from analysis.drift.adjust import benjamini_hochberg
from analysis.drift.behaviour import compare_behaviour
from analysis.drift.comparison import compare
from analysis.drift.groups import Grouping, session_groups
from analysis.drift.past import compare_to_past
from analysis.drift.result import Contribution, DriftResult, Part
from analysis.drift.statistics import STATISTICS

__all__ = [
    "STATISTICS",
    "Contribution",
    "DriftResult",
    "Grouping",
    "Part",
    "benjamini_hochberg",
    "compare",
    "compare_behaviour",
    "compare_to_past",
    "session_groups",
]
