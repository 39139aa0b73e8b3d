"""Run one peer's detector on stored windows; started by ``drift.py`` in the peer's own environment.

Prints one line a setting: label, processor seconds of one comparison, alarms on nulls, alarms on changes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

Detector = Callable[[np.ndarray, np.ndarray], bool]


def evidently() -> Iterator[tuple[str, Detector]]:
    import pandas as pd
    from evidently.legacy.metrics.data_drift import (  # type: ignore[import-not-found]  # peer's environment only
        embedding_drift_methods as methods,
    )

    def detector(method: Callable[..., object]) -> Detector:
        def detect(reference: np.ndarray, current: np.ndarray) -> bool:
            found = method(pd.DataFrame(current), pd.DataFrame(reference))
            return bool(found[1])  # type: ignore[index]  # the peer has no types

        return detect

    yield "evidently model", detector(methods.model())
    yield "evidently ratio", detector(methods.ratio())
    yield "evidently distance", detector(methods.distance())
    yield "evidently mmd", detector(methods.mmd())


def alibi_detect() -> Iterator[tuple[str, Detector]]:
    from alibi_detect.cd import MMDDrift  # type: ignore[import-not-found]  # peer's environment only

    def detect(reference: np.ndarray, current: np.ndarray) -> bool:
        return bool(MMDDrift(reference, backend="pytorch").predict(current)["data"]["is_drift"])

    yield "alibi-detect MMD", detect


def main() -> None:
    windows = np.load(sys.argv[2])
    half = len(windows["reference"]) // 2
    for label, detect in {"evidently": evidently, "alibi-detect": alibi_detect}[sys.argv[1]]():
        started = time.process_time()
        alarms = [detect(*pair) for pair in zip(windows["reference"], windows["current"], strict=True)]
        seconds = (time.process_time() - started) / len(alarms)
        print(f"{label}\t{seconds:.3f}\t{sum(alarms[:half])}\t{sum(alarms[half:])}", flush=True)


if __name__ == "__main__":
    main()
