"""Waits for what the daemon does, by looking at what it remembers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import closing
from threading import Event

from reconciler import wiring
from reconciler.demo.folder import DemoFolder, shown
from reconciler.demo.process import Process
from reconciler.errors import Reason, Terminal
from reconciler.machine import statefolder
from reconciler.model import EnvironmentName, Status
from reconciler.ports import Clock
from reconciler.settings import Settings

SECONDS = 30.0
"""How long anything in the demo may take; on an idle machine each step takes well under one."""

_STEP_SECONDS = 0.05


class Watch:
    """Looks on."""

    def __init__(self, folder: DemoFolder, settings: Settings, process: Process, clock: Clock) -> None:
        self._folder = folder
        self._settings = settings
        self._process = process
        self._clock = clock

    def status(self, environment: EnvironmentName) -> Status | None:
        """Where an environment stands, as of its last pass."""
        with closing(wiring.open_store(self._settings, self._clock)) as store:
            return store.statuses().get(environment)

    def until_started(self) -> None:
        """Wait until the daemon has taken its state folder.

        Raises:
            Terminal: `InternalError`, after `SECONDS` or when the daemon has ended, with its last words.
        """
        self._until(lambda: statefolder.running(self._settings.state), "the daemon has started")

    def until(self, environments: Collection[EnvironmentName], what: str, holds: Callable[[Status], bool]) -> Status:
        """Wait until all of these environments stand as wanted; returns the last one's status.

        Args:
            environments: Which.
            what: Ends the sentence "still waits until …".
            holds: Tells whether one of them stands as wanted.

        Raises:
            Terminal: `InternalError`, after `SECONDS` or when the daemon has ended, with its last words.
        """
        found: list[Status] = []

        def all_hold() -> bool:
            known = store.statuses()
            found[:] = [known[name] for name in environments if name in known and holds(known[name])]
            return len(found) == len(environments)

        with closing(wiring.open_store(self._settings, self._clock)) as store:
            self._until(all_hold, what)
        return found[-1]

    def _until(self, reached: Callable[[], bool], what: str) -> None:
        expires = self._clock.monotonic() + SECONDS
        while not reached():
            if self._process.pid() is None:
                raise self._failed(f"the daemon has ended while the demo waited until {what}")
            if self._clock.monotonic() > expires:
                raise self._failed(f"after {SECONDS:g} seconds the demo still waits until {what}")
            Event().wait(_STEP_SECONDS)

    def _failed(self, message: str) -> Terminal:
        words = f"{message}; the daemon's last words:\n{self._process.last_words()}"
        hint = f"the whole log is {shown(self._folder.log)}; `reconciler demo down` and `up` begin anew"
        return Terminal(Reason.INTERNAL_ERROR, words, hint)
