"""Entry script of the Streamlit app: pages, style, filters, and what to do when the store cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard import data, filter_bar, screen, telemetry
from dashboard.components import content
from dashboard.components.text import empty
from dashboard.formats import escape
from undertow.errors import UndertowError

FOLDER = Path(__file__).parent
BAR_HEIGHT = 44


@dataclass(frozen=True)
class PageSpec:
    """One page: its file in ``views/``, which is also its address."""

    name: str
    title: str
    hidden: bool = False


PAGES = (
    PageSpec("overview", "Overview"),
    PageSpec("topics", "Topics"),
    PageSpec("drift", "Drift"),
    PageSpec("quality", "Quality"),
    PageSpec("cost", "Cost"),
    PageSpec("prompts", "Prompts"),
    PageSpec("review", "Review"),
    PageSpec("alerts", "Alerts"),
    PageSpec("health", "Health"),
    PageSpec("interaction", "Interaction", hidden=True),
)


def main() -> None:
    """Draw one run of the app."""
    st.set_page_config(page_title="Undertow", layout="wide", menu_items={})
    st.html(FOLDER / "style.css")
    st.logo(FOLDER / "wordmark.svg", size="medium", link=None)
    try:
        data.begin_run()
        extent = data.extent()
        waiting = int(data.read("open_reviews")["n"].iloc[0])
    except UndertowError as error:
        _navigation(0)
        _unavailable(error)
        return
    page = _navigation(waiting)
    if extent.newest is None:
        _nothing_yet(page, extent)
        data.release()
        return
    _draw(page, extent)


def _navigation(waiting: int) -> st.Page:
    pages = [
        st.Page(
            FOLDER / "views" / f"{spec.name}.py",
            title=f"{spec.title} {waiting}" if spec.name == "review" and waiting else spec.title,
            url_path=spec.name,
            default=spec.name == "overview",
            visibility="hidden" if spec.hidden else "visible",
        )
        for spec in PAGES
    ]
    return st.navigation(pages, expanded=True)


def _draw(page: st.Page, extent: data.Extent) -> None:
    try:
        filters = filter_bar.filters_of_run()
        now = screen.build(filters, extent, st.context.timezone)
        filter_bar.write_query(filters)
        # The sentence of the page comes first: widgets take a browser longer. A height keeps their place meanwhile.
        bar = st.container(key="bar", height=BAR_HEIGHT, border=False)
        try:
            if page.url_path not in ("", "overview", "health"):  # these two say how to switch it on
                content.line(telemetry.without_content(filters))
            page.run()
        finally:
            with bar:
                filter_bar.draw(now.labels, filter_bar.badge(now.newest, extent.analysed, now.zone))
    except UndertowError as error:
        _unavailable(error)


def _nothing_yet(page: st.Page, extent: data.Extent) -> None:
    st.title(page.title)
    why = (
        f"{extent.spans:,} spans have arrived, but none of them is a call of a model."
        " Check that the application's GenAI instrumentation is switched on."
        if extent.spans
        else "No telemetry has arrived yet. Start the collector, and point any GenAI instrumentation at it:"
    )
    command = "undertow collect\nOTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 your-application"
    empty("The store holds no interactions", why, command)
    empty("Or look at sample data first", "A scripted week of a bank's assistant, in its own folder:", "undertow demo")
    live = data.live_collector()
    where = f"collector at {live.http_url}" if live else "no collector is running for this data folder"
    st.html(f'<p class="ut-small">data folder {escape(data.settings().data_dir)} · {escape(where)}</p>')


def _unavailable(error: UndertowError) -> None:
    st.title("The store cannot be read")
    empty("What happened", str(error))
    empty(
        "What to do",
        "One process owns the file at a time. Let the collector own it, and every other process reads through it."
        " This page tries again when it is loaded again.",
        "undertow up",
    )
    if st.button("Try again", type="primary"):
        data.reconnect()
        st.rerun()


main()
