"""Every read of the dashboard, by name. ``{scope}`` stands for the predicate of the filters over ``interactions i``."""

from collections.abc import Mapping

from dashboard.queries import common, detail, operations, overview, quality, topics

NAMED: Mapping[str, str] = {
    **common.NAMED,
    **overview.NAMED,
    **topics.NAMED,
    **quality.NAMED,
    **detail.NAMED,
    **operations.NAMED,
}
