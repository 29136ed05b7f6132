"""Activation by a command: a program of the release or of the machine, never a shell's line.

What the command leaves running when it ends with 0 is what it was for: a service. When it fails, or takes too long,
its whole process group is ended.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from reconciler.activators.failing import failed, how, shown
from reconciler.core.allowance import CommandAllowance, not_allowed
from reconciler.core.running import ActivateSpec
from reconciler.machine import jobs
from reconciler.machine.programs import run
from reconciler.model import EnvironmentName
from reconciler.ports import Activator, Job, Parts

KEY = "activators.command.allow"


class Rule(CommandAllowance):
    """Commands that some environments may be activated by."""

    process: bool = Field(
        False,
        description="true or false: whether config and secrets may be variables of the command's own process, "
        "which lets whoever writes config choose what it runs",
    )


class Options(BaseModel):
    """What the operator allows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow: tuple[Rule, ...] = Field((), max_length=1_000, description="commands, and the environments they are for")


def create(options: Mapping[str, object], parts: Parts) -> Activator:
    """The adapter's entry point.

    Raises:
        pydantic.ValidationError: The options are not what this activator takes.
    """
    return CommandActivator(Options.model_validate(dict(options)), parts)


class CommandActivator:
    """Runs a command in the live release's folder."""

    def __init__(self, options: Options, parts: Parts) -> None:
        self._rules = options.allow
        self._clock = parts.clock
        self._limit = parts.bounds.output_bytes

    def allow(self, environment: EnvironmentName, spec: ActivateSpec) -> None:
        """Whether a rule covers this environment and names this very command."""
        argv = spec.command or ()
        rules = [rule for rule in self._rules if rule.covers(environment) and rule.names(argv)]
        if not rules:
            raise not_allowed(environment, f"run the {spec.words}", KEY, {"argv": list(argv)})
        if spec.deliver != "file" and not any(rule.process for rule in rules):
            what = f"choose variables of the {spec.words}, as deliver: {spec.deliver} does"
            raise not_allowed(environment, what, KEY, {"argv": list(argv), "process": True})

    def activate(self, spec: ActivateSpec, job: Job) -> str:
        """Run it to its end."""
        self.allow(job.environment, spec)
        argv = spec.command or ()
        try:
            program = jobs.program(argv[0], job.folder)
            found = jobs.variables(job)
            ended = run(
                self._clock, (program, *argv[1:]), job.folder, found, spec.within_seconds, self._limit, leaves=True
            )
        except jobs.NoProgram as problem:
            raise failed(job, f"the {spec.words} can't be started: {problem}") from None
        except OSError as error:
            hint = "see its first line, `#!`, and what that names" if isinstance(error, FileNotFoundError) else ""
            raise failed(job, f"the {spec.words} can't be started: {error.strerror}", hint=hint) from None
        printed = shown(ended, job)
        if ended.code != 0:
            raise failed(job, f"the {spec.words} {how(ended, spec.within)}", printed)
        return printed

    def trouble(self, environment: EnvironmentName, spec: ActivateSpec) -> str:  # noqa: ARG002 - as the port says
        """Empty: a command says nothing of what it started."""
        return ""
