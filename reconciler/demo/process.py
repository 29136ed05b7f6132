"""The daemon as a process of its own, which outlives the command that started it.

Its number is kept in a file, and numbers are used again by the system: before anything is sent to a process,
its command line must name this demo's settings file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from reconciler.demo.folder import DemoFolder, shown
from reconciler.errors import Reason, Terminal
from reconciler.ports import Clock

STOP_SECONDS = 10.0
"""How long a daemon may take to end its passes before it is killed; in the demo they take well under one."""
KILL_SECONDS = 5.0
"""How long the system may take to remove a killed process."""
LOG_LINES = 15
"""Lines of the log that are shown when something goes wrong."""

_STEP_SECONDS = 0.05


class Process:
    """The daemon of one demo."""

    def __init__(self, folder: DemoFolder, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    def start(self) -> None:
        """Start it, detached from this terminal."""
        argv = (*command(self._folder), "run")
        with self._folder.log.open("ab") as log:
            process = subprocess.Popen(
                argv, cwd=self._folder.path, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._folder.pid.write_text(f"{process.pid}\n")
        process.returncode = 0  # not ours to wait for: it is meant to go on when this process has ended

    def pid(self) -> int | None:
        """The running daemon's number; None when there is none."""
        try:
            pid = int(self._folder.pid.read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if os.fsencode(self._folder.settings) in words else None

    def expect_running(self) -> None:
        """For steps that need it.

        Raises:
            Terminal: `InvalidSettings`, when it has ended.
        """
        if self.pid() is None:
            message = f"the demo's daemon has ended; its log is {shown(self._folder.log)}"
            raise Terminal(Reason.INVALID_SETTINGS, message, "start it again with `reconciler demo up`")

    def stop(self) -> bool:
        """End it: asked first, killed when it does not listen. Returns whether one was running."""
        pid = self.pid()
        if pid is None:
            return False
        _send(pid, signal.SIGTERM)
        _send(pid, signal.SIGCONT)  # one that was stopped by hand would never hear of it
        if not self._gone(STOP_SECONDS):
            _send(pid, signal.SIGKILL)
            self._gone(KILL_SECONDS)
        return True

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold it for a moment, so that a reader can look at what it would mend at once."""
        pid = self.pid()
        if pid is not None:
            _send(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            self.go_on()

    def go_on(self) -> None:
        """Let it run, also after a command that was killed while it held it."""
        pid = self.pid()
        if pid is not None:
            _send(pid, signal.SIGCONT)

    def last_words(self) -> str:
        """The end of the log."""
        try:
            lines = self._folder.log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-LOG_LINES:])

    def _gone(self, seconds: float) -> bool:
        expires = self._clock.monotonic() + seconds
        while self.pid() is not None:
            if self._clock.monotonic() > expires:
                return False
            Event().wait(_STEP_SECONDS)
        return True


def command(folder: DemoFolder) -> tuple[str, ...]:
    """How the command line is called for this demo. `-P`: a folder that happens to be here is no package."""
    return (sys.executable, "-P", "-m", "reconciler", "-c", str(folder.settings))


def _send(pid: int, what: signal.Signals) -> None:
    try:
        os.kill(pid, what)
    except ProcessLookupError:
        return
