"""What runs in the fake world: one process for each environment, as somebody started it last, and who asks how it is.

A release's character follows from its run, and the config from its value: what is broken is so for good, whoever asks
and whenever, so that an oracle can tell how each story has to end. Sickness comes and goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING

from reconciler.core.delivery import masked, render
from reconciler.core.running import ActivateSpec, HealthSpec, SecretSpec
from reconciler.errors import PolicyDenied, Reason, Terminal, Transient
from reconciler.model import Checked, EnvironmentName, Probed
from reconciler.ports import Check, Job
from reconciler.prober.rota import Rota

if TYPE_CHECKING:
    from tests.simulation.world import FakeWorld

WITHIN = 10
"""Seconds in which a release must become healthy."""
EVERY = 5
SLOW = 4.0
"""Seconds that a slow release takes to become healthy."""
BAD_CONFIG = "bad"
_CANARY = "canary"


class Character(StrEnum):
    """What comes of starting a run."""

    GOOD = "good"
    SLOW = "bad at first"
    FLAPS = "good every other time"
    BAD = "never healthy"
    CRASHES = "ends right after its start"
    REFUSES = "its activation says no"
    HANGS = "it starts, and its activation never ends"


FAILS = frozenset({Character.BAD, Character.CRASHES, Character.REFUSES, Character.HANGS})


@dataclass(frozen=True)
class Started:
    """One start of a process."""

    release: str
    run: int
    given: str
    """Config and secrets, as a file of `NAME="value"` lines."""
    at: float
    commit: str
    """Which declaration stood beside the release."""


@dataclass
class Unit:
    """What runs for one environment."""

    started: Started | None = None
    dead: bool = False
    sick: bool = False
    starts: list[Started] = field(default_factory=list)


class Units:
    """Every process of the world, and the truth of how each is."""

    def __init__(self, world: FakeWorld) -> None:
        self.world = world
        self.units: dict[str, Unit] = {}
        self.characters: dict[int, Character] = {}
        """By run; all others are good."""
        self.values: dict[str, str] = {}
        """Secrets, by where they are kept."""
        self.ever: set[str] = set()
        """Every value that any secret ever had."""
        self.odd: set[str] = set()
        """Commits whose release failed by bad luck, at least once."""
        self.well: set[str] = set()
        """Commits whose release was seen healthy, or started where nobody asks for its health."""

    def unit(self, environment: str) -> Unit:
        return self.units.setdefault(environment, Unit())

    def character(self, run: int) -> Character:
        return self.characters.get(run, Character.GOOD)

    def keep(self, name: str, value: str | None) -> None:
        """Somebody puts a secret in its place, or takes it away."""
        if value is None:
            self.values.pop(name, None)
        else:
            self.values[name] = f"{_CANARY}-{value}"
            self.ever.add(self.values[name])

    def healthy(self, environment: str) -> bool:
        """Whether whoever asks now is told so."""
        unit = self.unit(environment)
        if unit.started is None or unit.dead or unit.sick or f'"{BAD_CONFIG}"' in unit.started.given:
            return False
        age, character = self.world.clock.seconds - unit.started.at, self.character(unit.started.run)
        if character is Character.SLOW:
            return age >= SLOW
        return character not in FAILS and (character is not Character.FLAPS or int(self.world.clock.seconds) % 2 == 0)

    def start(self, environment: str, release: str, given: str) -> None:
        """The process is there, with what it read at its start."""
        place = self.world.living_at(environment)
        assert place is not None
        run, commit = place.releases[release].release.run_id, place.accepted.commit if place.accepted else ""
        started = Started(release, run, given, self.world.clock.seconds, commit)
        unit = self.unit(environment)
        unit.started, unit.dead = started, self.character(run) is Character.CRASHES
        unit.starts.append(started)


class FakeActivator:
    """`ports.Activator`: a command that reads its environment, or a unit that reads the delivered file."""

    def __init__(self, units: Units) -> None:
        self._units = units

    def allow(self, environment: EnvironmentName, spec: ActivateSpec) -> None:
        words = spec.words
        if "forbidden" in words:
            raise PolicyDenied(Reason.ACTIVATION_NOT_ALLOWED, f"{words} is not allowed", "allow it")

    def activate(self, spec: ActivateSpec, job: Job) -> str:
        units, world, environment = self._units, self._units.world, job.environment
        place = world.living_at(environment)
        assert place is not None
        run = place.releases[job.folder.name].release.run_id
        output = masked(f"starting with {dict(job.variables)}", job.secrets)
        character = units.character(run)
        with self._step(environment, output):
            if character is Character.REFUSES:
                raise Terminal(Reason.ACTIVATION_FAILED, f"it said no: {output}", "see why")
            units.start(environment, job.folder.name, self._given(spec, job))
        if character is Character.HANGS:
            raise Terminal(Reason.ACTIVATION_FAILED, f"it took longer than {spec.within}: {output}", "see why")
        return output

    def trouble(self, environment: EnvironmentName, spec: ActivateSpec) -> str:
        unit = self._units.unit(environment)
        return "not running" if unit.started is None or unit.dead else ""

    def _given(self, spec: ActivateSpec, job: Job) -> str:
        ours = ("RECONCILER_",)
        variables = {name: value for name, value in job.variables.items() if not name.startswith(ours)}
        if spec.deliver == "process":
            return render(variables).decode()
        place = self._units.world.living_at(job.environment)
        return (place.environment or b"").decode() if place else ""

    @contextmanager
    def _step(self, environment: str, output: str) -> Iterator[None]:
        faults = self._units.world.faults
        self._units.world.activating(environment)
        try:
            faults.at("activator:start")
            yield
            faults.at("activator:start:done")
        except Transient as bad_luck:
            place = self._units.world.living_at(environment)
            if place and place.accepted:
                self._units.odd.add(place.accepted.commit)
            raise Terminal(Reason.ACTIVATION_FAILED, f"bad luck: {output}", "wait") from bad_luck


class FakeSecrets:
    """`ports.Secrets`: values by the name of the variable that a declaration refers to."""

    def __init__(self, units: Units) -> None:
        self._units = units

    def read(self, environment: EnvironmentName, secrets: Mapping[str, SecretSpec]) -> Mapping[str, str]:
        missing = sorted(name for name, spec in secrets.items() if spec.env not in self._units.values)
        if missing:
            raise PolicyDenied(Reason.SECRET_MISSING, f"{', '.join(missing)} can't be read", "set it")
        return {name: self._units.values[spec.env] for name, spec in secrets.items() if spec.env}


class FakeProbe:
    """`ports.Probe`: what runs answers for itself."""

    def __init__(self, units: Units) -> None:
        self._units = units

    def allow(self, environment: EnvironmentName, spec: HealthSpec) -> None:
        """Anything may be asked."""

    def probe(self, spec: HealthSpec, job: Job) -> Probed:
        units, unit = self._units, self._units.unit(job.environment)
        fine, place = units.healthy(job.environment), units.world.living_at(job.environment)
        commits = {unit.started.commit} if unit.started else set()
        commits |= {place.accepted.commit} if place and place.accepted else set()
        if unit.started and fine and unit.started.release == job.folder.name:
            units.well |= commits
        steady = unit.started and units.character(unit.started.run) in FAILS | {Character.SLOW}
        unlucky = unit.sick or not steady
        if unit.started and unlucky and not fine and f'"{BAD_CONFIG}"' not in unit.started.given:
            units.odd |= commits
        return Probed(fine, "it answers" if fine else "it does not answer well")


class RotaChecks:
    """`ports.Checks` by the real rota, asked whenever the fake clock has moved on. No threads."""

    def __init__(self, probe: FakeProbe, world: FakeWorld) -> None:
        self._probe = probe
        self._clock = world.clock
        self._rota = Rota(8, Random(7))
        self.woken: set[EnvironmentName] = set()
        """Environments whose state changed since somebody emptied this."""

    def expect(self, check: Check) -> Checked:
        return self._rota.expect(check, self._clock.monotonic(), self._clock.now()).checked

    def forget(self, environment: EnvironmentName) -> None:
        self._rota.forget(environment)

    def go_on(self) -> None:
        """Make the checks that are due."""
        now, wall = self._clock.monotonic(), self._clock.now()
        self._rota.call(now)
        while turn := self._rota.take():
            row, lane = turn
            if self._rota.done(row, lane, self._probe.probe(row.check.spec, row.check.job), now, now, wall):
                self.woken.add(row.check.job.environment)
