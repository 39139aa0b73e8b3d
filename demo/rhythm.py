"""How many turns a day has and at which hours people come."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from demo.knowledge import CUSTOMER, STAFF

# Turns a day before the weekly rhythm; their sum is about 100 in quiet weeks and 750 in the eventful one.
QUIET_TURNS = {CUSTOMER: 64, STAFF: 46}
EVENTFUL_TURNS = {CUSTOMER: 500, STAFF: 300}

_SATURDAY = 5
_WEEKEND = {CUSTOMER: 0.8, STAFF: 0.75}

# Relative load by hour of the day, UTC.
_CUSTOMER_HOURS = (1, 1, 0.5, 0.5, 0.5, 1, 3, 5, 7, 8, 8, 8, 9, 8, 7, 7, 7, 8, 9, 9, 7, 5, 3, 1.5)
_STAFF_HOURS = (0.3, 0.3, 0.2, 0.2, 0.2, 0.5, 2, 7, 10, 10, 9, 8, 6, 8, 9, 9, 8, 5, 2, 1, 0.8, 0.6, 0.5, 0.4)
HOURS = {CUSTOMER: _CUSTOMER_HOURS, STAFF: _STAFF_HOURS}


def turns_of_day(service: str, day: datetime, *, eventful: bool, rng: random.Random) -> int:
    """Return how many turns a service has on the day that begins at midnight `day`."""
    usual = (EVENTFUL_TURNS if eventful else QUIET_TURNS)[service]
    weekly = _WEEKEND[service] if day.weekday() >= _SATURDAY else 1.0
    return round(usual * weekly * rng.uniform(0.93, 1.07))


def session_start(service: str, day: datetime, rng: random.Random) -> datetime:
    """Return when a session of a day begins, early enough to end on that day."""
    hour = rng.choices(range(24), HOURS[service])[0]
    return min(day + timedelta(hours=hour, seconds=rng.uniform(0, 3600)), day + timedelta(hours=23, minutes=45))
