"""Pull requests that are open in the fake world, and what is told on them."""

from __future__ import annotations

from reconciler.model import CommitId, OpenRequest, PlanNotice
from tests.simulation.faults import Faults


class FakePullRequests:
    """`ports.PullRequests` in memory."""

    references = "refs/pull/*/head"

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.requests: dict[int, OpenRequest] = {}
        self.shown: dict[int, PlanNotice] = {}

    def ask(self, number: int, head: CommitId) -> OpenRequest:
        """Somebody opens a request, or pushes to it."""
        self.requests[number] = OpenRequest(number, head, f"refs/pull/{number}/head", "a change", "")
        return self.requests[number]

    def open(self) -> tuple[OpenRequest, ...]:
        self._faults.at("forge:open")
        return tuple(self.requests.values())

    def get(self, number: int) -> OpenRequest | None:
        self._faults.at("forge:get")
        return self.requests.get(number)

    def show(self, notice: PlanNotice) -> None:
        self._faults.at("forge:show")
        self.shown[notice.number] = notice
