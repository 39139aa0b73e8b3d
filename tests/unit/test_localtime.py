"""Days of a place begin somewhere, even where clocks skip or repeat midnight."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from analysis.localtime import day_start, to_local


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("America/Santiago", "2026-09-06", datetime(2026, 9, 6, 4)),  # 00:00 becomes 01:00
        ("Africa/Cairo", "2026-04-24", datetime(2026, 4, 23, 22)),  # 00:00 becomes 01:00
        ("America/Havana", "2026-11-01", datetime(2026, 11, 1, 4)),  # 01:00 becomes 00:00 again
        ("Europe/Berlin", "2026-03-29", datetime(2026, 3, 28, 23)),
        ("UTC", "2026-03-29", datetime(2026, 3, 29)),
    ],
)
def test_a_day_begins_at_one_instant(zone: str, day: str, begins: datetime) -> None:
    assert day_start(np.datetime64(day), ZoneInfo(zone)) == begins


def test_days_follow_each_other_without_gap_through_a_year_of_changing_clocks() -> None:
    zone = ZoneInfo("America/Santiago")
    days = np.arange(np.datetime64("2026-01-01"), np.datetime64("2027-01-02"))
    hours = np.diff([day_start(day, zone) for day in days])
    assert {gap.total_seconds() / 3600 for gap in hours} == {23, 24, 25}
    assert sum(gap.total_seconds() for gap in hours) == 365 * 86_400


def test_an_instant_is_shown_in_the_time_of_the_zone() -> None:
    assert to_local(datetime(2026, 7, 1, 22), ZoneInfo("Europe/Berlin")) == datetime(2026, 7, 2)
