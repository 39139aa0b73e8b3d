"""A tile: one measure with its interval, its change, how many cases it rests on, and a sparkline."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import streamlit as st

from dashboard.formats import escape
from dashboard.palette import ACCENT, FAINT


@dataclass(frozen=True)
class Tile:
    """What a tile shows.

    Attributes
    ----------
    value : the number with its unit, or words when there is none.
    small : interval or unit in smaller type.
    change : against the reference window; ``good`` says whether it is for the better, ``None`` when neither.
    basis : the cases behind it, shown on hover.
    page : file of the page that it opens.
    """

    title: str
    value: str
    small: str = ""
    change: str = ""
    good: bool | None = None
    basis: str = ""
    page: str = ""
    words: bool = False
    series: Sequence[float | None] = field(default_factory=tuple)


def draw(tile: Tile, query: dict[str, str]) -> None:
    """Draw one tile; its title opens the page with the same filters."""
    with st.container(border=True, height="stretch"):
        st.page_link(tile.page, label=tile.title, query_params=query)
        st.html(html_of(tile))


def html_of(tile: Tile) -> str:
    """HTML of a tile without its title."""
    tone = "" if tile.good is None else " good" if tile.good else " bad"
    words = " words" if tile.words else ""
    small = f"<small>{escape(tile.small)}</small>" if tile.small else ""
    spark = sparkline(tile.series, f"{tile.title} over the window")
    return (
        f'<div class="ut-tile" title="{escape(tile.basis)}"><div class="v{words}">{escape(tile.value)}{small}</div>'
        f'<div class="d{tone}">{escape(tile.change)}</div>{spark}</div>'
    )


def sparkline(series: Sequence[float | None], alt: str) -> str:
    """An image of a line from zero; gaps where a bucket has no case."""
    values = [None if v is None or math.isnan(v) else float(v) for v in series]
    known = [v for v in values if v is not None]
    if len(known) < 2:
        return '<div class="ut-spark"></div>'
    top = max(known) or 1.0
    step = 200 / (len(values) - 1)
    runs: list[list[str]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{index * step:.1f},{28 - 25 * value / top:.1f}")
    lines = "".join(
        f'<polyline points="{" ".join(run)}" fill="none" stroke="{ACCENT}" stroke-width="1.6"'
        ' vector-effect="non-scaling-stroke"/>'
        for run in runs
        if len(run) > 1
    )
    base = f'<line x1="0" y1="29" x2="200" y2="29" stroke="{FAINT}" vector-effect="non-scaling-stroke"/>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 30" preserveAspectRatio="none">{base}{lines}</svg>'
    encoded = base64.b64encode(svg.encode()).decode()
    return f'<img class="ut-spark" alt="{escape(alt)}" src="data:image/svg+xml;base64,{encoded}">'
