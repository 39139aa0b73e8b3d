"""Drift: whether, where and why two windows of vectors differ. Arrays in, results out."""

from __future__ import annotations

from analysis.drift.adjust import benjamini_hochberg, hierarchical_fdr
from analysis.drift.behaviour import compare_behaviour
from analysis.drift.calendar_windows import ComparableWindows, comparable_windows
from analysis.drift.codebook import Codebook, Codes, compare_codes
from analysis.drift.comparison import compare
from analysis.drift.context import ContextResult, compare_context
from analysis.drift.groups import Grouping, session_groups
from analysis.drift.monitor import DriftMonitor, MonitorState
from analysis.drift.past import compare_to_past, held_against, judge_by_past
from analysis.drift.result import Contribution, DriftResult, Part
from analysis.drift.shares import ShareChange, ShareResult, compare_shares
from analysis.drift.statistics import STATISTICS

__all__ = [
    "STATISTICS",
    "Codebook",
    "Codes",
    "ComparableWindows",
    "ContextResult",
    "Contribution",
    "DriftMonitor",
    "DriftResult",
    "Grouping",
    "MonitorState",
    "Part",
    "ShareChange",
    "ShareResult",
    "benjamini_hochberg",
    "comparable_windows",
    "compare",
    "compare_behaviour",
    "compare_codes",
    "compare_context",
    "compare_shares",
    "compare_to_past",
    "held_against",
    "hierarchical_fdr",
    "judge_by_past",
    "session_groups",
]
