"""What the memory says of health, for who only looks: a plan on somebody's terminal asks no service."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from reconciler.errors import Reason
from reconciler.model import Checked, EnvironmentName, Health, HealthState, Status
from reconciler.ports import Check, Store


class Remembered:
    """`ports.Checks` out of the statuses that the daemon left; they are read once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @cached_property
    def _statuses(self) -> Mapping[EnvironmentName, Status]:
        return self._store.statuses()

    def expect(self, check: Check) -> Checked:
        """See `ports.Checks`.

        Raises:
            ReconcilerError: `StoreUnavailable`.
        """
        status = self._statuses.get(check.job.environment)
        if status is None or status.live is None or status.live.id != check.job.folder.name:
            return Checked(HealthState.WAITING, check.since)
        since = status.since or check.since
        if status.health is Health.HEALTHY:
            return Checked(HealthState.HEALTHY, since)
        if status.reason is Reason.HEALTH_CHECK_FAILED:
            state = HealthState.UNHEALTHY if check.proven else HealthState.FAILED
            return Checked(state, since, status.message)
        return Checked(HealthState.WAITING, since)

    def forget(self, environment: EnvironmentName) -> None:
        """Nothing is asked, so there is nothing to forget."""
