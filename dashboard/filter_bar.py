"""The widgets of the filters, bound to the URL: a link reproduces the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard import data, formats
from dashboard.filters import NAMES, REFERENCES, WINDOWS, Filters

_WRITTEN = "_query_written"
# A select box shows its placeholder for None, so "all" needs a value of its own.
_EVERY = ""
_ALL = {
    "service": "All services",
    "environment": "All environments",
    "model": "All models",
    "prompt_version": "All prompt versions",
    "topic": "All topics",
}
# Below this width the bar folds into one button.
_FOLD = "<style>@media (max-width: 640px) { .st-key-filters { display: none } }</style>"


def filters_of_run() -> Filters:
    """Read the filters: from the URL when it is new, else from the widgets of this session."""
    query = {name: value for name, value in st.query_params.items() if name in NAMES}
    known = st.session_state.get(_WRITTEN)
    # A page chosen in the sidebar arrives without a query: the session's filters stay.
    if known is None or (query and query != known):
        apply(Filters.from_query(query))
    return _from_widgets()


def apply(filters: Filters) -> None:
    """Set the widgets of the bar; before they are drawn."""
    for name in NAMES:
        value = getattr(filters, name)
        st.session_state[f"filter_{name}"] = _EVERY if value is None else value


def write_query(filters: Filters) -> None:
    """Put the filters into the URL and leave what belongs to the page alone."""
    query = filters.to_query()
    for name in NAMES:
        if name in query and st.query_params.get(name) != query[name]:
            st.query_params[name] = query[name]
        elif name not in query and name in st.query_params:
            del st.query_params[name]
    st.session_state[_WRITTEN] = query


def draw(labels: Mapping[int, str], badge_html: str) -> Filters:
    """Draw the bar and return what it says."""
    choices = _choices(labels)
    folded = st.toggle("Filters", key="filters_open")
    if not folded:
        st.html(_FOLD)
    with st.container(horizontal=True, key="filters", vertical_alignment="center", gap="small"):
        _select("service", choices["service"], 146)
        _select("environment", choices["environment"], 150)
        _window()
        st.selectbox(
            "Compared with",
            list(REFERENCES),
            key="filter_reference",
            format_func=lambda key: REFERENCES[key],
            label_visibility="collapsed",
            width=162,
        )
        more = sum(
            st.session_state.get(f"filter_{name}") not in (None, _EVERY)
            for name in ("model", "prompt_version", "topic")
        )
        with st.popover(f"More filters ({more})" if more else "More filters", key="filters_more"):
            _select("model", choices["model"], 260, labelled=True)
            _select("prompt_version", choices["prompt_version"], 260, labelled=True)
            _select("topic", choices["topic"], 260, labelled=True, names=labels)
            _dates()
        st.html(badge_html)
    return _from_widgets()


def _from_widgets() -> Filters:
    found = {name: st.session_state.get(f"filter_{name}") for name in NAMES}
    values: dict[str, Any] = {name: None if value == _EVERY else value for name, value in found.items()}
    defaults = Filters()
    values["window"] = values["window"] or defaults.window
    values["reference"] = values["reference"] or defaults.reference
    return Filters(**values)


def _choices(labels: Mapping[int, str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {name: [] for name in _ALL}
    for row in data.rows("choices"):
        if row["value"] is not None:
            found[row["field"]].append(row["value"])
    found["topic"] = list(labels)
    return found


def _keep(name: str, options: Sequence[Any]) -> list[Any]:
    """Options together with the chosen value, which a link may name though no row has it."""
    chosen = st.session_state.get(f"filter_{name}")
    return [*options] if chosen in (None, _EVERY) or chosen in options else [*options, chosen]


def _select(
    name: str, options: Sequence[Any], width: int, *, labelled: bool = False, names: Mapping[int, str] | None = None
) -> None:
    def show(value: Any) -> str:
        return _ALL[name] if value == _EVERY else (names or {}).get(value, str(value))

    st.selectbox(
        name.replace("_", " ").capitalize(),
        [_EVERY, *_keep(name, options)],
        key=f"filter_{name}",
        format_func=show,
        label_visibility="visible" if labelled else "collapsed",
        width=width,
    )


def _window() -> None:
    st.selectbox(
        "Time window",
        _keep("window", list(WINDOWS)),
        key="filter_window",
        format_func=lambda key: WINDOWS.get(key, key.replace("..", " to ")).capitalize(),
        label_visibility="collapsed",
        width=130,
    )


def _dates() -> None:
    """Days instead of a length: what a link must say to show the same rows next month."""

    def choose() -> None:
        days = list(st.session_state.get("filter_dates") or ())
        if len(days) == 2:
            st.session_state["filter_window"] = f"{days[0]}..{days[1]}"

    chosen = str(st.session_state.get("filter_window") or "")
    half = len(list(st.session_state.get("filter_dates") or ())) == 1
    if not half:
        days = [date.fromisoformat(part) for part in chosen.split("..")] if ".." in chosen else []
        st.session_state["filter_dates"] = tuple(days)
    st.date_input("Exact days", key="filter_dates", on_change=choose, width=260, format="YYYY-MM-DD")


def badge(newest: datetime, analysed: datetime | None, zone: ZoneInfo) -> str:
    """HTML of what the data reaches to and when it was analysed last."""
    same_day = analysed is not None and formats.local(analysed, zone).date() == formats.local(newest, zone).date()
    tail = f"analysed {formats.stamp_html(analysed, zone, day=not same_day)}" if analysed else "not analysed yet"
    return f'<div class="ut-badge">data to {formats.stamp_html(newest, zone)} · {tail}</div>'
