"""Running git processes: how one is started and restrained, and how none outlives this program.

Each has a session of its own: no terminal to ask on, and a group that is killed whole, because git leaves
the network, and reading another repository, to children. What is running is remembered, for a program that
stops while git hangs: `kill_all` ends every group, at the latest when the interpreter exits.

A program that is itself killed with SIGKILL leaves a hanging git behind. The kernel's parent-death signal is
no way out: it reaches git and not the children of git, which are what hangs.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping

from reconciler.errors import Reason, Transient

HEAP_BYTES = 2 * 1024**3
"""Most memory of a git process that talks to a network. Git keeps a server's whole answer in memory."""
FILE_BYTES = 8 * 1024**3
"""Largest file, so largest pack, that a git process that talks to a network may write."""


class Processes:
    """The git processes of this program. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # readers that nobody needs any more are ended at any point, even in `start`
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    @contextlib.contextmanager
    def running(
        self, argv: tuple[str, ...], environment: Mapping[str, str], stdin: int
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A process for as long as the block lasts; what is left of it then is killed.

        Raises:
            Transient: `RepositoryUnavailable`, as `start` does.
        """
        process = self.start(argv, environment, stdin)
        try:
            yield process
        finally:
            self.end(process)

    def start(self, argv: tuple[str, ...], environment: Mapping[str, str], stdin: int) -> subprocess.Popen[bytes]:
        """A process that runs until it is ended.

        Raises:
            Transient: `RepositoryUnavailable`: it can't be started, or everything was ended by `kill_all`.
        """
        with self._lock:  # or a process that starts just now would be missed
            if self._closed:
                raise Transient(Reason.REPOSITORY_UNAVAILABLE, "git is not started any more: the program stops")
            process = _start(argv, environment, stdin)
            self._running.add(process)
            return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill what is left of a process, and close what connects us with it."""
        with process:
            with self._lock:
                self._running.discard(process)
            _kill(process)

    def kill_all(self) -> None:
        """End every process with its children, and start none from now on. Whoever waits for one gets an error."""
        with self._lock:
            self._closed = True
            for process in tuple(self._running):
                _signal(process)


PROCESSES = Processes()
"""Those of this program."""
atexit.register(PROCESSES.kill_all)


def kill_all() -> None:
    """End every git process of this program: for its stop, right before it leaves without unwinding."""
    PROCESSES.kill_all()


def restrain(process: subprocess.Popen[bytes]) -> None:
    """Ceilings for a process that takes in what a server sends; the children that git starts inherit them.

    Set from outside, as code between fork and exec is not safe in a program with threads. Where the
    platform forbids it, the deadline is what remains.
    """
    with contextlib.suppress(OSError):
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (HEAP_BYTES, HEAP_BYTES))
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))


def _start(argv: tuple[str, ...], environment: Mapping[str, str], stdin: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            bufsize=0,
            cwd="/",
            env=environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        hint = "install git, and see that the daemon's PATH names it" if isinstance(error, FileNotFoundError) else ""
        raise Transient(Reason.REPOSITORY_UNAVAILABLE, f"git could not be started: {error.strerror}", hint) from None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the whole group, unless the process has ended by itself."""
    if process.returncode is None:
        _signal(process)
        process.wait()


def _signal(process: subprocess.Popen[bytes]) -> None:
    """Kill the group of a process that was not waited for: until then its number is nobody else's."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
