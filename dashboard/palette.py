"""Colours that read on white and on near-black alike, so that a figure needs no theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

ACCENT = "#12908E"
REFERENCE = "#8C9499"
RED = "#D2483E"
AMBER = "#C88A04"
GREEN = "#2F9E6E"
FAINT = "rgba(128, 138, 144, 0.22)"
SHADE = "rgba(128, 138, 144, 0.10)"
ACCENT_BAND = "rgba(18, 144, 142, 0.18)"
RED_BAND = "rgba(210, 72, 62, 0.16)"

# Okabe and Ito (2008), without black and the yellow that vanishes on white, with four companions.
TOPIC_COLORS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#A89B00",
    "#7E6BB5",
    "#8C564B",
    "#6BA800",
)
OTHER = "#9AA2A7"


def topic_colors(topics: Sequence[Mapping[str, object]]) -> dict[int, str]:
    """Give the ten largest main topics a colour each; new ones come first, as they are what is looked for.

    Parameters
    ----------
    topics : rows with topic_id, level and state, largest first; ``fresh`` marks those of the last two weeks.

    Returns
    -------
    dict
        Colour by topic id. The order is that of the ids, so that a topic that grows does not swap colours.
    """
    main = [row for row in topics if row["level"] == 0]
    fresh = [row for row in main if row["state"] == "provisional" or row.get("fresh")][:3]
    chosen = [*fresh, *(row for row in main if row not in fresh)][: len(TOPIC_COLORS)]
    ids = sorted(int(str(row["topic_id"])) for row in chosen)
    return dict(zip(ids, TOPIC_COLORS, strict=False))
