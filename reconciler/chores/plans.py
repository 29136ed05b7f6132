"""Plans on open pull requests: what merging each would do is told there, and told again when it is something else.

Level-based: whatever was missed, or lost in a crash, is made up for by the next call. While no reference of a request,
no environment's state and no tip moves, a call costs one `ls-remote` and one question to the store. A request that
could not be planned or told is tried again later and later, and keeps no other one waiting.

What nothing tells us of is not seen before the next move: a request that is opened again, or pointed at another branch
without a push. A webhook tells us; then `look_again` is called.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from reconciler.declarations.catalog import Catalog
from reconciler.errors import Reason, ReconcilerError
from reconciler.model import CommitId, EnvironmentName, OpenRequest, ToldPlan
from reconciler.pipeline import World
from reconciler.planning.request import PlannedRequest, make
from reconciler.ports import PullRequests

PLANNED = 50
"""Requests that one call plans; the rest is planned by the next ones."""
RETRY_SECONDS = 30.0
"""Seconds before what may pass by itself is planned again; doubled for each further time."""
LONGEST_RETRY_SECONDS = 1_800.0
_UNAVAILABLE = 3
"""Times in a row that the forge may be out of reach before a call gives up."""
_TRANSITIONS = 1_000


@dataclass(frozen=True, slots=True)
class _Known:
    """One request as it was planned last."""

    head: CommitId
    tip: CommitId
    concerns: frozenset[EnvironmentName]
    due: datetime | None
    """When it is planned again even if nothing moves."""
    failures: int
    """Times in a row that something which may pass by itself stood in the way."""


class Plans:
    """Tells plans on requests; for one thread.

    Args:
        world: The parts.
        branch: The tracked branch.
        spool: A folder for temporary copies.
        pull_requests: Where they are told.
    """

    def __init__(self, world: World, branch: str, spool: Path, pull_requests: PullRequests) -> None:
        self._world = world
        self._branch = branch
        self._spool = spool
        self._pull_requests = pull_requests
        self._open: tuple[OpenRequest, ...] = ()
        self._listed_at: tuple[Mapping[str, CommitId], CommitId] | None = None
        """The references and the tip when the open requests were listed last."""
        self._known: dict[int, _Known] = {}
        self._transition: int | None = None
        """The newest change of an environment's state that was taken into account."""
        self._asked = threading.Event()

    def look_again(self) -> None:
        """Something may have changed that moves no reference, a request or CI: the next call looks. From any thread."""
        self._asked.set()

    def tell(self) -> None:
        """Make what is told on every open request what it should be.

        Raises:
            ReconcilerError: What kept some of it from being told; the rest was told.
        """
        tip = self._world.store.tip()
        if tip is None:
            return
        if self._asked.is_set():
            self._asked.clear()
            self._listed_at = None
            self._make_due(lambda known: known.failures > 0)
        references = self._world.repository.references(self._pull_requests.references)
        self._notice_transitions()
        if self._listed_at != (references, tip):
            self._list((references, tip))
        now = self._world.clock.now()
        waiting = [request for request in self._open if self._is_due(request, tip, now)]
        if waiting:
            self._tell_each(waiting[:PLANNED], tip)

    def _list(self, at: tuple[Mapping[str, CommitId], CommitId]) -> None:
        """Every open request; those that are closed are forgotten."""
        self._open = self._pull_requests.open()
        numbers = {request.number for request in self._open}
        for number in self._world.store.told_plans():
            if number not in numbers:
                self._world.store.save_told_plan(number, None)
        self._known = {number: known for number, known in self._known.items() if number in numbers}
        self._listed_at = at

    def _notice_transitions(self) -> None:
        """What speaks of an environment that changed is planned again."""
        store = self._world.store
        if self._transition is None:
            self._transition = max((one.id for one in store.transitions(limit=1)), default=0)
            return
        found = store.transitions(after=self._transition, limit=_TRANSITIONS)
        if not found:
            return
        self._transition = max(one.id for one in found)
        changed = {one.environment for one in found}
        self._make_due(lambda known: len(found) == _TRANSITIONS or bool(known.concerns & changed))

    def _make_due(self, which: Callable[[_Known], bool]) -> None:
        now = self._world.clock.now()
        self._known = {n: replace(known, due=now) if which(known) else known for n, known in self._known.items()}

    def _is_due(self, request: OpenRequest, tip: CommitId, now: datetime) -> bool:
        known = self._known.get(request.number)
        if known is None or (known.head, known.tip) != (request.head, tip):
            return True
        return known.due is not None and known.due <= now

    def _tell_each(self, requests: list[OpenRequest], tip: CommitId) -> None:
        told, first, unavailable = self._world.store.told_plans(), None, 0
        for request in requests:
            try:
                self._tell_one(request, tip, told.get(request.number))
                unavailable = 0
            except Exception as error:  # noqa: BLE001 - one request must not stop the others
                first = first or error
                reason = error.reason if isinstance(error, ReconcilerError) else None
                unavailable = unavailable + 1 if reason is Reason.FORGE_UNAVAILABLE else 0
                self._later(request, tip)
                if reason is Reason.STORE_UNAVAILABLE or unavailable == _UNAVAILABLE:
                    break
        if first:
            raise first

    def _tell_one(self, request: OpenRequest, tip: CommitId, told: ToldPlan | None) -> None:
        catalog = Catalog(self._world.repository, self._world.bounds)
        made = make(self._world, catalog, self._branch, self._spool, request, remember=True)
        if told is None or (told.head, told.content) != (request.head, made.content):
            self._pull_requests.show(made.notice)
            artifacts = made.artifacts
            if made.plan is None and told and told.head == request.head:
                artifacts = told.artifacts  # of the plan that could be made before
            now_told = ToldPlan(request.number, request.head, made.content, artifacts)
            self._world.store.save_told_plan(request.number, now_told)
        self._remember(request, tip, made)

    def _remember(self, request: OpenRequest, tip: CommitId, made: PlannedRequest) -> None:
        before = self._known.get(request.number)
        failures = (before.failures if before and before.head == request.head else 0) + 1 if made.passing else 0
        times = [at for at in (made.not_before, self._retry_at(failures)) if at]
        self._known[request.number] = _Known(request.head, tip, made.concerns, min(times) if times else None, failures)

    def _later(self, request: OpenRequest, tip: CommitId) -> None:
        """It could not be told: again after a while, whatever else."""
        before = self._known.get(request.number)
        failures = (before.failures if before else 0) + 1
        self._known[request.number] = _Known(request.head, tip, frozenset(), self._retry_at(failures), failures)

    def _retry_at(self, failures: int) -> datetime | None:
        if not failures:
            return None
        seconds = min(LONGEST_RETRY_SECONDS, RETRY_SECONDS * 2.0 ** min(failures - 1, 30))
        return self._world.clock.now() + timedelta(seconds=seconds)
