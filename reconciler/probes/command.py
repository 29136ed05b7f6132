"""The command probe: a program in the live release's folder that ends with 0, as the operator allows it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from reconciler.core.allowance import CommandAllowance, not_allowed
from reconciler.core.running import HealthSpec
from reconciler.errors import PolicyDenied
from reconciler.machine import jobs
from reconciler.machine.programs import Ended, run
from reconciler.model import EnvironmentName, Probed
from reconciler.ports import Clock, Job, Parts, Probe
from reconciler.probes.network import Deadline

KEY = "probes.command.allow"
OUTPUT_BYTES = 4 * 1024
"""As much of what it prints is kept while it runs; nothing of it is shown."""
GRACE_SECONDS = 1.0
"""Between SIGTERM and SIGKILL for one that does not end in time."""


class Options(BaseModel):
    """What the operator allows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow: tuple[CommandAllowance, ...] = Field(
        (), max_length=1_000, description="which commands environments may have run; none by default"
    )


def create(options: Mapping[str, object], parts: Parts) -> Probe:
    """The adapter's entry point.

    Raises:
        pydantic.ValidationError: The options are not those above.
    """
    return CommandProbe(Options.model_validate(dict(options)), parts.clock)


class CommandProbe:
    """Runs one program; nothing that it started is left running."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._allow = options.allow
        self._clock = clock

    def allow(self, environment: EnvironmentName, spec: HealthSpec) -> None:
        """See `ports.Probe`."""
        argv = spec.command or ()
        if not any(rule.covers(environment) and rule.names(argv) for rule in self._allow):
            what = f"be asked for its health by the command {' '.join(argv)}"
            raise not_allowed(environment, what, KEY, {"argv": list(argv)})

    def probe(self, spec: HealthSpec, job: Job) -> Probed:
        """See `ports.Probe`."""
        argv, deadline = spec.command or (), Deadline.of(self._clock, spec.timeout_seconds)
        try:
            self.allow(job.environment, spec)
            started = (jobs.program(argv[0], job.folder), *argv[1:])
            variables = jobs.variables(job)
            ended = run(
                self._clock, started, job.folder, variables, deadline.seconds, OUTPUT_BYTES, grace=GRACE_SECONDS
            )
        except PolicyDenied as no:
            return Probed(False, no.message)
        except jobs.NoProgram as problem:
            return Probed(False, str(problem))
        except OSError as error:
            return Probed(False, f"{argv[0]} can't be started: {error.strerror}")
        return _judged(ended, deadline)


def _judged(ended: Ended, deadline: Deadline) -> Probed:
    if ended.code == 0:
        return Probed(True, f"ended with 0 in {deadline.took}")
    if ended.code is None:
        said = f"did not end in {deadline.seconds:g} s" if ended.timed_out else "was stopped"
    elif ended.code < 0:
        said = f"was ended by signal {-ended.code} in {deadline.took}"
    else:
        said = f"ended with {ended.code} in {deadline.took}"
    return Probed(False, said)  # not what it printed: it may have read its secrets from the delivered file
