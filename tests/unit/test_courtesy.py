"""Background work lets requests go first, and is never stopped by them."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from collector import courtesy as module
from collector.courtesy import Courtesy


def test_the_background_does_not_wait_when_no_request_is_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(_: float) -> None:
        pytest.fail("it waits")

    courtesy = Courtesy(most=1000)
    courtesy.begin()
    monkeypatch.setattr(courtesy._changed, "wait", wait)
    courtesy.step_back()


def test_the_background_goes_on_as_soon_as_the_request_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST_S", 3600.0)
    courtesy = Courtesy(most=1e9)
    courtesy.begin()
    begun, waiting = threading.Event(), threading.Event()
    order: list[str] = []
    wait = courtesy._changed.wait

    def waited(timeout_s: float) -> bool:
        waiting.set()
        return wait(timeout_s)

    monkeypatch.setattr(courtesy._changed, "wait", waited)

    def request() -> None:
        with courtesy.first():
            begun.set()
            waiting.wait(120)
            order.append("request")

    worker = threading.Thread(target=request)
    worker.start()
    begun.wait(120)
    courtesy.step_back()
    order.append("background")
    worker.join()
    assert order == ["request", "background"]


def test_the_background_pauses_only_in_proportion_to_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(module, "time", clock)
    courtesy = Courtesy(most=2.0)
    pauses: list[float] = []
    monkeypatch.setattr(courtesy._changed, "wait_for", lambda _, pause_s: pauses.append(pause_s))
    courtesy.begin()
    with courtesy.first():
        for worked_s in (0.01, 0.05, 60.0, 0.0):
            clock.now += worked_s
            courtesy.step_back()
    assert pauses == pytest.approx([0.02, 0.1, 0.2, 0.0])
