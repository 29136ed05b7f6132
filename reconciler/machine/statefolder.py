"""The folder that one process keeps its state in: private, worked on by one at a time, and how to wake who works."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from reconciler.errors import Reason, Terminal
from reconciler.machine import locks

_WORD = "trouble"
_LONGEST_WORD = 1000


@contextlib.contextmanager
def exclusive(state: Path) -> Iterator[None]:
    """Be the only process that acts for a state folder.

    Raises:
        Terminal: `StateLocked`, naming the process that has it.
    """
    make_private(state)
    try:
        descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(state / "lock", error) from None
    try:
        if not _lock(descriptor):
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise Terminal(
                Reason.STATE_LOCKED,
                f"another reconciler works on {state}: process {holder}",
                "it does this by itself; or stop it, or give this one a state folder of its own",
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        locks.free(descriptor)
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Take the lock; tried a few times, as `running` holds it for an instant to see whether anybody has it."""
    for _ in range(10):
        if locks.take(descriptor):
            return True
        threading.Event().wait(0.02)
    return False


def running(state: Path) -> bool:
    """Whether a process works on a state folder now."""
    try:
        descriptor = os.open(state / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not locks.share(descriptor)
    finally:
        locks.free(descriptor)
        os.close(descriptor)


def make_private(folder: Path) -> None:
    """A folder that only its owner reads.

    Raises:
        Terminal: `StoreUnavailable`.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(place: Path, error: OSError) -> Terminal:
    hint = "give the process a state folder that it may write"
    return Terminal(Reason.STORE_UNAVAILABLE, f"{place}: {error.strerror}", hint)


def leave_word(state: Path, text: str) -> None:
    """Tell who asks beside the running process why it does not see what is declared now; empty: it does.

    Best effort: what can't be written is in the log all the same.
    """
    file = state / _WORD
    with contextlib.suppress(OSError):
        if not text:
            file.unlink(missing_ok=True)
        elif not file.exists() or file.read_text(encoding="utf-8", errors="replace") != text:
            file.write_text(text, encoding="utf-8")


def word(state: Path) -> str:
    """What was left by `leave_word`; empty when nothing was."""
    try:
        with (state / _WORD).open(encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST_WORD)
    except OSError:
        return ""


def wake_folder(state: Path) -> Path:
    """A folder that the daemon watches: whoever touches it wakes the daemon."""
    return state / "wake"


def wake(state: Path) -> None:
    """Wake the daemon of this state folder, if one runs."""
    folder = wake_folder(state)
    if folder.is_dir():
        (folder / "now").touch()
