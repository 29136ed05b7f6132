"""Running one program of an environment: with a deadline, with bounded output, and nothing of it left by accident.

Each program gets a session, so a process group, of its own. At its deadline the group is asked to end (SIGTERM) and
then made to (SIGKILL). What it leaves running when it ends well stays only where the caller means that: a service.
A process that makes a session of its own, as services do, is out of reach of all this, also after a failure.

Output comes through one pipe for stdout and stderr. It is read until the program itself ends and not until the pipe
is closed, so a child that keeps the pipe open holds nobody up. From then on nobody reads: a service that is to live on
must have its outputs elsewhere (`>>log 2>&1`), or its next line ends it with SIGPIPE.

Which programs may run, where, and with which variables is the callers' to judge. Nothing is looked up in a shell.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import selectors
import signal
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from reconciler.ports import Clock

GRACE_SECONDS = 5.0
"""How long a program has between SIGTERM and SIGKILL, unless the caller says otherwise."""
MASK = "***"
_TICK = 0.2
"""Seconds between two looks at `cancelled`; and at the program, on a kernel without pidfd."""
_CHUNK = 65_536
_LAST_CHUNKS = 16
"""Most chunks that are read after the end: a pipe holds one by default; a child may be filling it for ever."""
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")


@dataclass(frozen=True, slots=True)
class Output:
    """The beginning and the end of what a program printed. It may hold secrets until `text` was asked without them."""

    head: bytes = field(default=b"", repr=False)
    tail: bytes = field(default=b"", repr=False)
    left_out: int = 0
    """Bytes between the two that were not kept."""
    broken_off: bool = False
    """Whether it was stopped in the middle, perhaps of a word."""

    def text(self, secrets: Iterable[str] = ()) -> str:
        """All of it for people: secrets masked, also where the cut parted one; no control characters but line breaks.

        Args:
            secrets: Texts that are not shown, in every form that is to be masked.
        """
        hidden = sorted({one.encode() for one in secrets if one}, key=len, reverse=True)
        head, tail = self.head, self.tail
        if self.left_out:
            head, tail = _without_beginning(head, hidden), _without_end(tail, hidden)
        if self.broken_off:
            head, tail = (head, _without_beginning(tail, hidden)) if tail else (_without_beginning(head, hidden), tail)
        parts = [_shown(head, hidden), f"[{self.left_out} bytes left out]", _shown(tail, hidden)]
        return "\n".join(parts) if self.left_out else _shown(head + tail, hidden)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    code: int | None
    """Its exit code; negative for the signal that ended it; None: it was stopped by us, or could not be ended."""
    output: Output
    timed_out: bool = False
    """Whether its deadline had passed. False with no code: it was cancelled."""


def run(
    clock: Clock,
    argv: Sequence[str],
    folder: Path,
    variables: Mapping[str, str],
    seconds: float,
    limit_bytes: int,
    *,
    leaves: bool = False,
    grace: float = GRACE_SECONDS,
    cancelled: threading.Event | None = None,
) -> Ended:
    """Run a program to its end, or to its deadline.

    Args:
        clock: For the deadline.
        argv: The program and its arguments. A name without a slash is looked for along PATH of `variables`; a
            relative path is seen from `folder`.
        folder: Where it runs.
        variables: All that it finds in its environment.
        seconds: Its deadline.
        limit_bytes: Most bytes of output that are kept, half of them from the end.
        leaves: Whether what it leaves running when it ends with 0 stays; else its whole group is killed.
        grace: Seconds between SIGTERM and SIGKILL.
        cancelled: Once set, the program is ended as at its deadline.

    Raises:
        OSError: It can't be started; `filename` says what is missing.
    """
    process = _RUNNING.start(argv, folder, variables)
    kept = _Kept(limit_bytes)
    done = False
    try:
        with _Watch(clock, process, kept) as watch:
            done = watch.ended(clock.monotonic() + seconds, cancelled)
            late = not done and not (cancelled and cancelled.is_set())
            if not done:
                _signal(process, signal.SIGTERM)
                watch.ended(clock.monotonic() + grace)
            watch.drain()
            if not (done and leaves and _ended_well(process)):
                _signal(process, signal.SIGKILL)
                watch.ended(clock.monotonic() + 1.0)
    finally:
        _RUNNING.finish(process)
    return Ended(process.returncode if done else None, kept.output(broken_off=not done), timed_out=late)


def kill_all() -> None:
    """End every program that runs, with its group, and start none from now on: for the stop of this one."""
    _RUNNING.kill_all()


class _Running:
    """The programs that run now, for whoever has to end them all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def start(self, argv: Sequence[str], folder: Path, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
        # Not under the lock: a program on a dead network mount may hang in its exec.
        process = subprocess.Popen(
            list(argv),
            bufsize=0,
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with self._lock:
            self._processes.add(process)
            if self._closed:
                _signal(process, signal.SIGKILL)
        return process

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        """Reap it. One that the kernel does not let go, on a dead network mount, say, is left behind."""
        with self._lock:
            self._processes.discard(process)
        if not _has_ended(process):
            _signal(process, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
        if process.stdout:
            process.stdout.close()

    def kill_all(self) -> None:
        with self._lock:
            self._closed = True
            for process in self._processes:
                _signal(process, signal.SIGKILL)


_RUNNING = _Running()
atexit.register(_RUNNING.kill_all)


class _Watch:
    """Reads what a program prints, and sees when it ends, without reaping it: until then its group's number is its."""

    def __init__(self, clock: Clock, process: subprocess.Popen[bytes], kept: _Kept) -> None:
        assert process.stdout
        self._clock = clock
        self._process = process
        self._kept = kept
        self._pipe = process.stdout.fileno()
        os.set_blocking(self._pipe, False)
        self._selector = selectors.PollSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)
        self._end = _pidfd(process.pid)
        if self._end is not None:
            self._selector.register(self._end, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        if self._end is not None:
            os.close(self._end)

    def ended(self, deadline: float, cancelled: threading.Event | None = None) -> bool:
        """Wait for its end; False: the deadline came first, or `cancelled`."""
        pause = _TICK if cancelled else 3_600.0
        if self._end is None:
            pause = _TICK / 10
        while not _has_ended(self._process):
            left = deadline - self._clock.monotonic()
            if left <= 0 or (cancelled and cancelled.is_set()):
                return False
            self._wait(min(left, pause))
        return True

    def drain(self) -> None:
        """Read what is in the pipe by now."""
        for _ in range(_LAST_CHUNKS):
            if not self._read():
                return

    def _wait(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            if key.fd == self._pipe and self._read() == b"":
                self._selector.unregister(self._pipe)  # closed: from now on it would always be ready

    def _read(self) -> bytes | None:
        """What is there; empty when the pipe is closed, None when nothing is there now."""
        try:
            data = os.read(self._pipe, _CHUNK)
        except BlockingIOError:
            return None
        self._kept.add(data)
        return data


class _Kept:
    """The first and the last bytes of what comes in."""

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0

    def add(self, data: bytes) -> None:
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        surplus = len(self._tail) - self._half
        if surplus > 0:
            del self._tail[:surplus]
            self._left_out += surplus

    def output(self, *, broken_off: bool) -> Output:
        return Output(bytes(self._head), bytes(self._tail), self._left_out, broken_off)


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):  # an old kernel, a sandbox, or no Linux: we look now and then
        return None


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _ended_well(process: subprocess.Popen[bytes]) -> bool:
    seen = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return seen is not None and seen.si_code == os.CLD_EXITED and seen.si_status == 0


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal the group of a program that is not reaped yet: until then its number is nobody else's."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _without_beginning(text: bytes, hidden: list[bytes]) -> bytes:
    """The text without the beginning of a secret at its end."""
    longest = max((_overlap(text, secret) for secret in hidden), default=0)
    return text[: len(text) - longest] + MASK.encode() if longest else text


def _without_end(text: bytes, hidden: list[bytes]) -> bytes:
    """The text without the end of a secret at its beginning."""
    longest = max((_overlap(secret, text) for secret in hidden), default=0)
    return MASK.encode() + text[longest:] if longest else text


def _overlap(first: bytes, second: bytes) -> int:
    """Most bytes that both end the first and begin the second."""
    at = first.find(second[:1], max(0, len(first) - len(second)))
    while at >= 0 and not second.startswith(first[at:]):
        at = first.find(second[:1], at + 1)
    return len(first) - at if at >= 0 else 0


def _shown(data: bytes, hidden: list[bytes]) -> str:
    for secret in hidden:
        data = data.replace(secret, MASK.encode())
    text = _ANSI.sub("", data.decode(errors="replace")).replace("\r\n", "\n").replace("\r", "\n")
    text = "".join(one if one.isprintable() or one in "\n\t" else "\N{REPLACEMENT CHARACTER}" for one in text)
    for secret in hidden:  # what stood between two halves of it is gone by now
        text = text.replace(secret.decode(), MASK)
    return text
