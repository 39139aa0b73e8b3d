"""The analyzers, in the order in which they run: one file and one line each."""

from __future__ import annotations

from analysis.analyzer import Analyzer
from analysis.analyzers.alerts import Alerts
from analysis.analyzers.bias import Bias
from analysis.analyzers.consistency import Consistency
from analysis.analyzers.cost import Cost
from analysis.analyzers.drift import Drift
from analysis.analyzers.embed import Embed
from analysis.analyzers.flags import Flags
from analysis.analyzers.groundedness import GroundednessAnalyzer
from analysis.analyzers.judge import Judged
from analysis.analyzers.monitor import Monitors
from analysis.analyzers.prompts import Prompts
from analysis.analyzers.refusals import Refusals
from analysis.analyzers.retrieval import Retrieval
from analysis.analyzers.safety import Safety
from analysis.analyzers.topics import Topics
from analysis.analyzers.trends import Trends

ANALYZERS: tuple[Analyzer, ...] = (
    Embed(),
    Prompts(),
    Topics(),
    Drift(),
    Monitors(),
    GroundednessAnalyzer(),
    Retrieval(),
    Consistency(),
    Judged(),
    Refusals(),
    Safety(),
    Bias(),
    Cost(),
    Trends(),
    Alerts(),
    Flags(),
)
"""Everything that `undertow analyze` runs; a later one may require an earlier one."""
