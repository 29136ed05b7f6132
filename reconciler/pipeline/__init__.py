"""ONE pass for ONE environment, in the order of the way of the data.

`run.py` is the table of contents and holds the effects; `gates.py` brings the facts to each gate of
`core`; `home.py` finds out where the environment lives and what is there; `record.py` says where it
stands. `world.py` names the ports that a pass touches; it knows no adapter, thread or schedule.
"""

from __future__ import annotations

from reconciler.pipeline.record import internal_error, unrecorded
from reconciler.pipeline.run import Pass
from reconciler.pipeline.world import Fence, World

__all__ = ["Fence", "Pass", "World", "internal_error", "unrecorded"]
