"""A person walks from what changed to a verdict; every page is looked at in two sizes and two schemes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard import factory
from tests.e2e.conftest import Served, Watched, watch
from undertow.store.embedded import EmbeddedStore

pytestmark = pytest.mark.e2e

PAGES = ("overview", "topics", "drift", "quality", "cost", "prompts", "review", "alerts", "health", "interaction")
SIZES = {"wide": (1440, 900), "phone": (390, 844)}
SCHEMES = ("light", "dark")
OVERFLOW = (
    "(() => { const m = document.querySelector('[data-testid=stMain]'); return m.scrollWidth - m.clientWidth })()"
)

DRAWN = (
    "() => !document.querySelector('[data-testid=stSkeleton]')"
    " && [...document.querySelectorAll('[data-testid=stPlotlyChart]')].every(c => c.querySelector('.main-svg'))"
)


def settle(page: Any) -> None:
    """Wait until the page has said its first line, the script has ended and the charts are drawn."""
    page.wait_for_selector(".ut-lead, .ut-empty")
    page.wait_for_function(
        "() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
    )
    page.wait_for_function(DRAWN)


def go(watched: Watched, served: Served, name: str, query: str = "") -> None:
    path = "" if name == "overview" else name
    watched.page.goto(f"{served.url}/{path}{query}")
    settle(watched.page)


def test_walk_from_overview_to_a_verdict_in_the_store(browser: Any, served: Served) -> None:
    watched = watch(browser, width=1440, height=900, scheme="light")
    page = watched.page
    go(watched, served, "overview")
    page.wait_for_function("document.querySelectorAll('.ut-tile').length === 6")

    for name in ("Topics", "Drift", "Review"):
        page.locator("[data-testid=stSidebarNav] a").filter(has_text=name).click()
        page.wait_for_url(f"**/{name.lower()}*")
        settle(page)
        assert page.locator(".ut-lead").first.inner_text()

    first = page.locator(".ut-lead").first.inner_text()
    page.keyboard.press("j")
    page.wait_for_function("before => document.querySelector('.ut-lead').innerText !== before", arg=first)
    settle(page)
    chosen = page.evaluate("new URL(location).searchParams.get('item')")
    page.keyboard.press("y")
    page.wait_for_selector("text=1 decided in this session")
    settle(page)
    assert not page.locator("[data-testid=stException]").count()
    page.context.close()

    assert watched.outside == []
    verdicts = verdicts_of(served)
    assert verdicts == [(chosen, "confirmed", "resolved")]


def verdicts_of(served: Served) -> list[tuple[str, str, str]]:
    """Verdicts in the store, read from a copy of the file as the dashboard still holds it."""
    copy = served.data_dir.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(served.data_dir, copy)
    with EmbeddedStore(copy / "undertow.duckdb") as store:
        rows = store.query(
            "SELECT f.target_id, f.label, r.state FROM feedback f JOIN reviews r ON r.interaction_id = f.target_id"
            " WHERE f.kind = 'verdict' AND f.source = 'dashboard'"
        ).to_pylist()
    return [(row["target_id"], row["label"], row["state"]) for row in rows]


@pytest.mark.parametrize("size", SIZES)
def test_every_page_shows_itself_and_fits(size: str, browser: Any, served: Served, tmp_path: Path) -> None:
    kept = os.environ.get("E2E_SCREENSHOTS")
    folder = Path(kept or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    width, height = SIZES[size]
    watched = watch(browser, width=width, height=height, scheme="light")
    page = watched.page
    for name in PAGES:
        go(watched, served, name)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(500 if kept else 0)  # charts change their colours by scripts of their own
            page.screenshot(path=folder / f"{name}-{scheme}-{size}.png")
        assert not page.locator("[data-testid=stException]").count(), name
        wider = page.evaluate(OVERFLOW)
        assert wider <= 0, f"{name} is {wider} px wider than the screen"
        page.emulate_media(color_scheme="light")
    assert watched.outside == []
    page.context.close()


def test_hostile_text_is_shown_and_does_nothing(browser: Any, served: Served) -> None:
    if os.environ.get("E2E_DEMO_DIR"):
        pytest.skip("the demo sends no hostile text")
    watched = watch(browser, width=1440, height=900, scheme="light")
    go(watched, served, "interaction", f"?interaction={hostile_id()}")
    page = watched.page
    assert "<script>window.pwned" in page.locator(".ut-lead").first.inner_text()
    assert page.evaluate("window.pwned") is None
    assert page.locator("[data-testid=stMain] img[src='x']").count() == 0
    assert watched.outside == []
    page.context.close()


def hostile_id() -> str:
    """The interaction that holds hostile text; the factory always chooses the same one."""
    made = factory.Made()
    factory.conversations(made, days=factory.DAYS, per_day=40)
    return sorted(made.invented)[0]
