"""How reliably the demo's planted events are found: several seeds, each a full run.

    python bench/demo.py [--seeds 10] [--until 2026-11-22]

Prints a row per seed, then the share of planted events found (goal 95 %) and the alarms that were not planted,
beside the number that the stated false-discovery rate allows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

JUDGED_DAYS = 35  # days with enough of a past to be compared with


def play(seed: int, until: str | None, folder: Path) -> dict[str, Any]:
    """Run one demo and return its report."""
    command = [sys.executable, "-m", "undertow", "demo", "--headless", "--json", "--seed", str(seed)]
    command += ["--folder", str(folder / "demo"), *(["--until", until] if until else [])]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(f"seed {seed} failed with {done.returncode}:\n{done.stderr[-2000:]}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def main() -> None:
    """Run all seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--until")
    options = parser.parse_args()
    found = planted = unplanted = 0
    print(f"{'seed':>4}  {'found':>7}  {'required':>8}  {'unplanted':>9}  {'seconds':>7}  missed")
    for seed in range(1, options.seeds + 1):
        with tempfile.TemporaryDirectory() as folder:
            report = play(seed, options.until, Path(folder))
        events = [event for event in report["events"] if event["found"] is not None]
        hits = [event for event in events if event["found"]]
        required = [event for event in events if event["required"]]
        missed = [event["kind"] for event in events if not event["found"]]
        extra = report["unplanted"]
        found, planted, unplanted = found + len(hits), planted + len(events), unplanted + len(extra)
        needed = f"{sum(event['found'] for event in required)}/{len(required)}"
        print(
            f"{seed:>4}  {len(hits):>3}/{len(events):<3}  {needed:>8}  {len(extra):>9}"
            f"  {sum(report['seconds'].values()):>7.0f}  {', '.join(missed)}",
            flush=True,
        )
        for alarm in extra:
            print(f"      unplanted: {alarm['sentence'][:150]}", flush=True)
    allowed = 0.01 * JUDGED_DAYS * options.seeds
    print(f"found {found}/{planted} = {found / planted:.0%}")
    print(f"unplanted alarms {unplanted}; the drift tests alone may raise {allowed:.1f}")


if __name__ == "__main__":
    main()
