"""Compiles what the clustering engines need, once: ``python -m analysis.topics.warm``.

evoc and umap are compiled by numba on first use, about a minute and a half in all, and keep the machine code on
disk: in ``NUMBA_CACHE_DIR`` if set, else beside the package's source if that folder can be written, else in the
user's cache folder. Where none of the three can be written (a read-only container without a home), every
process compiles again or fails to import; `check_cache` says so, and naming a writable ``NUMBA_CACHE_DIR``
cures it. What umap compiles at run time has no disk cache: its first layout in each process takes some seconds
more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# Loading compiled code and one layout took 15 s on a busy two-core machine; compiling everything took 100 s.
SLOWEST_CACHED_S = 40.0

_PROBE = """
import json, time
start = time.perf_counter()
from analysis.topics.warm import exercise
exercise()
print(json.dumps(time.perf_counter() - start))
"""


@dataclass(frozen=True)
class CacheCheck:
    """Whether compiled code survives a process.

    Attributes
    ----------
    persists
        True when a new process found the compiled code.
    folder
        Where numba keeps it; None where no candidate can be written.
    seconds
        Wall time of a new process's import and first fits.
    sentence
        The same in words, with what to do.
    """

    persists: bool
    folder: Path | None
    seconds: float
    sentence: str


def exercise() -> None:
    """Run every engine and the map once on synthetic rows, with the shapes and types of real use."""
    import numpy as np

    from analysis.topics.clusterers import CLUSTERERS
    from analysis.topics.geometry import unit_rows
    from analysis.topics.map import TopicMap

    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(6, 32)), 50, axis=0)
    X = unit_rows(centres + 0.3 * rng.normal(size=centres.shape))
    for engine in CLUSTERERS:
        engine(min_cluster_size=5, seed=0).fit_predict(X)
    TopicMap().fit(X)


def cache_folder() -> Path | None:
    """Return the folder in which numba keeps compiled code of evoc, or None where it can write nowhere."""
    from importlib.util import find_spec

    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        return Path(named) if _writable(Path(named)) else None
    spec = find_spec("evoc")
    if spec is not None and spec.origin is not None:
        beside = Path(spec.origin).parent / "__pycache__"
        if _writable(beside):
            return beside
    user = _user_folder()
    return user if _writable(user) else None


def _user_folder() -> Path:
    from importlib import import_module

    # The same function that numba asks; it carries no types.
    return Path(str(import_module("numba.misc.appdirs").user_cache_dir("numba", appauthor=False)))


def _writable(folder: Path) -> bool:
    """Say whether files can be created in ``folder``, or in the nearest parent that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


def check_cache() -> CacheCheck:
    """Time a new process, and say whether it found the compiled code."""
    folder = cache_folder()
    done = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, check=False)  # noqa: S603 (our own interpreter, constant code)
    seconds = float(json.loads(done.stdout.splitlines()[-1])) if done.returncode == 0 else float("inf")
    persists = seconds <= SLOWEST_CACHED_S
    if persists:
        sentence = f"Compiled code persists in {folder}; a new process is ready in {seconds:.1f} s."
    elif folder is None:
        sentence = "No folder for compiled code can be written; set NUMBA_CACHE_DIR to one that can."
    else:
        sentence = (
            f"Compiled code does not persist in {folder} ({seconds:.0f} s in a new process); "
            "set NUMBA_CACHE_DIR to a folder that every process can write."
        )
    return CacheCheck(persists, folder, seconds, sentence)


def main() -> int:
    """Compile, check that it lasts, print one line for each; return the exit code."""
    start = time.perf_counter()
    exercise()
    print(f"Clustering engines compiled or loaded in {time.perf_counter() - start:.1f} s.")
    check = check_cache()
    print(check.sentence)
    return 0 if check.persists else 1


if __name__ == "__main__":
    sys.exit(main())
