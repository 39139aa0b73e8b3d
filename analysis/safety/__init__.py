"""Safety: what should not be asked of a model, said by it, or done by its tools.

One new detector is one file and one line in `DETECTORS`; `tests/conformance/test_detectors.py` runs over all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from analysis.safety.base import Detector, Finding, Given
from analysis.safety.document_injection import DocumentInjection
from analysis.safety.leakage import SystemPromptLeakage
from analysis.safety.offensive import OffensiveLanguage
from analysis.safety.personal_data import PersonalData
from analysis.safety.policies import Policies
from analysis.safety.prompt_injection import PromptInjection
from analysis.safety.tool_calls import UnsafeToolCall
from undertow.embedding import Embedder

__all__ = ["DETECTORS", "Detector", "Finding", "Given", "Options", "load_detectors"]


@dataclass(frozen=True)
class Options:
    """What a user may set.

    Attributes
    ----------
    tools
        Allow-list: tool name to the expression that its arguments must match.
    policies
        Policy name to sentences that it forbids.
    embedder
        Loaded already; else each detector loads what it needs at the first text that needs it.
    """

    tools: Mapping[str, str] = field(default_factory=dict)
    policies: Mapping[str, Sequence[str]] = field(default_factory=dict)
    embedder: Embedder | None = None


DETECTORS: tuple[Callable[[Options], Detector], ...] = (
    lambda options: PersonalData(),
    lambda options: OffensiveLanguage(),
    lambda options: PromptInjection(options.embedder),
    lambda options: DocumentInjection(),
    lambda options: SystemPromptLeakage(),
    lambda options: UnsafeToolCall(options.tools),
    lambda options: Policies(options.policies, options.embedder),
)


def load_detectors(options: Options | None = None) -> Mapping[str, Detector]:
    """Return every detector by its name."""
    made = [maker(options or Options()) for maker in DETECTORS]
    return MappingProxyType({detector.name: detector for detector in made})
