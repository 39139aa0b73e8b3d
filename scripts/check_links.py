"""Fails when a Markdown file of the project links to a file or a heading that does not exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"```.*?```", re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Headings of a page, as its renderer names them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def dead_links(path: Path) -> list[str]:
    """Links of a page that lead nowhere."""
    found = []
    for target in LINK.findall(FENCE.sub("", path.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        other = (path.parent / name).resolve() if name else path
        if not other.exists() or (anchor and other.suffix == ".md" and anchor not in anchors(other)):
            found.append(f"{path.relative_to(ROOT)}: {target}")
    return found


def main() -> int:
    """Check every tracked page."""
    listed = subprocess.run(  # noqa: S603 - a fixed command
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],  # noqa: S607 - git from the path
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    dead = [link for name in listed.stdout.split() for link in dead_links(ROOT / name)]
    print("\n".join(dead) or "no dead links")
    return bool(dead)


if __name__ == "__main__":
    sys.exit(main())
