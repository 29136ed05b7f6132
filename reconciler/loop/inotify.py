"""A few folders watched without a look at them: the kernel wakes us, and while nothing changes nothing runs.

`watchfiles` looks every so many milliseconds whether there is something to tell: looking often costs CPU for good, and
looking rarely costs that much at each merge. Where there is no inotify, the caller falls back to it.
"""

from __future__ import annotations

import ctypes
import os
import select
from collections.abc import Iterable
from pathlib import Path

SETTLE_MS = 2
"""Milliseconds without a change after which what changed is told: a push touches several files, the branch last."""
LONGEST_MS = 100
"""Milliseconds after the first change at which it is told in any case."""
_BYTES = 65_536
_MODIFY, _ATTRIB, _CLOSE_WRITE, _MOVED, _CREATE, _DELETE = 0x2, 0x4, 0x8, 0xC0, 0x100, 0x200
_MASK = _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED | _CREATE | _DELETE


class Inotify:
    """Changes in some folders, not below them. For one thread.

    Raises:
        OSError: The system has none left, or none at all.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            begin, add = libc.inotify_init1, libc.inotify_add_watch
        except (OSError, AttributeError) as error:
            raise OSError("this system has no inotify") from error
        self._fd = _checked(begin(os.O_CLOEXEC | os.O_NONBLOCK))
        try:
            for folder in folders:
                _checked(add(self._fd, os.fsencode(folder), ctypes.c_uint32(_MASK)))
        except OSError:
            self.close()
            raise
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def wait(self, seconds: float) -> bool:
        """Whether something changed within so many seconds; returns soon behind the last change."""
        if not self._poll.poll(seconds * 1_000):
            return False
        for _ in range(LONGEST_MS // SETTLE_MS):
            self._drain()
            if not self._poll.poll(SETTLE_MS):
                break
        return True

    def close(self) -> None:
        """Let go of it."""
        os.close(self._fd)

    def _drain(self) -> None:
        """What exactly changed is found out by whoever is woken."""
        try:
            while os.read(self._fd, _BYTES):
                pass
        except BlockingIOError:
            return


def _checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer
