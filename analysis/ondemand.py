"""Any two selections of messages compared: windows, prompt versions, models, services."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.analyzer import EVER, NEVER, Context
from analysis.drift import DriftResult
from analysis.drift.sentence import verdict_sentence
from analysis.scenes import Journal
from analysis.study import FIELDS, Rows, Study, within
from undertow.clock import parse_duration
from undertow.errors import ConfigError

EXEMPLARS = 5
LEVEL = 0.05
_COLUMNS: Mapping[str, str] = {
    "version": "prompt_version",
    "model": "request_model",
    "service": "service_name",
    "language": "language",
}
_DAY = r"\d{4}-\d{2}-\d{2}"
_FORMS = (
    "2026-11-01, 2026-11-01..2026-11-07, 2026-11-01T10:00.., 7d, prompt:NAME@VERSION, version:VERSION, model:NAME or"
    " service:NAME"
)


@dataclass(frozen=True)
class Selection:
    """Messages of a window, naive UTC, whose columns have certain values; ``text`` is how it was written."""

    text: str
    start: datetime = EVER
    end: datetime = NEVER
    columns: Mapping[str, str] | None = None
    length: timedelta | None = None

    @property
    def is_window(self) -> bool:
        """Whether time is all that selects."""
        return not self.columns

    def mask(self, frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Which turns belong to it, (n,)."""
        found = within(frame, self.start, self.end)
        for column, value in (self.columns or {}).items():
            mine = np.asarray(frame[column] == value)
            if column == "prompt_version":  # a prompt without a version is named by the first digits of its hash
                unnamed = frame[column].isna() & frame["prompt_hash"].fillna("").astype(str).str.startswith(value)
                mine = mine | np.asarray(unnamed)
            found = found & mine
        return found


def parse_selection(text: str, zone: ZoneInfo) -> Selection:
    """Read how somebody wrote a selection; times without an offset are those of the zone.

    Raises
    ------
    ConfigError
        It is none of the known forms.
    """
    given = text.strip()
    kind, colon, value = given.partition(":")
    if colon and kind == "prompt":
        name, _, version = value.rpartition("@")
        if name and version:
            return Selection(given, columns={"prompt_name": name, "prompt_version": version})
    if colon and kind in _COLUMNS and value:
        return Selection(given, columns={_COLUMNS[kind]: value})
    if ".." in given:
        first, _, last = given.partition("..")
        start = _instant(first, zone, end=False) if first else EVER
        end = _instant(last, zone, end=True) if last else NEVER
        if start >= end or start == EVER and end == NEVER:
            raise ConfigError(f"{text!r} is an empty window; it must end after it starts")
        return Selection(given, start, end)
    if re.fullmatch(_DAY, given):
        return Selection(given, _instant(given, zone, end=False), _instant(given, zone, end=True))
    if re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h|d|w))+", given):
        return Selection(given, length=parse_duration(given))
    raise ConfigError(f"{text!r} selects nothing; write {_FORMS}")


def _instant(text: str, zone: ZoneInfo, *, end: bool) -> datetime:
    try:
        if re.fullmatch(_DAY, text):
            day = date.fromisoformat(text) + timedelta(days=1 if end else 0)
            there = datetime.combine(day, time(), zone)
        else:
            there = datetime.fromisoformat(text)
            there = there if there.tzinfo else there.replace(tzinfo=zone)
        return there.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{text!r} is no date or time; write 2026-11-01 or 2026-11-01T10:00") from error


def resolved(reference: Selection, current: Selection, newest: datetime) -> tuple[Selection, Selection]:
    """Turn lengths into windows: the current one ends with the data, the reference where the current one begins."""
    if current.length is not None:
        end = newest + timedelta(microseconds=1)
        current = replace(current, start=end - current.length, end=end)
    if reference.length is not None:
        end = current.start if current.is_window else newest + timedelta(microseconds=1)
        reference = replace(reference, start=end - reference.length, end=end)
    return reference, current


def default_field(reference: Selection, current: Selection) -> str:
    """The questions where windows are compared; where versions are, whether the same questions are answered alike."""
    return "prompt" if reference.is_window and current.is_window else "behaviour"


def compare_selections(  # noqa: PLR0913 - what somebody may choose
    context: Context,
    reference: Selection,
    current: Selection,
    *,
    field: str,
    service: str | None = None,
    segment: str | None = None,
    alpha: float = LEVEL,
) -> dict[str, Any]:
    """Compare two selections and return everything that is known, as plain JSON values.

    Parameters
    ----------
    field : ``prompt``, ``context``, ``response`` or ``behaviour``.
    service : only its messages.
    segment : a further selection (``model:…``, ``version:…``, ``language:…``) that both sides must meet.

    Raises
    ------
    ConfigError
        A selection is unknown, or a message belongs to both.
    """
    if field not in FIELDS:
        raise ConfigError(f"there is no field {field!r}; the fields are {', '.join(FIELDS)}")
    zone = ZoneInfo(context.settings.timezone)
    study = Study(context, *_extent(reference, current))
    if not len(study.frame):
        return _report(DriftResult("none", np.nan, np.nan, np.nan, "insufficient", 0, 0, needed="messages"), field)
    reference, current = resolved(reference, current, study.frame["start_time"].max().to_pydatetime())
    common = study.usable(field)
    if service:
        common &= study.service == service
    if segment:
        common &= parse_selection(segment, zone).mask(study.frame)
    before, after = (np.flatnonzero(side.mask(study.frame) & common) for side in (reference, current))
    if len(np.intersect1d(before, after)):
        raise ConfigError(f"{reference.text} and {current.text} overlap; choose selections that share no message")
    before = study.thinned(before)
    result = study.compare(field, before, after, alpha)
    sentence = _sentence(context, study, (reference, current), result, (field, before, after))
    labels = Journal.read(context.store, zone).labels
    return {
        **_report(result, field, labels),
        "service": service,
        "segment": segment,
        "reference": reference.text,
        "current": current.text,
        "sentence": sentence,
        "exemplars": _exemplars(study, after, result, field),
    }


def _extent(reference: Selection, current: Selection) -> tuple[datetime, datetime]:
    if reference.length is not None or current.length is not None:
        return EVER, NEVER  # counted from the newest message, wherever it is
    return min(reference.start, current.start), max(reference.end, current.end)


def _sentence(
    context: Context,
    study: Study,
    sides: tuple[Selection, Selection],
    result: DriftResult,
    compared: tuple[str, Rows, Rows],
) -> str:
    reference, current = sides
    field, before, after = compared
    times = study.frame["start_time"]
    chosen = study.service[after]
    service = str(chosen[0]) if len(set(chosen)) == 1 else ""
    start = max(current.start, times.iloc[after[0]].to_pydatetime()) if len(after) else times.min().to_pydatetime()
    end = min(current.end, times.iloc[after[-1]].to_pydatetime()) if len(after) else start
    onset = study.onset(field, result, before, after) if len(after) and reference.is_window else None
    journal = Journal.read(context.store, ZoneInfo(context.settings.timezone))
    scene = journal.scene(field, service, (start, end), onset=onset)
    if not (reference.is_window and current.is_window):
        scene = replace(scene, lead=f"From {reference.text} to {current.text}", changes=(), looked_back=None)
    return verdict_sentence(result, scene)


def _report(result: DriftResult, field: str, labels: Mapping[int, str] | None = None) -> dict[str, Any]:
    return {
        "field": field,
        "verdict": result.verdict,
        "sentence": f"Not enough data: needed {result.needed}." if result.verdict == "insufficient" else "",
        "statistic": result.statistic,
        "value": _number(result.value),
        "effect": _number(result.effect),
        "effect_interval": [_number(value) for value in result.effect_interval],
        "p_value": _number(result.p_value),
        "p_floor": _number(result.p_floor),
        "n_reference": result.n_reference,
        "n_current": result.n_current,
        "sessions_reference": result.n_groups_reference,
        "sessions_current": result.n_groups_current,
        "needed": result.needed,
        "style": result.style,
        "method": result.method,
        "parts": {name: {"value": part.value, "p_value": part.p_value} for name, part in result.parts.items()},
        "contributions": [
            {
                "topic_id": item.topic_id,
                "label": (labels or {}).get(item.topic_id, ""),
                "share_reference": item.share_reference,
                "share_current": item.share_current,
                "contribution": item.contribution,
                "kind": item.kind,
            }
            for item in result.contributions
        ],
        "exemplars": [],
    }


def _exemplars(study: Study, after: Rows, result: DriftResult, field: str) -> list[dict[str, str]]:
    if result.verdict != "drifted":
        return []
    indices = list(result.exemplars) or [i for item in result.contributions for i in item.exemplars]
    rows = study.frame.iloc[after[list(dict.fromkeys(indices))[:EXEMPLARS]]]
    return [{"interaction_id": row.interaction_id, "question": row.prompt or ""} for row in rows.itertuples()]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
