"""Everything a step of the tour needs, made for one demo folder; and how a reader's own commands are run."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from reconciler.demo.ci import Ci
from reconciler.demo.clone import Clone
from reconciler.demo.folder import DemoFolder, faults
from reconciler.demo.process import Process, command
from reconciler.demo.story import Story
from reconciler.demo.watch import Watch
from reconciler.machine.clock import SystemClock
from reconciler.model import EnvironmentName
from reconciler.ports import Clock
from reconciler.settings import load

DEV, STAGING, PROD = (EnvironmentName(name) for name in ("dev", "staging", "prod"))
ENVIRONMENTS = (DEV, STAGING, PROD)


@dataclass(frozen=True, slots=True)
class Tour:
    """The cast of one demo."""

    folder: DemoFolder
    story: Story
    clock: Clock
    clone: Clone
    ci: Ci
    process: Process
    watch: Watch

    def type(self, *words: str) -> None:
        """Run a command as the reader could, and show what it says."""
        self.story.typed("", shlex.join(("reconciler", *words)))
        # Its exit code is an answer, not a failure: `why` of an environment that is held, say.
        subprocess.run((*command(self.folder), *words), stdin=subprocess.DEVNULL, check=False)


def play(folder: DemoFolder, step: Callable[[Tour], None]) -> None:
    """One step of a tour that is up; only one at a time.

    Raises:
        ReconcilerError: There is no demo to play it in, or the step's own.
    """
    folder.expect_ready()
    with faults(), folder.exclusive():
        tour = open_tour(folder)
        tour.process.expect_running()
        tour.process.go_on()  # should an interrupted step have left it paused
        step(tour)


def open_tour(folder: DemoFolder) -> Tour:
    """Make the parts. The demo's settings file must be there.

    Raises:
        Terminal: `InvalidSettings`: somebody has edited it.
    """
    clock, story = SystemClock(), Story()
    settings = load(folder.settings)
    process = Process(folder, clock)
    return Tour(
        folder=folder,
        story=story,
        clock=clock,
        clone=Clone(folder, story),
        ci=Ci(folder, settings, story, clock),
        process=process,
        watch=Watch(folder, settings, process, clock),
    )
