"""`python -m reconciler`, and the `reconciler` script."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; what a stream can't encode is spelled out rather than refused."""
    from reconciler.cli.app import main as run

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    run()


if __name__ == "__main__":
    main()
