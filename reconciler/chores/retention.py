"""Which artifacts must stay in custody: what is declared, live, or kept for rollback, anywhere; and what an open pull
request would deploy, as CI may throw it away before the merge.

Undecidable means no change: while one environment can't be looked at, nothing is removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.declarations.catalog import Catalog
from reconciler.errors import Reason, ReconcilerError, Transient
from reconciler.model import Digest, EnvironmentName
from reconciler.pipeline.home import find_home
from reconciler.pipeline.world import World


def collect(world: World, catalog: Catalog) -> int:
    """Remove copies that no environment needs; returns how many.

    Raises:
        ReconcilerError: An environment can't be looked at, or custody can't be written; nothing was removed.
    """
    if catalog.tip is None or catalog.rewritten:
        return 0
    environments = {*catalog.environments, *world.store.statuses()}
    return world.custody.collect(frozenset(_needed(world, catalog, environments)))


def _needed(world: World, catalog: Catalog, environments: Iterable[EnvironmentName]) -> Iterator[Digest]:
    for told in world.store.told_plans().values():
        yield from told.artifacts
    for environment in environments:
        file = catalog.get(environment)
        if file.reading and file.reading.declaration:
            yield file.reading.declaration.sha256
        home = find_home(world, file)
        if home is None and file.reading is None and world.store.accepted(environment) is None:
            continue  # gone before anything of it was ever let in
        if home is None:
            raise _unknown(environment)
        if home.accepted:
            yield home.accepted.sha256
        service = home.observed.service
        if service and service.good:
            yield service.good.sha256
        for release in home.observed.retained:
            yield release.sha256


def _unknown(environment: EnvironmentName) -> ReconcilerError:
    message = f"nobody can tell where {environment} lives, so no artifact is removed from custody"
    return Transient(Reason.INVALID_DECLARATION, message)
