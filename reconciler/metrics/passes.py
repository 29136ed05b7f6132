"""Which pass a thread is in: its id, where its time went so far, and what it recorded.

A pass runs in one thread from its beginning to its report, so everything here is per thread and needs no lock.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from reconciler.model import Attempt, EnvironmentName, StageTime
from reconciler.ports import Clock


class Stage(StrEnum):
    """A part of a pass, in the order in which they come."""

    JUDGE = "judge"
    """Everything before the first effect: history, approval, provenance, and the look at the target."""
    FETCH = "fetch"
    """The download into custody."""
    VERIFY = "verify"
    """Hashing our own copy."""
    RELEASE = "release"
    """Unpacking beside what is live, until it is durable."""
    SWITCH = "switch"
    ACTIVATE = "activate"
    """Delivering config and secrets, and starting what the release holds. Its health is asked beside the passes."""
    RECORD = "record"
    """Intent and outcome in the store, and what is written down on the target."""


_STAGES: tuple[tuple[str, Stage], ...] = (
    ("custody:verify", Stage.VERIFY),
    ("custody:", Stage.FETCH),
    ("target:switch", Stage.SWITCH),
    ("target:accept", Stage.RECORD),
    ("target:fence", Stage.RECORD),
    ("target:remember", Stage.RECORD),
    ("target:deliver", Stage.ACTIVATE),
    ("target:", Stage.RELEASE),
    ("activation:", Stage.ACTIVATE),
    ("store:", Stage.RECORD),
)
"""By what the names of steps begin with; the first that fits counts. Other steps belong to the stage they are in."""

EFFECTS = frozenset({Stage.FETCH, Stage.RELEASE, Stage.SWITCH, Stage.ACTIVATE})
"""A pass that reached none of them only looked."""

HEALTH = "health"
"""What an attempt waits for behind the pass that carried it out: until its first checks decide."""

_OF_AN_ATTEMPT = (Stage.FETCH, Stage.VERIFY, Stage.RELEASE, Stage.SWITCH, Stage.ACTIVATE)
_OPEN_KEPT = 10_000
"""Attempts on probation whose stages are kept in memory until their end."""

_LOOK = frozenset({"git:tip", "git ls-remote"})
"""The steps with which a look at the repository begins: of one on this machine, and of another."""


def stage_of(step: str) -> Stage | None:
    """The stage that a step belongs to; None: to the one that it comes in."""
    return next((stage for beginning, stage in _STAGES if step.startswith(beginning)), None)


@dataclass(frozen=True, slots=True)
class Done:
    """A pass that ended."""

    id: str
    seconds: float
    stages: Mapping[Stage, float] = field(default_factory=dict)
    """Seconds by stage; empty when it only looked."""
    attempts: tuple[Attempt, ...] = ()
    """What it recorded, each once; without an outcome where that is still to come."""


@dataclass(frozen=True, slots=True)
class _Open:
    """An attempt whose first checks are still to decide."""

    stages: tuple[StageTime, ...]
    since: float
    """Monotonic seconds."""


class _Thread(threading.local):
    """What the thread is in; every thread begins with nothing."""

    def __init__(self) -> None:
        self.id = ""
        self.began = self.since = 0.0
        self.stage = Stage.JUDGE
        self.stages: dict[Stage, float] = {}
        self.attempts: list[Attempt] = []
        self.told: dict[Stage, float] = {}
        """What of `stages` an attempt has that ended in this pass."""
        self.look: float | None = None


class Passes:
    """Told by the runner where a pass begins, by the trace what it does, by the store what it recorded.

    Args:
        clock: For the seconds.
        name: Makes the ids of this process differ from those of the one before.
    """

    def __init__(self, clock: Clock, name: str) -> None:
        self._clock = clock
        self._name = name
        self._numbers = itertools.count(1)
        self._mine = _Thread()
        self._known: dict[str, Stage | None] = {}
        self._threads: set[int] = set()
        self._open: dict[int, _Open] = {}
        """Attempts that ended no pass so far, by id. Each is in one thread's hands at a time."""

    @property
    def under_way(self) -> int:
        """How many passes are."""
        return len(self._threads)

    def began(self, environment: EnvironmentName) -> None:
        """A pass begins in this thread; it ends with `ended`."""
        del environment
        mine = self._mine
        mine.id = f"{self._name}-{next(self._numbers)}"
        mine.began = mine.since = self._clock.monotonic()
        mine.stage, mine.stages, mine.attempts, mine.told = Stage.JUDGE, {}, [], {}
        self._threads.add(threading.get_ident())

    def step(self, step: str) -> None:
        """The trace: an effect comes."""
        mine = self._mine
        if not mine.id:
            if step in _LOOK:
                mine.look = self._clock.monotonic()
            return
        stage = self._stage(step)
        if stage is not None and stage is not mine.stage:
            self._turn(stage)

    def recorded(self, attempt: Attempt) -> None:
        """An attempt began, or has its outcome."""
        mine = self._mine
        if mine.id:
            mine.attempts = [*(one for one in mine.attempts if one.id is None or one.id != attempt.id), attempt]

    def timed(self, attempt: Attempt) -> Attempt:
        """An attempt that ends, with how long its stages took; as it is where they were not seen from its beginning."""
        mine = self._mine
        if not mine.id or attempt.id is None:
            return attempt
        stages: tuple[StageTime, ...] = ()
        if waited := self._open.pop(attempt.id, None):
            stages = (*waited.stages, StageTime(HEALTH, self._clock.monotonic() - waited.since))
        elif any(one.id == attempt.id for one in mine.attempts):
            self._turn(mine.stage)
            stages = self._untold()
        mine.told = dict(mine.stages)
        return replace(attempt, stages=stages)

    def _untold(self) -> tuple[StageTime, ...]:
        """What this pass did for the attempt that it is at."""
        spent = (
            (stage, self._mine.stages.get(stage, 0.0) - self._mine.told.get(stage, 0.0)) for stage in _OF_AN_ATTEMPT
        )
        return tuple(StageTime(stage.value, seconds) for stage, seconds in spent if seconds > 0)

    def _leave_open(self) -> None:
        """What this pass began and did not end goes on without it."""
        for attempt in self._mine.attempts:
            if attempt.outcome is None and attempt.id is not None:
                self._open[attempt.id] = _Open(self._untold(), self._clock.monotonic())
        if len(self._open) > _OPEN_KEPT:
            self._open.clear()  # of attempts that nobody ends any more; what is lost is how long some took

    def ended(self) -> Done:
        """What this thread's pass came to; it is in none any more."""
        mine = self._mine
        if not mine.id:
            return Done("", 0.0)
        self._turn(Stage.JUDGE)
        self._leave_open()
        stages = mine.stages if EFFECTS & mine.stages.keys() else {}
        done = Done(mine.id, mine.since - mine.began, stages, tuple(mine.attempts))
        mine.id, mine.stages, mine.attempts = "", {}, []
        self._threads.discard(threading.get_ident())
        return done

    def looked(self) -> float | None:
        """Seconds since this thread's look at the repository began, once; None when there was none."""
        began, self._mine.look = self._mine.look, None
        return None if began is None else self._clock.monotonic() - began

    def _stage(self, step: str) -> Stage | None:
        """Remembered: some steps come for each file. There are some fifty, all named in the code."""
        try:
            return self._known[step]
        except KeyError:
            return self._known.setdefault(step, stage_of(step))

    def _turn(self, stage: Stage) -> None:
        mine, now = self._mine, self._clock.monotonic()
        mine.stages[mine.stage] = mine.stages.get(mine.stage, 0.0) + now - mine.since
        mine.since, mine.stage = now, stage
