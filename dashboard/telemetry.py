"""What the pages say about the telemetry itself; read with every new version of the data, without any analysis."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard import data
from dashboard.filters import Filters
from undertow import telemetry_report as reports
from undertow.telemetry_report import Attribute, Event, Source, Suspect, WithoutContent


@dataclass(frozen=True)
class Unread:
    """What no dialect read, over the newest ``sampled`` of ``stored`` spans."""

    sampled: int
    stored: int
    sources: tuple[Source, ...]
    attributes: tuple[Attribute, ...]
    events: tuple[Event, ...]
    suspects: tuple[Suspect, ...]


def without_content(filters: Filters) -> list[WithoutContent]:
    """Instrumentations whose newest calls arrive without text, of the chosen service and environment."""
    after = int(data.read("arrived_after", within_s=reports.RECENT_S)["after"].iloc[0])
    found = reports.without_content_of(data.rows("without_content", after=after))
    return [
        item
        for item in found
        if filters.service in (None, item.service) and filters.environment in (None, item.environment)
    ]


def unread(filters: Filters) -> Unread:
    """Attributes, events and scopes that no dialect understood, of the chosen service."""
    sample = data.rows("telemetry_sample", after=0, limit=reports.SAMPLE_SPANS)[0]
    after = int(sample["after"] or 0)
    chosen = [
        [row for row in data.rows(name, after=after) if filters.service in (None, row["service_name"])]
        for name in ("telemetry_sources", "unmapped", "unread_events")
    ]
    sources = reports.sources_of(chosen[0])
    attributes = reports.attributes_of(chosen[1], sources)
    events = reports.events_of(chosen[2])
    suspects = reports.suspects_of(attributes, events, sources)
    return Unread(sum(s.spans for s in sources), int(sample["spans"]), sources, attributes, events, suspects)
