"""Checks the notebooks, or executes them over a data folder.

``python scripts/notebooks.py check`` fails on a notebook that was not executed in order, holds an error or a path
of somebody's machine, or is large. ``python scripts/notebooks.py run FOLDER [--write]`` executes all of them over
the store of that folder; ``--write`` keeps the outputs.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
LARGEST_BYTES = 1_000_000
CELL_TIMEOUT_S = 300
OF_A_MACHINE = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|Users|private|mnt)/")


def problems(path: Path) -> list[str]:
    """What is wrong with a notebook as it is stored."""
    found = []
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        found.append("its cells were not executed once, from top to bottom")
    if any(output.output_type == "error" for cell in code for output in cell.outputs):
        found.append("a cell ended with an error")
    if not notebook.cells or not notebook.cells[0].source.startswith("# "):
        found.append("its first cell is no title")
    if path.stat().st_size > LARGEST_BYTES:
        found.append(f"it is larger than {LARGEST_BYTES:,} bytes")
    if OF_A_MACHINE.search(path.read_text("utf-8")):
        found.append("it holds a path of a machine")
    return [f"{path.relative_to(ROOT)}: {problem}" for problem in found]


def run(path: Path, folder: Path, *, write: bool) -> str:
    """Execute a notebook; returns what went wrong, empty when nothing did."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=CELL_TIMEOUT_S, resources={"metadata": {"path": str(ROOT)}})
    start = time.monotonic()
    try:
        client.execute(env={**os.environ, "UNDERTOW_DATA_DIR": str(folder.resolve())})
    except CellExecutionError as error:
        return f"{path.name}: {error}"
    print(f"{path.name}: {len(notebook.cells)} cells in {time.monotonic() - start:.0f} s")
    if write:
        for cell in notebook.cells:
            # When a cell ran is no news, and would change the file each time.
            cell.metadata.pop("execution", None)
        nbformat.write(notebook, path)
    return ""


def main() -> int:
    """Check or run every notebook."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("check")
    running = verbs.add_parser("run")
    running.add_argument("folder", type=Path)
    running.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    found: list[str] = []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if arguments.verb == "check":
            found += problems(path)
        elif problem := run(path, arguments.folder, write=arguments.write):
            found.append(problem)
    print("\n".join(found), end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
