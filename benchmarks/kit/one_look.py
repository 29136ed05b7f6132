"""The first look of a new process, in seconds: `python -m benchmarks.kit.one_look SETTINGS COUNT`."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.kit.sides import seconds
from reconciler import wiring
from reconciler.machine import statefolder
from reconciler.settings import load


def main() -> None:
    """Print the seconds."""
    settings = load(Path(sys.argv[1]))
    store = wiring.open_store(settings)
    with statefolder.exclusive(settings.state):
        system = wiring.build(settings, store)
        print(seconds(system.tracker.look))
    found = len(list(system.catalog.environments))
    if found != int(sys.argv[2]):
        sys.exit(f"{found} environments were found, wanted {sys.argv[2]}")


if __name__ == "__main__":
    main()
