"""How many environments can be deployed in the time that a benchmark may take for its preparation.

The full sizes are the ones of the goals. On a machine where deploying them would take many minutes, fewer are taken and
the table says how many, unless somebody is patient (`--patient`).
"""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

from benchmarks.kit.fleet import SHARED_RUN, Fleet, wait_live
from benchmarks.kit.sides import seconds, tell

_TRIED = 150
_WITHIN = 120.0
_ROUND = 100


def affordable(place: Path, wanted: int, budget: float) -> int:
    """As many environments as can be deployed in `budget` seconds here, at most `wanted`."""
    found = min(wanted, int(per_second(place) * budget) // _ROUND * _ROUND)
    if found < wanted:
        tell(f"{found:,} environments instead of {wanted:,}: more would take over {budget:.0f} s (--patient takes all)")
    return max(found, _ROUND)


@cache
def per_second(place: Path) -> float:
    """How many environments the daemon deploys in a second."""
    folder = Path(tempfile.mkdtemp(dir=place))
    site = Fleet(folder / "site", _TRIED)
    wanted = [(site.live / name / "current", SHARED_RUN) for name in site.names]
    with site.daemon() as daemon:
        spent = seconds(lambda: wait_live(daemon, wanted, _WITHIN, site.log))
    shutil.rmtree(folder)
    return _TRIED / spent
