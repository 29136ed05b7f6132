"""The tcp probe: whether a port takes a connection, which is closed at once. Nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from pydantic import BaseModel, ConfigDict, Field

from reconciler.core.running import HealthSpec
from reconciler.errors import PolicyDenied
from reconciler.model import EnvironmentName, Probed
from reconciler.ports import Clock, Job, Parts, Probe
from reconciler.probes import hosts
from reconciler.probes.network import Deadline, Names, Unanswered, connect, told

KIND = "tcp"


class Options(BaseModel):
    """What the operator allows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow: tuple[hosts.HostsAllowance, ...] = Field(
        (), max_length=1_000, description="which hosts and ports environments may have asked; none by default"
    )


def create(options: Mapping[str, object], parts: Parts) -> Probe:
    """The adapter's entry point.

    Raises:
        pydantic.ValidationError: The options are not those above.
    """
    return TcpProbe(Options.model_validate(dict(options)), parts.clock)


class TcpProbe:
    """Connects, and closes the connection."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._allow = options.allow
        self._clock = clock
        self._names = Names()
        self._place = lru_cache(hosts.REMEMBERED)(self._allowed)

    def allow(self, environment: EnvironmentName, spec: HealthSpec) -> None:
        """See `ports.Probe`."""
        self._place(environment, spec.tcp or "")

    def probe(self, spec: HealthSpec, job: Job) -> Probed:
        """See `ports.Probe`."""
        deadline = Deadline.of(self._clock, spec.timeout_seconds)
        try:
            connect(self._names, self._place(job.environment, spec.tcp or ""), deadline).close()
        except PolicyDenied as no:
            return Probed(False, no.message)
        except Unanswered as trouble:
            return Probed(False, str(trouble))
        except OSError as error:
            return Probed(False, told(error, "no connection", deadline))
        return Probed(True, f"took a connection in {deadline.took}")

    def _allowed(self, environment: EnvironmentName, address: str) -> hosts.Place:
        try:
            where = hosts.read(address)
        except ValueError as problem:
            raise hosts.unreadable(environment, KIND, problem) from None
        hosts.check(self._allow, environment, where, KIND)
        return where
