"""Days and times of a place, against the naive UTC of the store."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd


def day_start(day: np.datetime64, zone: ZoneInfo) -> datetime:
    """Return the instant at which a local day begins, naive UTC.

    Where clocks skip midnight it is the first instant after the gap, where they repeat it the first of the two.
    """
    local = datetime.combine(pd.Timestamp(day).date(), time.min, tzinfo=zone)
    return local.astimezone(UTC).replace(tzinfo=None)


def to_local(instant: datetime, zone: ZoneInfo) -> datetime:
    """Return a naive UTC instant as the naive time that clocks of the zone show."""
    return instant.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
