"""A language model as judge: whatever it reads is fenced as data, whatever it says is checked, counted and cached."""

from __future__ import annotations

from analysis.judge.client import Judge, NotJudged, Question

__all__ = ["Judge", "NotJudged", "Question"]
