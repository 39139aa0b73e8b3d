"""A verdict in one plain sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta

from analysis.drift.result import MINIMUM_EFFECT, Contribution, DriftResult

LONGEST_NAME = 80
BEYOND = 1.5
_MOMENT = "%a %d %b %H:%M"
_FIELDS = {
    "prompt": "prompts",
    "context": "retrieved documents",
    "response": "responses",
    "behaviour": "answers to the same questions",
}
_CHANGES = {
    "prompt": "prompt {name} {after} went live",
    "model": "the model became {after}",
    "knowledge_base": "knowledge base {name} changed",
    "embedding_model": "the embedding model became {after}",
    "deployment": "{name} {after} was deployed",
}


@dataclass(frozen=True)
class Change:
    """A recorded change of an artifact: when, of which kind, its name, what it became, whose it is if one's alone."""

    at: datetime
    kind: str
    name: str
    after: str = ""
    service: str = ""


@dataclass(frozen=True)
class Scene:
    """What a result does not know about itself.

    Attributes
    ----------
    subject
        ``prompt``, ``context``, ``response`` or ``behaviour``.
    current_start, current_end
        The current window, in the time zone to be printed.
    changes
        The changes of this service from shortly before the onset on, the nearest first.
    looked_back
        How far back changes were looked for; ``None``: they were not.
    topic_labels
        Label of each topic id.
    unit
        What the groups are called.
    service
        Whose traffic this is; empty where there is only one.
    onset, onset_low, onset_high
        Since when, with its interval, in the same time zone; ``None`` where no moment stands out.
    other_fields
        Verdict on the other fields of the same service and window.
    lead
        What stands in place of "Since …", where it is no window that is compared.
    """

    subject: str
    current_start: datetime
    current_end: datetime
    changes: tuple[Change, ...] = ()
    looked_back: timedelta | None = None
    topic_labels: Mapping[int, str] = field(default_factory=dict)
    unit: str = "sessions"
    service: str = ""
    onset: datetime | None = None
    onset_low: datetime | None = None
    onset_high: datetime | None = None
    other_fields: Mapping[str, str] = field(default_factory=dict)
    lead: str = ""


def verdict_sentence(result: DriftResult, scene: Scene) -> str:
    """Return the verdict in words; sizes are always in it, and p whenever there is one.

    For instance: "Since Tue 14:00, 7 % of prompts (was 0.4 %) are about frozen cards abroad; style
    unchanged; prompt support v14 went live 20 min before (p = .002; 980 messages in 412 sessions
    compared with 4,100 in 1,630 before)."
    """
    subject = _FIELDS.get(scene.subject, scene.subject)
    if scene.service:
        subject = f"{subject} of {scene.service}"
    if result.verdict == "insufficient":
        return f"Not enough data to judge {subject}: {_sizes(result, scene)}; needed: {result.needed}."
    if result.verdict == "stable":
        return _stable(result, scene, subject)
    clauses = [f"{_opening(scene)}, {_what(result, scene, subject)}", _manner(result, scene)]
    clauses += [_elsewhere(scene), _cause(scene)]
    told = "; ".join(clause for clause in clauses if clause)
    return f"{told} ({p_text(result)}; effect {_percent(result.effect)}; {_sizes(result, scene)})."


def segment_sentence(result: DriftResult, field: str, of: str) -> str:
    """Return the verdict on a part of the traffic in words; ``of`` names it (``about frozen cards``)."""
    subject = f"{_FIELDS.get(field, field)} {of}"
    sizes = f"{result.n_current:,} messages compared with {result.n_reference:,} before"
    if result.verdict != "drifted":
        return f"No change in {subject} ({p_text(result)}; {sizes})."
    changed = f"{subject[0].upper()}{subject[1:]} changed, about {_percent(result.effect)} of them"
    return f"{changed} ({p_text(result)}; {sizes})."


def smallest_detectable(n_groups_reference: int, n_groups_current: int) -> float:
    """Return the share of sessions from which a new topic is found in most cases, at the 5 % level.

    A rule fitted to measured power: as many sessions as the square root of those in the smaller window. That is 3 %
    of 1,000 (2 % is found in .45 of tries, 5 % in 1.0), 13 % of 60 and 18 % of 30 (12 of 14 tries at 13 and 20 %).
    """
    return 1.0 / math.sqrt(max(1, min(n_groups_reference, n_groups_current)))


def p_text(result: DriftResult) -> str:
    """Return the p-value as it is printed: ``p = .41``, or ``p ≤ .002`` at the floor, and whether it is a rank."""
    relation = "≤" if result.p_value <= result.p_floor else "="
    digits = 2 if result.p_value >= 0.1 else 3 if result.p_value >= 0.001 else 4
    told = f"p {relation} {_bare(result.p_value, digits)}"
    if result.method.startswith("rank"):
        return f"{told} by {result.method}"
    if result.method.startswith("stored"):
        return f"{told} by {result.method}"
    _, confirmed, rank = result.method.partition(", confirmed")
    return f"{told}{confirmed}{rank}"


def _bare(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("0.") else text


def _stable(result: DriftResult, scene: Scene, subject: str) -> str:
    least = smallest_detectable(result.n_groups_reference, result.n_groups_current)
    seen = f"smallest new topic that would be seen: about {_percent(least)} of {scene.unit}"
    if result.p_value <= 0.05:
        doubt = "too small" if result.effect < MINIMUM_EFFECT else "not certain enough"
        seen = f"effect {_percent(result.effect)}, {doubt} to report"
    return f"No change in {subject}: {_sizes(result, scene)} ({p_text(result)}; {seen})."


def _what(result: DriftResult, scene: Scene, subject: str) -> str:
    """Return what changed, led by the largest contribution."""
    if result.style:
        moved = f"about {_percent(result.effect)} of" if result.effect < 1.0 else "all"
        mark = ", the mark of another style" if scene.subject in ("prompt", "response") else ""
        return f"{subject} changed alike in all topics{mark}: {moved} the traffic moved"
    if not result.contributions:
        return f"{subject} changed"
    lead = result.contributions[0]
    label = _clip(scene.topic_labels.get(lead.topic_id, ""))
    if lead.kind == "within":
        where = f"about {label}" if label else "in one group of similar messages"
        share = _percent(lead.share_current)
        if result.effect > BEYOND * lead.share_current:  # one topic does not account for it
            return f"{subject} changed, about {_percent(result.effect)} of them, most clearly {where} ({share} of them)"
        return f"{subject} {where} changed, {share} of the traffic"
    where = f"are about {label}" if label else "belong to one group of similar messages"
    return f"{_percent(lead.share_current)} of {subject} (was {_percent(lead.share_reference)}) {where}"


def _manner(result: DriftResult, scene: Scene) -> str:
    others = _others(result.contributions[1:3], scene)
    style = "" if result.style or scene.subject == "context" else "style unchanged"
    return "; ".join(part for part in (result.note, others, style) if part)


def _others(contributions: tuple[Contribution, ...], scene: Scene) -> str:
    named = [
        f"{_clip(scene.topic_labels[c.topic_id])} {_percent(c.share_current)} (was {_percent(c.share_reference)})"
        for c in contributions
        if c.kind == "share" and c.topic_id in scene.topic_labels and c.contribution >= 0.1
    ]
    return f"also {', '.join(named)}" if named else ""


def _elsewhere(scene: Scene) -> str:
    """Return which other fields of the same traffic moved too, and which did not."""
    names = [(_FIELDS[name], verdict) for name, verdict in scene.other_fields.items() if name in _FIELDS]
    moved = [name for name, verdict in names if verdict == "drifted"]
    still = [name for name, verdict in names if verdict == "stable"]
    told = [f"{_listed(moved)} changed too"] if moved else []
    told += [f"{_listed(still)} did not change"] if still else []
    return ", ".join(told)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _cause(scene: Scene) -> str:
    began = scene.onset or scene.current_start
    if not scene.changes:
        back = scene.looked_back
        return "" if back is None else f"no recorded change in the {_duration(back)} before"
    return " and ".join(_change_text(change, began, scene) for change in scene.changes[:2])


def _change_text(change: Change, began: datetime, scene: Scene) -> str:
    template = _CHANGES.get(change.kind, "{name} changed")
    told = " ".join(template.format(name=change.name, after=change.after).split())
    gap = began - change.at
    if abs(gap) < timedelta(minutes=1):
        return f"{told} at the same time"
    if gap >= timedelta(0):
        return f"{told} {_duration(gap)} before"
    if scene.onset is None:
        return f"{told} {_duration(-gap)} after the window began"
    within = scene.onset_high is not None and change.at <= scene.onset_high
    return f"{told} in that time, at {change.at:{_MOMENT}}" if within else f"{told} {_duration(-gap)} later"


def _sizes(result: DriftResult, scene: Scene) -> str:
    return (
        f"{result.n_current:,} messages in {result.n_groups_current:,} {scene.unit} "
        f"compared with {result.n_reference:,} in {result.n_groups_reference:,} before"
    )


def _percent(share: float) -> str:
    percent = 100.0 * share
    if percent >= 1.0 or percent == 0.0:
        return f"{percent:.0f} %"
    return f"{percent:.1f} %" if percent >= 0.05 else "under 0.1 %"


def _opening(scene: Scene) -> str:
    """Return since when, or the window where no moment in it stands out."""
    if scene.lead:
        return scene.lead
    start, end = scene.current_start, scene.current_end
    if scene.onset is not None:
        return f"Since {_when(scene.onset, scene.onset_low or scene.onset, scene.onset_high or scene.onset)}"
    if start.time() == end.time() == time():
        last = end - timedelta(days=1)
        whole = f"{start:%a %d %b}"
        return f"On {whole}" if last <= start else f"From {whole} to {last:%a %d %b}"
    return f"Since {start:{_MOMENT}}"


def _when(onset: datetime, low: datetime, high: datetime) -> str:
    if high - low < timedelta(minutes=30):
        return f"{onset:{_MOMENT}}"
    if low.date() == onset.date() == high.date():
        return f"{onset:{_MOMENT}} (between {low:%H:%M} and {high:%H:%M})"
    return f"{onset:{_MOMENT}} (between {low:{_MOMENT}} and {high:{_MOMENT}})"


def _duration(gap: timedelta) -> str:
    minutes = round(gap.total_seconds() / 60.0)
    if minutes < 90:
        return f"{minutes} min"
    return f"{round(minutes / 60)} h" if minutes < 48 * 60 else f"{round(minutes / 1440)} days"


def _clip(label: str) -> str:
    words = " ".join(label.split())
    return words if len(words) <= LONGEST_NAME else words[: LONGEST_NAME - 1].rstrip() + "…"
