"""Every read of the dashboard, by name. ``{scope}`` stands for the predicate of the filters over ``interactions i``."""

from collections.abc import Mapping

from dashboard.queries import common, detail, drift, operations, overview, quality, safety, topics, trust

NAMED: Mapping[str, str] = {
    **common.NAMED,
    **overview.NAMED,
    **topics.NAMED,
    **quality.NAMED,
    **trust.NAMED,
    **detail.NAMED,
    **drift.NAMED,
    **operations.NAMED,
    **safety.NAMED,
}
