"""What the last benchmarks measured of ours, for the page that says how large a machine has to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_ASKED = ("merge_to_live", "polling", "starting", "fleet", "drift")
"""Benchmarks whose figures are of use to who chooses a machine; the others compare."""


def sizing(measured: Path) -> str:
    """A table of the figures, and where they were taken.

    Raises:
        OSError: There are no figures.
    """
    found: list[dict[str, Any]] = json.loads(measured.read_text())
    benchmarks = [one for one in found if one["name"] in _ASKED]
    lines = ["| work | takes |", "| --- | --- |"]
    for one in benchmarks:
        lines.append(f"| **{one['title']}** | |")
        lines += [f"| {row['work']} | {row['ours']:.3g} {row['unit']} |" for row in one["rows"]]
    places = sorted({one["where"] for one in benchmarks})
    return "\n".join([*lines, "", *(f"*{place}*\n" for place in places)])
