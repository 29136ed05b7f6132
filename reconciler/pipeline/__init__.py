"""ONE pass for ONE environment, in the order of the way of the data.

`planner.py` is the judgement, without effect; `run.py` carries it out: `effects.py` has the effects and their record,
`living.py` what brings a release to life, `probation.py` what its first checks decide, `scene.py` what they share.
`gates.py` brings the facts to each gate of `core`, `letting_in.py` and `changes.py` those of the file's way along the
branch, `upstream.py` those of the environments before; `home.py` finds out where it lives and what is there;
`record.py` says where it stands. `world.py` names the ports that a pass touches; `fleet.py`, with `rulebook.py` and
`soaks.py`, what concerns more than one environment; `outages.py` which sources seem to be out. None of it knows an
adapter, thread or schedule.
"""

from __future__ import annotations

from reconciler.pipeline.fleet import Fleet
from reconciler.pipeline.home import Home, trouble
from reconciler.pipeline.origin import source_name
from reconciler.pipeline.planner import Planned, Planner
from reconciler.pipeline.record import internal_error, unrecorded
from reconciler.pipeline.rulebook import Rulebook
from reconciler.pipeline.run import Pass
from reconciler.pipeline.soaks import Soaks
from reconciler.pipeline.world import Fence, World

__all__ = [
    "Fence",
    "Fleet",
    "Home",
    "Pass",
    "Planned",
    "Planner",
    "Rulebook",
    "Soaks",
    "World",
    "internal_error",
    "source_name",
    "trouble",
    "unrecorded",
]
