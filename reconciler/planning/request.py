"""One pull request, planned: its head brought here, the plan gathered, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from reconciler.core.plandoc import ChangePlan
from reconciler.declarations.catalog import Catalog
from reconciler.errors import Reason, ReconcilerError
from reconciler.model import Digest, EnvironmentName, OpenRequest, PlanNotice
from reconciler.pipeline import World
from reconciler.planning import notice
from reconciler.planning.gather import gather

_OUTSIDE = frozenset(
    {
        Reason.FORGE_UNAVAILABLE,
        Reason.SOURCE_UNAVAILABLE,
        Reason.TARGET_UNAVAILABLE,
        Reason.CUSTODY_UNAVAILABLE,
        Reason.REPOSITORY_UNAVAILABLE,
        Reason.RUN_NOT_FOUND,
        Reason.RUN_NOT_SUCCESSFUL,
        Reason.ARTIFACT_MISSING,
    }
)
"""What nobody tells us of when it is over: CI may end a run, and a machine may be there again."""


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """What came of planning one request."""

    notice: PlanNotice
    content: Digest
    """Of what is told, but for what only time changes."""
    plan: ChangePlan | None = None
    error: ReconcilerError | None = None
    """Why there is no plan."""
    concerns: frozenset[EnvironmentName] = frozenset()
    """Environments whose state it speaks of."""

    @property
    def not_before(self) -> datetime | None:
        """When a gate that holds may pass, so that it is worth planning again."""
        return notice.not_before(self.plan) if self.plan else None

    @property
    def passing(self) -> bool:
        """Whether something stands in the way that may be over at any time without our being told."""
        if self.plan is None:
            return self.error is not None and self.error.reason in _OUTSIDE
        return any(word.reason in _OUTSIDE for word in notice.held(self.plan))

    @property
    def artifacts(self) -> tuple[Digest, ...]:
        """What it would deploy."""
        return notice.artifacts(self.plan) if self.plan else ()


def make(
    world: World, catalog: Catalog, branch: str, spool: Path, request: OpenRequest, *, remember: bool = False
) -> PlannedRequest:
    """Plan one request; what keeps it from being planned is told in its place.

    Args:
        world: The parts.
        catalog: One that was not refreshed yet, and that nobody else reads.
        branch: The tracked branch.
        spool: A folder for temporary copies.
        request: An open one.
        remember: Whether what CI says of a run is remembered, so that its artifact can be deployed when CI forgot it.

    Raises:
        ReconcilerError: `StoreUnavailable`.
    """
    try:
        world.repository.retrieve(request.head, request.head_ref)
        plan = gather(world, catalog, branch, spool, request.head, remember=remember)
    except ReconcilerError as error:
        if error.reason is Reason.STORE_UNAVAILABLE:
            raise
        told = notice.of_trouble(request, branch, error)
        return PlannedRequest(told, notice.content_of(told), error=error)
    told = notice.of_plan(request, plan)
    return PlannedRequest(told, notice.content(plan), plan, concerns=_concerns(plan, catalog))


def _concerns(plan: ChangePlan, catalog: Catalog) -> frozenset[EnvironmentName]:
    """Those that it speaks of, and those that they promote from."""
    own = {one.environment for one in plan.environments} | {one.environment for one in plan.concerned}
    found = set(own)
    for name in own:
        reading = catalog.get(name).reading
        promote = reading.declaration.promote if reading and reading.declaration else None
        found |= {EnvironmentName(upstream) for upstream in promote.after} if promote else set()
    return frozenset(found)
