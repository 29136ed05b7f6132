"""`python -m reconciler`, and the `reconciler` script."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line; what a stream can't encode is spelled out rather than refused."""
    # Nothing that happens to be installed takes part in reading declarations; to look for it takes a while, too.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    from reconciler.cli.app import main as run

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this: nobody wants to read it
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        getattr(sys, name).reconfigure(errors="backslashreplace")
    run()


if __name__ == "__main__":
    main()
