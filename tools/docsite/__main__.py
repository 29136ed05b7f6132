"""`python -m tools.docsite write | build [FOLDER]`: the tables in the checkout, or the site."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.docsite import pages, site
from tools.docsite.places import BUILD

_USAGE = "usage: python -m tools.docsite write | build [FOLDER]"


def main(arguments: list[str]) -> int:
    """Do what is asked; returns the exit code."""
    match arguments:
        case ["write"]:
            for name in pages.write():
                print(f"docs/{name}")
            return 0
        case ["build", *folders] if len(folders) < 2:
            return build(Path(folders[0]) if folders else BUILD)
    print(_USAGE, file=sys.stderr)
    return 2


def build(folder: Path) -> int:
    """Build, and tell what is wrong."""
    found = site.build(folder)
    for line in found:
        print(line, file=sys.stderr)
    print(folder / "site" / "index.html" if not found else f"docs: {len(found)} problems", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
