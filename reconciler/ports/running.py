"""What brings a release to life, and how it is asked for its health."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from reconciler.core.running import ActivateSpec, HealthSpec, SecretSpec
from reconciler.model import (
    Checked,
    EnvironmentName,
    Probed,
)


class Secrets(Protocol):
    """Where the values of secrets are kept: read anew at each use, so that rotation needs no restart."""

    def read(self, environment: EnvironmentName, secrets: Mapping[str, SecretSpec]) -> Mapping[str, str]:
        """The values, by name. No message ever holds one, nor what was found in place of one.

        Raises:
            PolicyDenied: `SecretMissing`, naming the names of all that are missing, empty or not readable;
                `ActivationNotAllowed`: the operator does not let this environment have one of them.
        """
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """Where something is run for an environment, and with what."""

    environment: EnvironmentName
    folder: Path
    """The live release, by its own name: `current` may move meanwhile."""
    variables: Mapping[str, str] = field(repr=False)
    """What a command finds in its environment, beside a few harmless ones of ours."""
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    """Values that are masked in all that is shown."""


class Activator(Protocol):
    """One way of starting what a release holds. Which ones an environment may use is the operator's word."""

    def allow(self, environment: EnvironmentName, spec: ActivateSpec) -> None:
        """Only looks; nothing is started.

        Raises:
            PolicyDenied: `ActivationNotAllowed`, with the key of the settings that would allow it.
        """
        ...

    def activate(self, spec: ActivateSpec, job: Job) -> str:
        """Start it, and return what it printed: bounded, secrets masked.

        Nothing of it is left running behind its deadline but what it meant to leave: a service.

        Raises:
            Terminal: `ActivationFailed`: it said no, or took too long; the message ends with what it printed last.
        """
        ...

    def trouble(self, environment: EnvironmentName, spec: ActivateSpec) -> str:
        """Why what was activated does not run, in a few words; empty: it runs, or that can't be told this way."""
        ...


class Probe(Protocol):
    """One way of asking whether a release is healthy."""

    def allow(self, environment: EnvironmentName, spec: HealthSpec) -> None:
        """Only looks; nothing is asked.

        Raises:
            PolicyDenied: `ActivationNotAllowed`, with the key of the settings that would allow it.
        """
        ...

    def probe(self, spec: HealthSpec, job: Job) -> Probed:
        """Ask once, within the timeout. Never raises for whatever is answered, or not."""
        ...


@dataclass(frozen=True, slots=True)
class Check:
    """What is asked again and again about one activation. Another value is another row of checks."""

    spec: HealthSpec
    job: Job
    since: datetime
    """When it was activated: `within` counts from here."""
    proven: bool
    """Whether it was healthy before: then it can't fail any more, and only be unhealthy."""


class Checks(Protocol):
    """The checks of all environments, made beside the passes: a pass says what to ask, and reads what came of it."""

    def expect(self, check: Check) -> Checked:
        """Have this asked from now on, in place of any other check of its environment; what came of it so far."""
        ...

    def forget(self, environment: EnvironmentName) -> None:
        """Ask nothing more about an environment."""
        ...
