"""Activation of a systemd unit, by `systemctl`: it needs no library, and asks polkit as people do.

A restart also starts what is stopped, and a reload restarts what has none. How often a unit was started lately is
forgotten first: else a release that crashed again and again would keep the one before it from being started.

At the deadline nobody waits any longer; systemd goes on by its own limits (TimeoutStartSec=), and the next activation
takes the place of what is under way.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from reconciler.activators.failing import failed, how, shown
from reconciler.core.allowance import Allowance, not_allowed
from reconciler.core.running import ActivateSpec
from reconciler.errors import Reason, Terminal
from reconciler.machine import jobs
from reconciler.machine.programs import Ended, run
from reconciler.model import EnvironmentName
from reconciler.ports import Activator, Job, Parts

KEY = "activators.systemd.allow"
_LOOK_SECONDS = 5.0
_ANSWER_BYTES = 64 * 1024
_ASKED = "LoadState,ActiveState,SubState,Result,ExecMainStatus,Type"
_DENIED = ("Access denied", "Interactive authentication required", "Permission denied")


class Rule(Allowance):
    """Units that some environments may restart and reload."""

    units: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = Field(
        min_length=1, max_length=100, description="names of units in which * stands for any characters"
    )


class Options(BaseModel):
    """What the operator allows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow: tuple[Rule, ...] = Field((), max_length=1_000, description="units, and the environments they are for")
    scope: Literal["system", "user"] = Field(
        "system", description="system or user: the machine's systemd, or the one of the daemon's own user"
    )


def create(options: Mapping[str, object], parts: Parts) -> Activator:
    """The adapter's entry point.

    Raises:
        pydantic.ValidationError: The options are not what this activator takes.
    """
    return SystemdActivator(Options.model_validate(dict(options)), parts)


class SystemdActivator:
    """Restarts or reloads one unit, and looks at it."""

    def __init__(self, options: Options, parts: Parts) -> None:
        self._rules = options.allow
        self._scope = options.scope
        self._clock = parts.clock
        self._limit = parts.bounds.output_bytes

    def allow(self, environment: EnvironmentName, spec: ActivateSpec) -> None:
        """Whether a rule covers this environment and names this unit."""
        unit = spec.systemd or ""
        rules = (rule for rule in self._rules if rule.covers(environment))
        if not any(fnmatchcase(unit, pattern) for rule in rules for pattern in rule.units):
            raise not_allowed(environment, f"restart the {spec.words}", KEY, {"units": [unit]})

    def activate(self, spec: ActivateSpec, job: Job) -> str:
        """Restart or reload it, and look whether it runs."""
        self.allow(job.environment, spec)
        unit = spec.systemd or ""
        deadline = self._clock.monotonic() + spec.within_seconds
        self._call(job, ("reset-failed", "--", unit), _LOOK_SECONDS)  # one that is not known yet is told below
        verb = "reload-or-restart" if spec.reload else "restart"
        left = max(0.1, deadline - self._clock.monotonic())
        ended = self._call(job, (verb, "--", unit), left)
        printed = shown(ended, job)
        trouble = "" if ended.timed_out else self._trouble(unit)
        if ended.code != 0 or trouble:
            what = f"the {spec.words} {trouble or how(ended, spec.within)}"
            raise failed(job, what, printed, self._hint(unit, printed))
        return printed

    def trouble(self, environment: EnvironmentName, spec: ActivateSpec) -> str:  # noqa: ARG002 - as the port says
        """What systemd says of the unit, when it does not run."""
        unit = spec.systemd or ""
        said = self._trouble(unit)
        return f"{unit} {said}" if said else ""

    def check(self) -> str:
        """See `ports.Checkable`."""
        hint = "systemd units need a machine with systemd; elsewhere activate by a command or supervisor"
        try:
            ended = self._systemctl(("show", "--property", "Version", "--value"), _LOOK_SECONDS, _ANSWER_BYTES)
        except OSError as error:
            message = f"systemctl can't be started: {error.strerror}"
            raise Terminal(Reason.ACTIVATION_FAILED, message, hint) from None
        said = ended.output.text().strip()
        if ended.code != 0:
            raise Terminal(Reason.ACTIVATION_FAILED, f"systemd does not answer: {said}", hint)
        return f"systemd {said} answers"

    def _hint(self, unit: str, printed: str) -> str:
        if any(words in printed for words in _DENIED):
            return f"let the daemon's user manage {unit}, by a rule of polkit for org.freedesktop.systemd1.manage-units"
        user = " --user" if self._scope == "user" else ""
        return f"look at journalctl{user} --unit {unit}"

    def _call(self, job: Job, words: tuple[str, ...], seconds: float) -> Ended:
        try:
            return self._systemctl(words, seconds, self._limit)
        except OSError as error:
            hint = "systemd units need a machine with systemd; elsewhere activate by a command or supervisor"
            raise failed(job, f"systemctl can't be started: {error.strerror}", hint=hint) from None

    def _systemctl(self, words: tuple[str, ...], seconds: float, limit: int) -> Ended:
        found = {**jobs.own_variables(), "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
        argv = ("systemctl", f"--{self._scope}", "--no-ask-password", "--no-pager", *words)
        return run(self._clock, argv, Path("/"), found, seconds, limit)

    def _trouble(self, unit: str) -> str:
        """In a few words; empty also when systemd does not answer."""
        try:
            ended = self._systemctl(("show", "--property", _ASKED, "--", unit), _LOOK_SECONDS, _ANSWER_BYTES)
        except OSError:
            return ""
        lines = ended.output.text().splitlines() if ended.code == 0 else []
        return in_words({key: value for key, _, value in (line.partition("=") for line in lines)})


def in_words(state: Mapping[str, str]) -> str:
    """What is wrong with a unit, from its properties; empty: nothing, or they don't tell."""
    active, sub, result = (state.get(key, "") for key in ("ActiveState", "SubState", "Result"))
    if state.get("LoadState", "loaded") not in ("loaded", ""):
        return f"can't be loaded ({state['LoadState']})"
    starting = active == "activating" and not sub.startswith("auto-restart")
    done = active == "inactive" and state.get("Type") == "oneshot" and result == "success"
    if active in ("", "active", "reloading", "refreshing") or starting or done:
        return ""
    status = state.get("ExecMainStatus", "")
    why = [sub] if result in ("", "success") else [sub, result]
    if status not in ("", "0"):
        why.append(f"status {status}")
    return f"is {active} ({', '.join(dict.fromkeys(why))})"
