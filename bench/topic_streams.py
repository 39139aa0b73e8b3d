"""Whether the history of topics is true where subjects part or join slowly: a stream of made-up vectors, week by week.

Usage: ``python bench/topic_streams.py``. Eight subjects are steady, two part, or join, over one to six weeks of 600
messages and stay so for two more; the model is refitted every week. Printed are the streams out of six in which each
kind of event was told at all, and those at whose end the two subjects, or the one, are topics.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np

from analysis.topics import TopicModel
from analysis.topics.geometry import unit_rows

AXES, EACH, STEADY, NOISE = 32, 60, 8, 0.08
RUNS, SLOWEST = 6, 6
FIRST_SEED = 1000


def week(apart: float, rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
    """Messages of the steady subjects, then of two that lie ``apart`` of the way from their middle to their places."""
    places = np.eye(AXES)
    middle = unit_rows((places[0] + places[1])[None])[0]
    two = [middle + apart * (places[own] - middle) for own in (0, 1)]
    X = np.repeat(unit_rows(np.vstack([places[2 : 2 + STEADY], two])), EACH, axis=0)
    said = rng.integers(97, 123, size=(len(X), 12)).astype(np.uint8)
    texts = [f"subject{chr(97 + i // EACH)} {bytes(word).decode()}" for i, word in enumerate(said)]
    return X + NOISE * rng.normal(size=X.shape), texts


def told(course: Sequence[float], seed: int) -> tuple[set[str], bool]:
    """Return the kinds of events over all weeks, and whether the topics at the end are right."""
    rng = np.random.default_rng(seed)
    model = TopicModel().fit(*week(course[0], rng))
    kinds: set[str] = {event.kind for apart in course[1:] for event in model.refit(*week(apart, rng)).events_}
    ids = model.assign(week(course[-1], rng)[0])[0][-2 * EACH :].reshape(2, EACH)
    first, second = (int(np.bincount(row + 1).argmax()) - 1 for row in ids)
    return kinds, min(first, second) >= 0 and (first != second) == (course[-1] == 1.0)


def main() -> int:
    for weeks in range(SLOWEST + 1):
        parting = [*np.linspace(0.0, 1.0, weeks + 1).tolist(), 1.0, 1.0] if weeks else [1.0] * 5
        for what, course in (("split", parting), ("merge", [1.0 - apart for apart in parting])):
            runs = [told(course, FIRST_SEED + seed) for seed in range(RUNS)]
            counts = Counter(kind for kinds, _ in runs for kind in kinds)
            name = f"{what} over {weeks} weeks" if weeks else f"nothing, after a {what}"
            print(
                f"{name:<24}told in {dict(sorted(counts.items()))}; topics right in {sum(r for _, r in runs)} of {RUNS}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
