"""Locks on what is open, with flock(2): they keep processes and threads apart, and end when their holder dies.

Closing does not free a lock at once: a process that another thread starts has a copy of every descriptor until it
executes its program, and the lock is the open file's, not the descriptor's. So who is done frees it in so many words.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager


def take(descriptor: int) -> bool:
    """Take the lock of an open file or folder; False when somebody else has it. Never waits."""
    return _take(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def share(descriptor: int) -> bool:
    """The same, together with others who share it: False when somebody has it alone."""
    return _take(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def wait(descriptor: int) -> None:
    """Take the lock, however long somebody else has it."""
    _take(descriptor, fcntl.LOCK_EX)


def free(descriptor: int) -> None:
    """Give the lock back, also where it was never had."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextmanager
def taken(descriptor: int) -> Iterator[bool]:
    """The lock while the block lasts; tells whether it could be had."""
    ours = take(descriptor)
    try:
        yield ours
    finally:
        free(descriptor)


def _take(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    return True
