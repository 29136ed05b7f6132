"""An environment that another one promotes from, looked at now: what it declares, or once ran, proves nothing."""

from __future__ import annotations

from reconciler.core.declare import Declaration
from reconciler.core.promotion import Upstream
from reconciler.errors import ReconcilerError
from reconciler.model import EnvironmentName
from reconciler.pipeline.fleet import Fleet
from reconciler.pipeline.home import Home, find_home, trouble
from reconciler.pipeline.living import checked, unseen, unwell, with_unit
from reconciler.pipeline.world import World


def look(world: World, fleet: Fleet, name: EnvironmentName, declaration: Declaration) -> Upstream:
    """What runs there, whether it is healthy, and how long it was seen so.

    Args:
        world: The parts.
        fleet: Knows its file, the revocations, and its soak, for which this look counts.
        name: The environment before.
        declaration: Of the environment behind, which wants the same files.

    Raises:
        ReconcilerError: Nobody can tell what is revoked, or `StoreUnavailable`.
    """
    file = fleet.catalog.get(name)
    try:
        home = find_home(world, file)
    except ReconcilerError as error:
        fleet.soaks.lost_sight(name)
        status = world.store.statuses().get(name)
        return Upstream(name, status.live if status else None, f"it can't be looked at: {error.message}")
    if home is None:
        return Upstream(name, None)
    home = with_unit(world, name, home)
    word = checked(fleet.checks, home.target, name, home)
    wrong = trouble(home) or _revoked(fleet, home)
    if not wrong and unseen(home, word):
        fleet.soaks.lost_sight(name)
        return Upstream(name, home.observed.live, unwell(home, word))
    wrong = wrong or unwell(home, word)
    soak = fleet.soaks.see(name, home, healthy=not wrong)
    return Upstream(name, home.observed.live, wrong or _unlike(home, declaration), soak)


def _revoked(fleet: Fleet, home: Home) -> str:
    live = home.observed.live
    revoked = fleet.rulebook.rules().revoked(live.run_id, live.sha256) if live else None
    return f"it is revoked: {revoked.reason}" if revoked else ""


def _unlike(home: Home, declaration: Declaration) -> str:
    """Why what is live there proves nothing here, though it is well."""
    there = home.reading.declaration if home.reading else None
    if there and there.artifact.unpack != declaration.artifact.unpack:
        return f"there it is unpacked as {there.artifact.unpack}, and here as {declaration.artifact.unpack}"
    return ""
