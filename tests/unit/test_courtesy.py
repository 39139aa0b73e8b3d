"""Background work lets requests go first, and is never stopped by them."""

from __future__ import annotations

import threading
import time

from collector.courtesy import Courtesy


def test_the_background_does_not_wait_when_no_request_is_worked_on() -> None:
    courtesy = Courtesy()
    courtesy.begin()
    time.sleep(0.02)  # this is the work
    started = time.monotonic()
    courtesy.step_back()
    assert time.monotonic() - started < 0.015


def test_the_background_goes_on_as_soon_as_the_request_is_done() -> None:
    courtesy = Courtesy(most=1000)
    courtesy.begin()
    time.sleep(0.01)  # this is the work
    begun, done = threading.Event(), threading.Event()
    order: list[str] = []

    def request() -> None:
        with courtesy.first():
            begun.set()
            done.wait(0.05)
            order.append("request")

    worker = threading.Thread(target=request)
    worker.start()
    begun.wait()
    courtesy.step_back()
    order.append("background")
    worker.join()
    assert order == ["request", "background"]


def test_the_background_pauses_only_in_proportion_to_its_work() -> None:
    courtesy = Courtesy(most=2.0)
    courtesy.begin()
    with courtesy.first():
        started = time.monotonic()
        for _ in range(20):
            courtesy.step_back()
        assert time.monotonic() - started < 5.0
