"""Evidence of drift as one strip of bars per field, in HTML.

The first page shows it, and a browser that has not loaded Plotly yet would spend longer on that than on all the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from dashboard.charts.base import Letter, Range
from dashboard.charts.drift import FIELDS
from dashboard.formats import escape, shorten

_DAYS_NAMED = 8  # at most so many dates under the strips
_HEADROOM = 1.12  # of the tallest bar, or of the threshold


def html_of(table: pd.DataFrame, letters: Sequence[Letter], x_range: Range, window_start: datetime) -> str:
    """One strip per field: evidence as a share of the threshold that it had to pass, which is dashed.

    Parameters
    ----------
    table : from `charts.drift.strongest`, with ``middle`` (naive local middle of the day window) and ``day_ms`` (its
        length).
    x_range : naive local ends of the strips; what lies beyond them is left out.
    window_start : naive local; what lies before it is shaded as the past.
    """
    strips = "".join(_strip(title, table[table["field"] == field], x_range) for field, title in FIELDS.items())
    past = f'<i class="past" style="width:{_left(window_start, x_range):.2f}%"></i>'
    marks = "".join(
        f'<b class="mark" style="left:{_left(at.moment, x_range):.2f}%"><span>{escape(at.letter)}</span></b>'
        for at in letters
        if x_range[0] <= at.moment <= x_range[1]
    )
    days = "".join(
        f'<span style="left:{_left(day + timedelta(hours=12), x_range):.2f}%">{day.day} {day:%b}</span>'
        for day in _named_days(x_range)
    )
    return f'<div class="ut-strips"><div class="over">{past}{marks}</div>{strips}<div class="days">{days}</div></div>'


def _strip(title: str, part: pd.DataFrame, x_range: Range) -> str:
    top = max(float(part["ratio"].max()) if len(part) else 0.0, 1.0) * _HEADROOM
    shown = [row for row in part.to_dict("records") if x_range[0] < row["middle"] < x_range[1]]
    drifted = sum(row["verdict"] == "drifted" for row in shown)
    bars = "".join(_bar(row, top, x_range) for row in shown)
    return (
        f'<div class="name">{escape(title)}</div>'
        f'<div class="lane" role="img" aria-label="{escape(title)}: {drifted} of {len(shown)} days drifted">'
        f'{bars}<i class="threshold" style="bottom:{100 / top:.1f}%"></i></div>'
    )


def _bar(row: dict[str, Any], top: float, x_range: Range) -> str:
    half = timedelta(milliseconds=row["day_ms"] * 0.4)
    left, right = _left(row["middle"] - half, x_range), _left(row["middle"] + half, x_range)
    told = f"{shorten(row['sentence'] or '', 160)}\n{row['verdict']}"
    if pd.notna(row["evidence"]):
        told += f": evidence {row['evidence']:.1f}, threshold {row['threshold']:.1f}"
    place = f"left:{left:.2f}%;width:{right - left:.2f}%;height:{100 * row['ratio'] / top:.1f}%"
    return f'<i class="bar {escape(row["verdict"])}" style="{place}" title="{escape(told)}"></i>'


def _left(moment: datetime, x_range: Range) -> float:
    """Where a moment stands, in per cent of the width; no further than its ends."""
    start, end = x_range
    return 100 * min(max((moment - start) / (end - start), 0.0), 1.0)


def _named_days(x_range: Range) -> Iterator[datetime]:
    """Local midnights whose noon lies in the range, evenly spaced, the last day among them."""
    first = x_range[0].replace(hour=0, minute=0, second=0, microsecond=0)
    days = [first + timedelta(days=n) for n in range((x_range[1] - first).days + 1)]
    inside = [day for day in days if x_range[0] <= day + timedelta(hours=12) < x_range[1]]
    step = -(-len(inside) // _DAYS_NAMED) or 1
    yield from inside[::-1][::step]
