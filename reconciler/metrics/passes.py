"""Which pass a thread is in: its id, where its time went so far, and what it recorded.

A pass runs in one thread from its beginning to its report, so everything here is per thread and needs no lock.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.model import Attempt, EnvironmentName
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


class _Thread(threading.local):
    """What the thread is in; every thread begins with nothing."""

    def __init__(self) -> None:
        self.id = ""
        self.began = self.since = 0.0
        self.stage = Stage.JUDGE
        self.stages: dict[Stage, float] = {}
        self.attempts: list[Attempt] = []
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
        mine.stage, mine.stages, mine.attempts = Stage.JUDGE, {}, []
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

    def ended(self) -> Done:
        """What this thread's pass came to; it is in none any more."""
        mine = self._mine
        if not mine.id:
            return Done("", 0.0)
        self._turn(Stage.JUDGE)
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
