"""A running collector, for every test that needs one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.running import RunningCollector, StartCollector


@pytest.fixture
def start_collector(tmp_path: Path) -> Iterator[StartCollector]:
    """Start collectors with extra environment variables; all are ended with the test."""
    started: list[RunningCollector] = []

    def start(**env: str) -> RunningCollector:
        collector = RunningCollector(tmp_path / f"collector{len(started)}", **env)
        started.append(collector)
        return collector.start()

    yield start
    for collector in started:
        if collector.process is not None and collector.process.poll() is None:
            collector.kill()


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    """One collector shared by the tests of a module; tests must use ids of their own."""
    running = RunningCollector(tmp_path_factory.mktemp("collector")).start()
    yield running
    running.stop()
